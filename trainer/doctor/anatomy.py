"""What the doctor knows of a network's layers before anything is measured.

Per kind of activation: from which outputs on a unit passes hardly any gradient. The
limit is the same for all: a slope below a tenth of the steepest counts as saturated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log, prod
from typing import TYPE_CHECKING

from torch.nn.modules.batchnorm import _BatchNorm

from trainer.spec.layers import OUTPUT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from torch import nn

    from trainer.network import Network
    from trainer.spec.layers.blocks import Step

SATURATED: Mapping[str, tuple[float, float]] = {
    # σ' = a (1 - a) < 0.1 · 1/4, tanh' = 1 - a² < 0.1: the same z for both, as
    # tanh(z / 2) = 2 σ(z) - 1
    "sigmoid": (0.0257, 0.9743),
    "tanh": (-0.9487, 0.9487),
    # (1 - |a|)² < 0.1
    "softsign": (-0.6838, 0.6838),
    # outside the straight part the slope is 0
    "hard_sigmoid": (0.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
}
"""Outputs at or beyond these are saturated; no other kind has two flat ends."""

DEAD: Mapping[str, tuple[float, float]] = {
    "relu": (float("-inf"), 0.0),
    "relu6": (float("-inf"), 0.0),
    # a + α < 0.01 α, the slope of ELU and its kin
    "elu": (float("-inf"), -0.99),
    "celu": (float("-inf"), -0.99),
    "selu": (float("-inf"), -0.99 * 1.7581),
    # its slope is 1 - exp(-a), which is a for small a
    "softplus": (float("-inf"), 0.01),
    # nearly 0 on the far left only: the slope is below 0.01 there
    "gelu": (-0.001, 0.001),
    "silu": (-0.001, 0.001),
    "hard_swish": (-0.001, 0.001),
    "mish": (-0.001, 0.001),
}
"""A unit whose outputs all lie between these, for every row, is dead."""

RECTIFIERS = frozenset(DEAD)
"""Activations that can die: their slope goes to 0 on one side."""

FORGOTTEN = 1e-4
"""Share of a moving statistic's first value that no longer matters."""

LEAKY = frozenset({"leaky_relu", "prelu", "parametric_relu", "rrelu"})


@dataclass(frozen=True)
class Organ:
    """One layer as the doctor sees it."""

    name: str
    kind: str
    activation: str
    units: int
    """Units, or channels of an image."""
    fan_in: int
    """Inputs that one unit sums over; 0 where there are no weights."""
    normalized: bool
    """Whether its sums are normalised, so that the size of its weights is no matter."""
    fresh: bool
    """Whether its weights come from its initialiser and no earlier model."""
    vector: bool = True
    """Whether its units are all that it gives: no positions, no steps."""
    dropout: float = 0.0
    alpha: float = 1.0
    """ELU's: the outputs that it approaches are -alpha."""
    ends: bool = False
    """Whether its outputs are meant to lie near an end of its activation: they are
    penalised for being large, or units of a Boltzmann machine, which are 0 or 1."""

    @property
    def plain(self) -> bool:
        """Return whether its outputs are one product with one matrix of weights."""
        return self.kind in {"dense", "conv1d", "conv2d"}

    @property
    def hidden(self) -> bool:
        """Return whether it is no output layer."""
        return self.name != OUTPUT

    @property
    def weighs(self) -> bool:
        """Return whether it has weights."""
        return self.fan_in > 0

    @property
    def flat_ends(self) -> tuple[float, float] | None:
        """Return between which outputs it is not saturated, if it can be."""
        return None if self.ends else SATURATED.get(self.activation)

    @property
    def grave(self) -> tuple[float, float] | None:
        """Return between which outputs a unit is dead, if it can die."""
        found = DEAD.get(self.activation)
        if found is None or self.activation not in {"elu", "celu"}:
            return found
        return found[0], found[1] * self.alpha


def settled_after(network: Network) -> int:
    """Return the steps until the moving statistics have forgotten their first values.

    They begin at mean 0 and variance 1, of which (1 - m)^t is left after t steps. A
    unit whose variance is small, 0.01 say, is far from settled while a hundredth of
    the 1 is in it.
    """
    shares = [
        module.momentum
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.momentum
    ]
    kept = [1 - share for share in shares if 0 < share < 1]
    return ceil(log(FORGOTTEN) / log(max(kept))) if kept else 0


def anatomy(
    network: Network,
    frozen: Collection[str],
    reused: Collection[str],
    *,
    binary: bool = False,
) -> tuple[Organ, ...]:
    """Return the layers that the doctor watches: those that learn, and activations.

    `binary`: those that learn are a Boltzmann machine.
    """
    found = []
    for row, layer in zip(network.rows, network.spec.layers, strict=True):
        module = network.layers[row.name]
        learns = any(p.requires_grad for p in module.parameters())
        if row.name in frozen or not (learns or row.kind == "activation"):
            continue
        part = _part(row.name, layer, module, row.output_shape, reused)
        found.append(replace(part, ends=True) if binary else part)
    return tuple(found)


def _part(
    name: str,
    layer: Step,
    module: nn.Module,
    shape: tuple[int, ...],
    reused: Collection[str],
) -> Organ:
    weights = [p for p in module.parameters() if p.ndim > 1 and p.requires_grad]
    kind = str(getattr(layer, "kind", ""))
    activation = getattr(layer, "activation", None)
    normalization = getattr(layer, "normalization", None)
    norm = getattr(normalization, "kind", "none")
    sparsity = getattr(layer, "activity_regularization", None)
    return Organ(
        name=name,
        kind=kind,
        activation=getattr(activation, "kind", "none"),
        units=shape[-1] if len(shape) == 2 else shape[0],  # noqa: PLR2004 - sequences
        fan_in=prod(weights[0].shape[1:]) if weights else 0,
        normalized=norm != "none",
        fresh=name not in reused,
        vector=len(shape) == 1,
        dropout=float(getattr(layer, "dropout", None) or 0.0),
        alpha=float(getattr(activation, "alpha", None) or 1.0),
        ends=getattr(sparsity, "kind", "none") != "none",
    )
