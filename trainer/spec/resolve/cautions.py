"""What is worth a word about a network that is valid as it stands."""

from collections.abc import Iterator, Sequence

from trainer.spec.initializers import LecunNormal
from trainer.spec.layers import BatchNormalization
from trainer.spec.layers.blocks import Block
from trainer.spec.network import NetworkSpec
from trainer.spec.normalizations import Batch, NoNormalization
from trainer.spec.serving import Serving


def cautions(network: NetworkSpec, serving: Serving, task: str) -> list[str]:
    """Return the warnings about the layers of a filled network."""
    return [
        *_self_normalising(network),
        *_slow(network, serving),
        *_squashed(network, task),
    ]


def _squashed(network: NetworkSpec, task: str) -> Iterator[str]:
    """Say where the output already does what its loss does.

    Keras' losses take probabilities unless told otherwise, ours take the sums.
    """
    last = network.layers[-1]
    own = {"classification": "softmax", "multi_label": "sigmoid"}.get(task)
    if isinstance(last, Block) and last.activation and last.activation.kind == own:
        yield (
            f"{last.name}: the loss and predictions apply {own} to the sums of the "
            f"output themselves; with activation {own} it is applied twice, and "
            "learning is slow: use activation none"
        )


def _slow(network: NetworkSpec, serving: Serving) -> Iterator[str]:
    """Say what keeps a model that shall be fast from being it.

    Source: Géron (2017), Hands-On Machine Learning, chapter 11, practical guidelines.
    """
    blocks = [layer for layer in network.layers if isinstance(layer, Block)]
    if not serving.asked:
        return
    if curved := [b for b in blocks if b.activation and b.activation.kind == "elu"]:
        yield (
            f"{_named(curved)}: for fast predictions leaky_relu is advised in place of "
            "elu, whose exponential costs time; expect a little less accuracy"
        )
    normalised = [
        layer
        for layer in network.layers
        if isinstance(layer, BatchNormalization)
        or (isinstance(layer, Block) and isinstance(layer.normalization, Batch))
    ]
    if serving.fold_normalization and not normalised:
        yield "fold_normalization: the network has no batch normalisation to fold"


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
