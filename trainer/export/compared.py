"""Whether what was written answers what the network answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from trainer.errors import ExportWrong

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from trainer.export.opened import Opened

TOLERANCE = 1e-4
"""Largest difference of an output, relative to the largest output where that is above
one."""


@dataclass(frozen=True)
class Compared:
    """How far another form of a model is from it."""

    maximum_difference: float
    """Largest absolute difference of an output."""
    rows: int
    """Rows compared."""
    real_rows: int
    """Of them, those of the data that the model learned from."""
    more: dict[str, Any] = field(default_factory=dict)
    """What else is worth telling, ready for JSON."""


def compare(opened: Opened, answer: Callable[[Tensor], Tensor]) -> Compared:
    """Compare what `answer` says of batches of input with what the network says.

    Raises:
        ExportWrong: they differ.
    """
    largest, rows = 0.0, 0
    for batch in opened.batches:
        with torch.no_grad():
            expected = opened.network(batch)
            found = answer(batch)
        largest = max(largest, difference(found, expected))
        rows += len(batch)
    real = 0 if opened.real is None else len(opened.real.rows)
    return Compared(largest, rows, real)


def difference(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference of two outputs.

    Raises:
        ExportWrong: it is larger than rounding explains, or the shapes differ.
    """
    if found.shape != expected.shape:
        raise ExportWrong(difference=float("inf"), tolerance=TOLERANCE)
    apart = float((found.double() - expected.double()).abs().max())
    tolerance = TOLERANCE * max(1.0, float(expected.abs().max()))
    if not apart <= tolerance:  # true of a difference that is no number, too
        raise ExportWrong(difference=apart, tolerance=tolerance)
    return apart
