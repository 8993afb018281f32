"""Small data of every kind, with every task that makes sense for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from trainer.dataset import Dataset, described

ROWS = 48
CLASSES = 3
INPUTS = ("image", "sequence", "table")
TASKS = ("classification", "multi_label", "regression", "reconstruction")
SHAPES = {"image": (8, 8, 1), "sequence": (6, 4), "table": (12,)}


@dataclass(frozen=True)
class Given:
    """One kind of input with one task."""

    inputs: str
    task: str

    @property
    def sensible(self) -> bool:
        """Say whether the task exists for such data."""
        return True

    @property
    def target(self) -> str | None:
        """Return the column to predict; none where the input is given back."""
        return None if self.task == "reconstruction" else "y"

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one example as the network takes it."""
        return (1, 8, 8) if self.inputs == "image" else SHAPES[self.inputs]


@cache
def dataset(given: Given) -> Dataset:
    """Return rows whose target can be told from their first numbers."""
    draw = np.random.default_rng([3, len(given.inputs), len(given.task)])
    x = draw.normal(size=(ROWS, *SHAPES[given.inputs]))
    first = x.reshape(ROWS, -1)[:, :2]
    columns: dict[str, Any] = {"x": x.astype(np.float32)}
    if given.inputs == "image":
        columns = {"x": (80 + 40 * x).clip(0, 255).astype(np.uint8)}
    if given.inputs == "table":
        columns = {f"x{n}": x[:, n] for n in range(x.shape[1])}
    if given.task == "classification":
        columns["y"] = np.digitize(first[:, 0], [-0.4, 0.4])
    elif given.task == "multi_label":
        columns["y"] = (first > 0).astype(np.float32)
    elif given.task == "regression":
        columns["y"] = first[:, 0] + 0.5 * first[:, 1]
    return described(Path("combined"), {"train": columns}, "combined")
