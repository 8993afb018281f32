"""Rows with known answers, to see what a faster graph costs in accuracy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from trainer.training.evaluate import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from trainer.assembly import Assembly
    from trainer.training.evaluate import Measure

    Floats = NDArray[np.float32]

MOST_ROWS = 10_000
"""Rows of each purpose that are looked at."""


@dataclass(frozen=True)
class Held:
    """Rows that were held back, as the network takes them, and their answers."""

    purpose: str
    inputs: Tensor
    targets: Tensor
    measure: Measure
    unscaled: Callable[[Floats], Floats] | None = None
    """Turns answers in a target's own units into those that were trained on."""

    def first(self, rows: int) -> Held:
        """Return the first rows only."""
        return replace(self, inputs=self.inputs[:rows], targets=self.targets[:rows])

    def metrics(self, outputs: Floats) -> dict[str, float]:
        """Return the metrics of a graph's outputs for all the rows."""
        if self.unscaled is not None:
            outputs = self.unscaled(outputs)
        pair = torch.from_numpy(np.ascontiguousarray(outputs)), self.targets
        return evaluate(self.measure, [pair])


def held_rows(assembly: Assembly) -> list[Held]:
    """Return the validation and the test rows of a training that has ended."""
    material, scale = assembly.training.material, assembly.scale
    measure = assembly.training.measure
    if measure.units is not None:
        measure = replace(measure, units=measure.units.cpu())
    found = []
    for purpose, examples in (
        ("validation", material.validation),
        ("test", material.test),
    ):
        if examples is None:
            continue
        found.append(
            Held(
                purpose,
                assembly.held[purpose][:MOST_ROWS].cpu().clone(),
                examples.targets[:MOST_ROWS].cpu(),
                measure,
                None if scale is None else _scaled(scale.scaled),
            )
        )
    return found


def _scaled(
    scaled: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Callable[[Floats], Floats]:
    return lambda outputs: scaled(outputs.astype(np.float64)).astype(np.float32)
