"""How activations and normalisations are said in ONNX: more rules of `operators`.

Add one: write its rule, name it in `FUNCTIONS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from trainer.export.operators import Call, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

aten = torch.ops.aten


def _hard_sigmoid(call: Call) -> str:
    return call.node("HardSigmoid", call["self"], alpha=1 / 6, beta=0.5)


def _hard_swish(call: Call) -> str:
    gate = call.node("HardSigmoid", call["self"], alpha=1 / 6, beta=0.5)
    return call.node("Mul", call["self"], gate)


def _mish(call: Call) -> str:
    gate = call.node("Tanh", call.node("Softplus", call["self"]))
    return call.node("Mul", call["self"], gate)


def _celu(call: Call) -> str:
    return call.node("Celu", call["self"], alpha=float(call["alpha"]))


def _prelu(call: Call) -> str:
    return call.node("PRelu", call["self"], call["weight"])


def _rsqrt(call: Call) -> str:
    return call.node("Reciprocal", call.node("Sqrt", call["self"]))


def _largest(call: Call) -> str:
    axes = call.constant(list(call["dim"]), np.int64)
    return call.node("ReduceMax", call["self"], axes, keepdims=int(call["keepdim"]))


def _transpose(call: Call) -> str:
    order = list(range(call.out.ndim))
    one, other = call["dim0"], call["dim1"]
    order[one], order[other] = order[other], order[one]
    return call.node("Transpose", call["self"], perm=order)


def _layer_norm(call: Call) -> str:
    axes = len(call["normalized_shape"])
    if call["weight"] is None or call["bias"] is None:
        raise Unsupported("layer normalisation without scale and shift")
    return call.node(
        "LayerNormalization",
        call["input"],
        call["weight"],
        call["bias"],
        axis=-axes,
        epsilon=float(call["eps"]),
    )


def _group_norm(call: Call) -> str:
    """Say it as instance normalisation of the groups: opset 20 has no other way."""
    shape, groups = tuple(call.out.shape), call["group"]
    spread = (-1, *(1 for _ in shape[2:]))
    ones = np.ones(groups)
    apart = call.node(
        "InstanceNormalization",
        call.node("Reshape", call["input"], call.constant([0, groups, -1], np.int64)),
        call.constant(ones),
        call.constant(0 * ones),
        epsilon=float(call["eps"]),
    )
    shaped = call.node("Reshape", apart, call.constant([0, *shape[1:]], np.int64))
    if call["weight"] is None or call["bias"] is None:
        raise Unsupported("group normalisation without scale and shift")
    weight, bias = (
        call.node("Reshape", call[name], call.constant(spread, np.int64))
        for name in ("weight", "bias")
    )
    return call.node("Add", call.node("Mul", shaped, weight), bias)


FUNCTIONS: dict[object, Callable[[Call], str]] = {
    aten.hardsigmoid.default: _hard_sigmoid,
    aten.hardswish.default: _hard_swish,
    aten.mish.default: _mish,
    aten.celu.default: _celu,
    aten._prelu_kernel.default: _prelu,  # noqa: SLF001 - torch's own name
    aten.rsqrt.default: _rsqrt,
    aten.amax.default: _largest,
    aten.transpose.int: _transpose,
    aten.native_layer_norm.default: _layer_norm,
    aten.native_group_norm.default: _group_norm,
}
"""The rule of each operator that is an activation or a normalisation."""
