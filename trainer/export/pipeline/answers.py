"""The end of the graph: raw outputs become probabilities and labels, or values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.export.graph import OUTPUT
from trainer.export.pipeline.node_writer import NETWORK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trainer.export.pipeline.node_writer import NodeWriter

Array = np.ndarray[Any, np.dtype[Any]]

LIKELY = 0.5
"""A label is given where its probability reaches this."""


@dataclass(frozen=True)
class Answers:
    """The outputs of the graph."""

    first: str
    """The network's raw output, which what follows begins with."""
    values: tuple[tuple[str, str, tuple[int | str, ...]], ...]
    """Name, type and shape of each output; the first holds numbers."""

    def described(self) -> list[dict[str, Any]]:
        """Return what is said of them in JSON."""
        return [
            {"name": name, "type": kind, "shape": list(shape)}
            for name, kind, shape in self.values
        ]


def ending(
    scribe: NodeWriter, description: Mapping[str, Any], taken: set[str]
) -> Answers:
    """Write the nodes from raw outputs to answers; `taken` are the inputs' names."""
    raw = NETWORK + OUTPUT
    task, classes = description.get("task"), list(description.get("classes") or [])
    units = int(np.prod(description["layers"][-1]["output_shape"]))
    row = scribe.reshaped(raw, 0, -1)
    if task == "classification":
        wide = scribe.node("Softmax", scribe.cast(row, "double"), axis=1)
        best = scribe.node("ArgMax", wide, axis=1, keepdims=0)
        kind, names = _names(classes, units)
        label = scribe.node("Gather", names, best, axis=0)
        pair = [
            (scribe.cast(wide, "float"), "probabilities", "float", ("batch", units)),
            (label, "label", kind, ("batch",)),
        ]
    elif task == "multi_label":
        wide = scribe.node("Sigmoid", scribe.cast(row, "double"))
        likely = scribe.node("GreaterOrEqual", wide, LIKELY)
        pair = [
            (scribe.cast(wide, "float"), "probabilities", "float", ("batch", units)),
            (likely, "labels", "bool", ("batch", units)),
        ]
    else:
        pair = [(row, "values", "float", ("batch", units))]
    outputs = []
    for value, word, kind, shape in pair:
        name = f"predicted_{word}" if word in taken else word
        while name in taken:
            name = f"{name}_"
        outputs.append((scribe.named(value, name), kind, shape))
    return Answers(raw, tuple(outputs))


def _names(classes: Sequence[Any], units: int) -> tuple[str, Any]:
    """Return the type and the names of the classes."""
    if len(classes) != units:
        return "int64", np.arange(units, dtype=np.int64)
    if all(isinstance(each, bool) for each in classes):
        return "bool", np.array(classes, np.bool_)
    if all(isinstance(each, int) for each in classes):
        return "int64", np.array(classes, np.int64)
    if all(isinstance(each, int | float) for each in classes):
        return "double", np.array(classes, np.float64)
    return "string", np.array([str(each) for each in classes], object)
