"""Does the imported network answer as its source does? Measured, never assumed.

Beside the source's own runtime where there is one (ONNX Runtime for ONNX); against what
the person states: outputs for given inputs, or the accuracy on a catalogued data set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.errors import BadValue, NonFinite
from trainer.importing.errors import unfit
from trainer.importing.inputs import schema_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trainer.importing.found import Array
    from trainer.importing.network import Settled
    from trainer.preprocessing import Preprocessing
    from trainer.spec.imports import Expected

TOLERANCE = 1e-4
"""Largest difference from a runtime, relative to the largest output above one."""
DRAWN = 8
"""Rows that are drawn to compare with a runtime."""
CHUNK = 512


class WrittenGraph:
    """The written graph, ready to answer."""

    def __init__(self, path: Path) -> None:
        """Load it with one thread."""
        import onnxruntime  # noqa: PLC0415 - slow to load

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, x: Array) -> Array:
        """Return the outputs of a batch of preprocessed rows."""
        parts = [
            self._session.run(None, {"input": x[start : start + CHUNK]})[0]
            for start in range(0, len(x), CHUNK)
        ]
        return np.concatenate(parts)


def beside_runtime(
    settled: Settled, preprocessing: Preprocessing, graph: Callable[[Array], Array]
) -> dict[str, Any] | None:
    """Compare with the source's own runtime on drawn inputs, where there is one."""
    if settled.runtime is None:
        return None
    x = _drawn(preprocessing)
    raw = x
    if settled.scaling is not None:  # the source does it itself
        scale, offset = settled.scaling
        raw = ((x - offset) / scale).astype(np.float32)
    theirs = settled.runtime(raw)
    ours = graph(x)
    if theirs.size != ours.size:
        raise unfit(
            "check_failed",
            f"the source answers {theirs.shape}, the import {ours.shape}",
        )
    report = _compared(ours, theirs.reshape(ours.shape), settled.ending, TOLERANCE)
    return {"kind": "runtime", "runtime": settled.runtime_name, **report}


def _drawn(preprocessing: Preprocessing) -> Array:
    """Return drawn rows as the network takes them; images are drawn as pixels."""
    draws = np.random.default_rng(0)
    column = preprocessing.description.columns[0]
    if column.kind == "image":
        pixels = draws.integers(0, 256, (DRAWN, *column.shape), np.uint8)
        return preprocessing.apply({column.name: pixels})
    return draws.standard_normal((DRAWN, *preprocessing.shape), np.float32)


def against_stated(
    expected: Expected,
    settled: Settled,
    preprocessing: Preprocessing,
    graph: Callable[[Array], Array],
) -> dict[str, Any]:
    """Compare with the outputs that the person states for some inputs."""
    place = "/expected/inputs"
    try:
        x = preprocessing.apply(expected.inputs or [])
    except (BadValue, NonFinite) as error:
        raise unfit("bad_value", str(error), pointer=place) from error
    ours = graph(x)
    try:
        theirs = np.asarray(expected.outputs, np.float64).reshape(ours.shape)
    except (ValueError, TypeError) as error:
        raise unfit(
            "bad_value",
            f"the outputs are not numbers of the shape {list(ours.shape)}",
            pointer="/expected/outputs",
        ) from error
    tolerance = expected.tolerance
    endings = {None, settled.ending, _probable(settled.task)}
    reports = []
    for ending in sorted(endings, key=str):
        try:
            reports.append(_compared(ours, theirs, ending, tolerance))
        except ValueError:
            continue
    passed = [report for report in reports if report["passed"]]
    best = (passed or sorted(reports, key=lambda r: float(r["maximum_difference"])))[0]
    return {"kind": "stated outputs", **best}


def _probable(task: str) -> str | None:
    return {"classification": "softmax", "multi_label": "sigmoid"}.get(task)


