"""What is worth a word about a network that is valid as it stands."""

from collections.abc import Iterator, Sequence

from trainer.spec.blocks import Block
from trainer.spec.initializers import LecunNormal
from trainer.spec.network import NetworkSpec
from trainer.spec.normalizations import NoNormalization


def cautions(network: NetworkSpec) -> list[str]:
    """Return the warnings about the layers of a filled network."""
    return [*_self_normalising(network)]


def _self_normalising(network: NetworkSpec) -> Iterator[str]:
    """Say where selu lacks what its mean 0 and variance 1 rest on.

    Source: Klambauer et al. (2017), NeurIPS, section 2.
    """
    layers = [
        layer
        for layer in network.layers
        if isinstance(layer, Block)
        and layer.activation is not None
        and layer.activation.kind == "selu"
    ]
    otherwise = [
        layer for layer in layers if not isinstance(layer.initializer, LecunNormal)
    ]
    if otherwise:
        yield (
            f"{_named(otherwise)}: selu keeps mean 0 and variance 1 only with the "
            "initializer lecun_normal (Klambauer et al., 2017)"
        )
    if dropping := [layer for layer in layers if layer.dropout]:
        yield (
            f"{_named(dropping)}: after selu use dropout 0 and a layer of kind "
            "alpha_dropout, which keeps mean and variance (Klambauer et al., 2017)"
        )
    normalised = [
        layer
        for layer in layers
        if not isinstance(layer.normalization, NoNormalization | None)
    ]
    if normalised:
        yield (
            f"{_named(normalised)}: selu normalises by itself; use normalization none"
        )


def _named(layers: Sequence[Block]) -> str:
    names = [str(layer.name) for layer in layers]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
