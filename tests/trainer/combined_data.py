"""Small data of every kind, with every task that makes sense for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from trainer.data.dataset import Dataset, described
from trainer.spec.data.schema import Column
from trainer.spec.data.words import counted

ROWS = 48
WINDOWED_ROWS = 160
LENGTH = 6
"""Tokens of a text, steps of a window."""
WORDS = [
    "winter",
    "snow",
    "ice",
    "wind",
    "frost",
    "thaw",
    "sun",
    "rain",
    "leaf",
    "root",
    "seed",
    "bud",
]
SHAPES = {"image": (8, 8, 1), "sequence": (LENGTH, 8), "table": (12,)}
INPUTS = (*SHAPES, "windows", "mixed", "text")
TASKS = ("classification", "multi_label", "regression", "reconstruction")
COLUMNS = {
    kind: [f"{kind}{n}" for n in range(4)]
    for kind in ("number", "category", "date", "text")
}
"""In mixed data: four columns of each kind."""


@dataclass(frozen=True)
class Given:
    """One kind of input with one task."""

    inputs: str
    task: str

    @property
    def sensible(self) -> bool:
        """Say whether the task exists for such data: names cannot be given back."""
        if self.inputs == "windows":
            return self.task in {"classification", "regression"}
        return self.task != "reconstruction" or self.inputs in SHAPES

    @property
    def target(self) -> Any:
        """Return the columns to predict; none where the input is given back."""
        if self.task == "reconstruction":
            return None
        return ["y0", "y1"] if self.task == "multi_label" else "y0"

    @property
    def features(self) -> list[str] | None:
        """Return the columns to predict from."""
        if self.task == "reconstruction":
            return None
        return [c for c in dataset(self).columns if not c.startswith("y")]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one example as the drawn layers take it."""
        if self.inputs == "text":
            return (LENGTH,)
        if self.inputs == "windows":
            return (LENGTH, 2)
        return (1, 8, 8) if self.inputs == "image" else SHAPES.get(self.inputs, (12,))


@cache
def dataset(given: Given) -> Dataset:
    """Return rows whose target can be told from their first numbers."""
    draw = np.random.default_rng([3, len(given.inputs), len(given.task)])
    rows = WINDOWED_ROWS if given.inputs == "windows" else ROWS
    x = draw.normal(size=(rows, *SHAPES.get(given.inputs, (2,))))
    first = x.reshape(rows, -1)[:, :2]
    columns = _inputs(given.inputs, x, draw)
    if given.task == "classification":
        columns["y0"] = np.digitize(first[:, 0], [-0.4, 0.4])
    elif given.task == "multi_label":
        columns |= {f"y{n}": first[:, n] > 0 for n in range(2)}
    elif given.task == "regression":
        columns["y0"] = first[:, 0] + 0.5 * first[:, 1]
    return _described(columns)


def _inputs(
    kind: str, x: np.ndarray[Any, Any], draw: np.random.Generator
) -> dict[str, Any]:
    if kind == "image":
        return {"x": (80 + 40 * x).clip(0, 255).astype(np.uint8)}
    if kind == "sequence":
        return {"x": x.astype(np.float32)}
    if kind in {"table", "windows"}:
        return {f"x{n}": x[:, n] for n in range(x.shape[1])}
    if kind == "text":
        return {"text0": _texts(draw)}
    columns: dict[str, Any] = {}
    for name in COLUMNS["number"]:
        columns[name] = x[:, len(columns) % 2]
    for name in COLUMNS["category"]:
        columns[name] = draw.choice(list("abcdefgh"), ROWS)
    for name in COLUMNS["date"]:
        seconds = draw.integers(0, 2 * 10**9, ROWS)
        columns[name] = (seconds * 10**6).astype("datetime64[us]")
    for name in COLUMNS["text"]:
        columns[name] = _texts(draw)
    return columns


def _texts(draw: np.random.Generator) -> np.ndarray[Any, Any]:
    words = draw.choice(WORDS, size=(ROWS, LENGTH))
    return np.array([" ".join(line) for line in words], object)


def _described(columns: dict[str, Any]) -> Dataset:
    """Describe columns, also those that an array file cannot hold."""
    plain = {n: c for n, c in columns.items() if c.dtype.kind in "biufU"}
    plain["row"] = np.arange(len(next(iter(columns.values()))))
    found = described(Path("combined"), {"train": plain}, "combined")
    known = {column.name: column for column in found.schema.columns}
    stored: dict[str, Any] = dict(found.columns)
    for name, values in columns.items():
        if values.dtype.kind == "O":
            known[name] = Column(name=name, kind="text", words=counted(values))
            stored[name] = values
        elif values.dtype.kind == "M":
            stored[name] = values.astype(np.int64)
            known[name] = Column(
                name=name,
                kind="date",
                minimum=float(stored[name].min()),
                maximum=float(stored[name].max()),
                varies=("time", "month", "weekday"),
            )
    schema = found.schema.model_copy(
        update={"columns": tuple(known[name] for name in columns)}
    )
    return Dataset(schema, {n: stored[n] for n in columns}, found.version)