def _compared(
    ours: Array, theirs: Array, ending: str | None, tolerance: float
) -> dict[str, Any]:
    """Return how far answers are apart, after the ending that the source has."""
    answers = ended(ours.astype(np.float64), ending)
    difference = float(np.abs(answers - theirs).max())
    bound = tolerance * max(1.0, float(np.abs(theirs).max()))
    return {
        "passed": bool(difference <= bound),
        "maximum_difference": difference,
        "tolerance": bound,
        "rows": len(ours),
        "compared": {"softmax": "probabilities", "sigmoid": "probabilities"}.get(
            ending or "", "outputs"
        ),
    }


def ended(outputs: Array, ending: str | None) -> Array:
    """Return outputs after the softmax or sigmoid that was taken off the network."""
    if ending == "softmax":
        grown = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
        return np.asarray(grown / grown.sum(axis=-1, keepdims=True))
    if ending == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(outputs, -700, 700))))
    return outputs


def accuracy(
    expected: Expected,
    folder: Path,
    settled: Settled,
    preprocessing: Preprocessing,
    graph: Callable[[Array], Array],
) -> dict[str, Any]:
    """Measure the accuracy on a part of a data set and hold it against the stated."""
    found, rows = _measured(expected, folder, settled, preprocessing, graph)
    assert expected.accuracy is not None
    off = abs(found - expected.accuracy)
    return {
        "kind": "stated accuracy",
        "passed": off <= expected.accuracy_tolerance + 1e-12,
        "accuracy": found,
        "stated": expected.accuracy,
        "tolerance": expected.accuracy_tolerance,
        "dataset": expected.dataset,
        "part": expected.part,
        "rows": rows,
    }


def _measured(
    expected: Expected,
    folder: Path,
    settled: Settled,
    preprocessing: Preprocessing,
    graph: Callable[[Array], Array],
) -> tuple[float, int]:
    schema, place = schema_of(folder), "/expected"
    if settled.task != "classification":
        raise unfit("no_classes", "only classification has an accuracy", pointer=place)
    if why := preprocessing.mismatch(schema):
        raise unfit("other_input", f"the data set does not fit: {why}", pointer=place)
    part = schema.part(expected.part)
    if part is None or not part.rows:
        parts = ", ".join(p.name for p in schema.parts)
        detail = f"the data set has no part {expected.part!r}; it has {parts}"
        raise unfit("unknown_part", detail, pointer=f"{place}/part")
    target = expected.target or schema.target
    column = schema.column(target) if target else None
    if column is None or column.kind not in {"integer", "boolean", "category"}:
        detail = f"the data set has no column of classes {target!r}"
        raise unfit("unknown_column", detail, pointer=f"{place}/target")

    def stored(name: str) -> Array:
        path = folder / "columns" / f"{schema.index(name)}.npy"
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array

    labels = np.asarray(stored(column.name)[part.start : part.stop])
    classes = list(settled.classes)
    if column.kind == "category":
        numbers = {name: code for code, name in enumerate(column.categories)}
        classes = [numbers.get(str(c), -2) for c in classes]
    columns = {c.name: stored(c.name) for c in preprocessing.description.columns}
    columns = dict(preprocessing.recoded(schema, columns))
    rows = np.arange(part.start, part.stop, dtype=np.int64)
    right = at = 0
    for chunk in preprocessing.chunks(columns, rows):
        best = graph(chunk).argmax(axis=1)
        answers = [classes[b] for b in best.tolist()]
        right += int(np.sum(np.asarray(answers) == labels[at : at + len(chunk)]))
        at += len(chunk)
    return right / len(rows), len(rows)


def refuse_failed(report: dict[str, Any], pointer: str) -> None:
    """End the import if a check did not pass.

    Raises:
        NotImportable: with what was found and what is usually the reason.
    """
    if report["passed"]:
        return
    if "accuracy" in report:
        said = (
            f"the accuracy is {report['accuracy']:.4f}, stated {report['stated']:.4f}"
        )
    else:
        said = (
            f"outputs differ by {report['maximum_difference']:.3g}, at most "
            f"{report['tolerance']:.3g} are allowed"
        )
    raise unfit(
        "check_failed",
        f"the import does not answer as its source does: {said}",
        "check `preprocessing` first, then activations, `layout` and `map`",
        pointer=pointer,
    )
