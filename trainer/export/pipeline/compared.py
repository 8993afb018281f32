"""Whether the whole graph answers what Frostline answers, on real rows and odd ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from trainer.errors import ExportWrong
from trainer.export.compared import TOLERANCE, Compared
from trainer.export.errors import CannotExport
from trainer.export.graph import INPUT
from trainer.export.pipeline.columns import raw
from trainer.preprocessing import tables
from trainer.preprocessing.rows import columns_of
from trainer.saved.model_folder import GRAPH

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trainer.export.opened import Opened
    from trainer.export.pipeline.answers import Answers
    from trainer.spec.data.schema import Column

Array = np.ndarray[Any, np.dtype[Any]]

ODD_ROWS = 24
DATES = (
    None,
    "1899-12-31T23:59:59",
    "2000-02-29T23:59:59.999999",
    "1969-12-31",
    "2023-12-31T06:30:00",
    "2024-12-31",
    "2100-03-01",
    "1970-01-01",
)
NUMBERS = (None, 0.0, -3.5, 1e4, 0.25)
TRUTHS = (None, True, False)


def compare(
    opened: Opened, path: Path, outputs: Answers, more: dict[str, Any]
) -> Compared:
    """Compare the graph's answers with those of the model's own way to predict.

    Raises:
        ExportWrong: they differ.
    """
    try:
        whole = _session(path)
    except Exception as error:  # ONNX Runtime's own have no common class
        why = f"ONNX Runtime does not take it: {str(error)[:300]}"
        raise CannotExport("an ONNX graph", "this model", why) from error
    network = _session(opened.folder / GRAPH)
    task = str(opened.description.get("task"))
    batches = [_odd(opened)]
    real = opened.real
    if real is not None:
        batches.insert(0, (_fed(opened, real.columns, real.rows), real.input))
    largest, rows = 0.0, 0
    names = [name for name, _, _ in outputs.values]
    for given, features in batches:
        found = whole.run(names, given)
        (answer,) = network.run(None, {INPUT: features})
        expected = _meant(task, answer.reshape(len(features), -1))
        largest = max(largest, _apart(found[0], expected))
        _same_labels(task, found, expected, opened.description.get("classes") or [])
        rows += len(features)
    return Compared(largest, rows, 0 if real is None else len(real.rows), more)


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )


def _fed(opened: Opened, columns: Mapping[str, Any], rows: Array) -> dict[str, Array]:
    """Return the graph's inputs for rows of columns."""
    described = opened.preprocessing.description
    if not described.encodings:
        column = described.columns[0]
        return {column.name: np.asarray(columns[column.name][rows])}
    about = {column.name: column for column in described.columns}
    return {
        each.column: raw(about[each.column], np.asarray(columns[each.column])[rows])
        for each in described.encodings
    }


def _odd(opened: Opened) -> tuple[dict[str, Array], Array]:
    """Return rows in which things are missing, unknown or far away; and their input."""
    described = opened.preprocessing.description
    draw = np.random.default_rng(0)
    if not described.encodings:
        column = described.columns[0]
        size = (ODD_ROWS, *column.shape)
        drawn = draw.normal(size=size).astype(np.float32)
        if column.kind == "image":
            drawn = draw.integers(0, 256, size).astype(np.uint8)
        columns: Any = {column.name: drawn}
        rows = np.arange(ODD_ROWS)
        return {column.name: drawn}, opened.preprocessing.apply(columns, rows)
    choices = {column.name: _choices(column) for column in described.columns}
    written = [
        {
            name: each[(row * 7 + place) % len(each)]
            for place, (name, each) in enumerate(choices.items())
        }
        for row in range(ODD_ROWS)
    ]
    columns = columns_of(written, described.columns)
    rows = np.arange(ODD_ROWS)
    if described.windows is not None:
        steps = np.arange(described.windows.length)
        rows = (rows[:, np.newaxis] + steps) % ODD_ROWS
    found = tables.sequences_of(described.encodings, columns, rows)
    return _fed(opened, columns, rows), found


def _choices(column: Column) -> tuple[Any, ...]:
    if column.kind == "category":
        return (None, *column.categories[:6], "\N{REPLACEMENT CHARACTER} unknown")
    return {"date": DATES, "boolean": TRUTHS}.get(column.kind, NUMBERS)


def _meant(task: str, outputs: Array) -> Array:
    """Return the probabilities or values that raw outputs stand for."""
    wide = outputs.astype(np.float64)
    if task == "classification":
        grown = np.exp(wide - wide.max(axis=1, keepdims=True))
        shares: Array = grown / grown.sum(axis=1, keepdims=True)
        return shares
    if task == "multi_label":
        likely: Array = 1 / (1 + np.exp(-np.clip(wide, -700, 700)))
        return likely
    return wide


def _apart(found: Array, expected: Array) -> float:
    if found.shape != expected.shape:
        raise ExportWrong(difference=float("inf"), tolerance=TOLERANCE)
    apart = float(np.abs(found - expected).max())
    tolerance = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not apart <= tolerance:  # true of a difference that is no number, too
        raise ExportWrong(difference=apart, tolerance=tolerance)
    return apart


def _same_labels(
    task: str, found: list[Array], expected: Array, classes: list[Any]
) -> None:
    """Check that labels are those of the largest probabilities, where that is clear."""
    if task != "classification":
        return
    first, second = np.sort(expected, axis=1)[:, [-1, -2]].T
    names = classes if len(classes) == expected.shape[1] else range(expected.shape[1])
    best = [list(names)[place] for place in expected.argmax(axis=1)]
    told = found[1].tolist()
    for row, name in enumerate(best):
        clear = first[row] - second[row] > 2 * TOLERANCE
        if clear and told[row] != name and told[row] != str(name):
            raise ExportWrong(difference=float("inf"), tolerance=TOLERANCE)
