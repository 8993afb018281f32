"""How numbers are moved, chosen and compared in ONNX: more rules of `operators`.

Add one: write its rule, name it in `MOVES`. These may answer truth values and whole
numbers; the rules elsewhere answer float32 alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from onnx import TensorProto

from trainer.export.operators import Call, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

aten = torch.ops.aten

TYPES = {
    torch.float32: TensorProto.FLOAT,
    torch.int64: TensorProto.INT64,
    torch.bool: TensorProto.BOOL,
}
"""What tensors of a graph can hold."""
FARTHEST = 2**63 - 1


def axis_of(call: Call, argument: str = "dim") -> int:
    """Return an axis of the input as a number from 0."""
    axis, axes = int(call[argument]), len(call.shape("self"))
    return axis % axes


def numbers(call: Call, *values: int) -> str:
    """Return the name of a constant list of whole numbers."""
    return call.constant(list(values), np.int64)


def _plain(kind: str, *inputs: str) -> Callable[[Call], str]:
    """Return the rule of an operator that ONNX has under another name."""
    return lambda call: call.node(kind, *(call[name] for name in inputs))


def _compared(kind: str) -> Callable[[Call], str]:
    """Return the rule of a comparison with a tensor or a number."""

    def rule(call: Call) -> str:
        other = call["other"]
        right = other if isinstance(other, str) else call.constant(other)
        return call.node(kind, call["self"], right)

    return rule


def _logical(kind: str) -> Callable[[Call], str]:
    """Return the rule of an operator that is for truth values alone."""

    def rule(call: Call) -> str:
        if call.out.dtype != torch.bool:
            raise Unsupported(f"{kind} of whole numbers")
        given = [call["self"], *([] if kind == "Not" else [call["other"]])]
        return call.node(kind, *given)

    return rule


def _cast(call: Call) -> str:
    wanted = call["dtype"]
    if wanted is None:
        return str(call["self"])
    if wanted not in TYPES:
        raise Unsupported(f"a tensor of {wanted}")
    return call.node("Cast", call["self"], to=TYPES[wanted])


def _any(call: Call) -> str:
    ones = call.node("Cast", call["self"], to=TensorProto.FLOAT)
    axes = numbers(call, axis_of(call))
    keep = int(call["keepdim"])
    largest = call.node("ReduceMax", ones, axes, keepdims=keep)
    return call.node("Greater", largest, call.constant(0.0))


def _sum(call: Call) -> str:
    axes = numbers(call, *call["dim"])
    return call.node("ReduceSum", call["self"], axes, keepdims=int(call["keepdim"]))


def _cumulated(call: Call) -> str:
    return call.node("CumSum", call["self"], call.constant(axis_of(call), np.int64))


def _masked(call: Call) -> str:
    return call.node("Where", call["mask"], call.constant(call["value"]), call["self"])


def _wider(call: Call) -> str:
    axis = int(call["dim"]) % call.out.ndim
    return call.node("Unsqueeze", call["self"], numbers(call, axis))


def _narrower(call: Call) -> str:
    axis = axis_of(call)
    if call.shape("self")[axis] != 1:
        return str(call["self"])
    return call.node("Squeeze", call["self"], numbers(call, axis))


def _sliced(call: Call) -> str:
    axis, start, end = axis_of(call), call["start"] or 0, call["end"]
    end, step = FARTHEST if end is None else end, call["step"]
    size = call.shape("self")[axis]
    if start == 0 and end >= size and step == 1:
        return str(call["self"])
    if axis == 0:
        raise Unsupported("a choice among the examples of a batch")
    places = (numbers(call, each) for each in (start, end, axis, step))
    return call.node("Slice", call["self"], *places)


def _selected(call: Call) -> str:
    axis = axis_of(call)
    if axis == 0:
        raise Unsupported("a choice among the examples of a batch")
    place = call.constant(call["index"], np.int64)
    return call.node("Gather", call["self"], place, axis=axis)


def _flipped(call: Call) -> str:
    axes = [axis % call.out.ndim for axis in call["dims"]]
    if 0 in axes:
        raise Unsupported("another order of the examples of a batch")
    last, before, step = [-1] * len(axes), [-FARTHEST] * len(axes), [-1] * len(axes)
    places = (numbers(call, *each) for each in (last, before, axes, step))
    return call.node("Slice", call["self"], *places)


def _expanded(call: Call) -> str:
    if call.out.shape[0] != call.batch or call.shape("self")[0] != call.batch:
        raise Unsupported("a repetition of the examples of a batch")
    shape = numbers(call, 1, *call.out.shape[1:])  # 1 takes the input's own size
    return call.node("Expand", call["self"], shape)


def _permuted(call: Call) -> str:
    order = [axis % call.out.ndim for axis in call["dims"]]
    return call.node("Transpose", call["self"], perm=order)


def _gathered(call: Call) -> str:
    return call.node("GatherElements", call["self"], call["index"], axis=axis_of(call))


def _scattered(call: Call) -> str:
    given = (call["self"], call["index"], call["src"])
    return call.node("ScatterElements", *given, axis=axis_of(call))


MOVES: dict[object, Callable[[Call], str]] = {
    aten.ge.Scalar: _compared("GreaterOrEqual"),
    aten.ge.Tensor: _compared("GreaterOrEqual"),
    aten.gt.Scalar: _compared("Greater"),
    aten.gt.Tensor: _compared("Greater"),
    aten.le.Scalar: _compared("LessOrEqual"),
    aten.le.Tensor: _compared("LessOrEqual"),
    aten.lt.Scalar: _compared("Less"),
    aten.lt.Tensor: _compared("Less"),
    aten.bitwise_not.default: _logical("Not"),
    aten.bitwise_and.Tensor: _logical("And"),
    aten.bitwise_or.Tensor: _logical("Or"),
    aten.any.dim: _any,
    aten._to_copy.default: _cast,  # noqa: SLF001 - torch's own name
    aten.sum.dim_IntList: _sum,
    aten.cumsum.default: _cumulated,
    aten.masked_fill.Scalar: _masked,
    aten.where.self: _plain("Where", "condition", "self", "other"),
    aten.embedding.default: _plain("Gather", "weight", "indices"),
    aten.unsqueeze.default: _wider,
    aten.squeeze.dim: _narrower,
    aten.slice.Tensor: _sliced,
    aten.select.int: _selected,
    aten.flip.default: _flipped,
    aten.expand.default: _expanded,
    aten.permute.default: _permuted,
    aten.gather.default: _gathered,
    aten.scatter.src: _scattered,
}
"""The rule of each operator that moves, chooses or compares."""
