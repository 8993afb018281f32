"""What is measured at one step, as plain numbers that survive JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite, sqrt
from typing import Any

Figures = dict[str, float | None]
"""Figures of one layer by name; None where there is none, or it is not finite."""

SHOWN = (
    "activation_mean",
    "activation_deviation",
    "dead",
    "saturated",
    "gradient_norm",
    "gradient_ratio",
    "update_ratio",
    "weight_norm",
)
"""The figures that people see, in this order.

dead, saturated: shares in [0, 1]; gradient_ratio: this layer's gradient norm over that
of the learning layer below; update_ratio: norm of a step over norm of the weights.
"""


@dataclass(frozen=True)
class Sample:
    """What one step has shown."""

    step: int
    epoch: int
    learning_rate: float
    loss: float | None
    """Mean loss of the batch; None if it was no finite number."""
    layers: dict[str, Figures]
    input_deviation: float | None = None
    """Standard deviation of the network's input, told in the first sample."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)

    def shown(self) -> list[dict[str, Any]]:
        """Return the figures of each layer that people see."""
        return [
            {"layer": name, **{key: figures.get(key) for key in SHOWN}}
            for name, figures in self.layers.items()
        ]


def finite(value: float) -> float | None:
    """Return the value, None if it is infinite or not a number."""
    return value if isfinite(value) else None


def root(squares: float) -> float | None:
    """Return the square root, None where it is no finite number."""
    return finite(sqrt(squares)) if squares >= 0 and isfinite(squares) else None


def ratio(one: float | None, other: float | None) -> float | None:
    """Return one over the other, None where that says nothing."""
    if one is None or other is None or other <= 0:
        return None
    return finite(one / other)
