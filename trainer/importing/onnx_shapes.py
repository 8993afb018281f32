"""The little calculations of shapes in an ONNX graph, as exporters leave them.

A Reshape is told its sizes by a chain of Shape, Gather, Unsqueeze and Concat; the sizes
of one example are known, so the chain comes to constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Get = Callable[[str, Any], Any]
MOST_NUMBERS = 64
"""A shape has few axes; anything longer is no calculation of shapes."""


def computed(kind: str, get: Get, inputs: list[Array]) -> Array | None:
    """Return what an operator makes of constants; None if it is none of shapes."""
    rule = RULES.get(kind)
    if rule is None or any(array.size > MOST_NUMBERS for array in inputs):
        return None
    try:
        return np.asarray(rule(get, *inputs))
    except (ValueError, IndexError, TypeError, ZeroDivisionError):
        return None


def _gather(get: Get, x: Array, indices: Array) -> Array:
    return np.asarray(np.take(x, indices.astype(np.int64), axis=get("axis", 0)))


def _unsqueeze(get: Get, x: Array, axes: Array | None = None) -> Array:
    wanted = get("axes", None) if axes is None else axes.tolist()
    return np.expand_dims(x, tuple(wanted))


def _squeeze(get: Get, x: Array, axes: Array | None = None) -> Array:
    wanted = get("axes", None) if axes is None else axes.tolist()
    return np.squeeze(x, None if wanted is None else tuple(wanted))


def _concatenate(get: Get, *parts: Array) -> Array:
    return np.concatenate(parts, axis=get("axis", 0))


def _slice(get: Get, x: Array, *bounds: Array) -> Array:
    starts, ends = get("starts", None), get("ends", None)
    if bounds:
        starts, ends = bounds[0].tolist(), bounds[1].tolist()
    return x[int(starts[0]) : int(ends[0])]


RULES: dict[str, Callable[..., Array]] = {
    "Add": lambda _, a, b: a + b,
    "Cast": lambda _, a: a,
    "Concat": _concatenate,
    "Div": lambda _, a, b: a // b,
    "Floor": lambda _, a: np.floor(a),
    "Gather": _gather,
    "Identity": lambda _, a: a,
    "Mul": lambda _, a, b: a * b,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": lambda _, a, b: a - b,
    "Unsqueeze": _unsqueeze,
}
