"""How torch's operators are said in ONNX. Add one: write its rule, name it in `RULES`.

A rule is given a call that torch has just computed, adds nodes to the graph and
returns the name of its output there. Only what networks of ours run in evaluation mode
is here; anything else is `Unsupported`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

aten = torch.ops.aten


class Unsupported(Exception):
    """A call that no rule covers; the graph must be made in another way."""


class Call(Protocol):
    """One operator that torch has run, and the graph that it is to be said in."""

    batch: int
    """Examples in the traced batch."""
    out: Tensor
    """What torch computed; of several outputs the first."""

    def __getitem__(self, argument: str) -> Any:
        """Return an argument by the name in the operator's schema.

        A tensor, also one in a list, is replaced by its name in the graph.
        """

    def shape(self, argument: str) -> tuple[int, ...]:
        """Return the sizes of a tensor among the arguments."""

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Add a node with one output and return the output's name."""

    def constant(self, value: object, dtype: type[np.generic] = np.float32) -> str:
        """Add a constant and return its name."""


def _unary(kind: str) -> Callable[[Call], str]:
    """Return the rule of a function of one tensor that ONNX has too."""
    return lambda call: call.node(kind, call["self"])


def _binary(kind: str, right: str = "other") -> Callable[[Call], str]:
    """Return the rule of a function of two tensors, or of a tensor and a number."""

    def rule(call: Call) -> str:
        operands = [
            each if isinstance(each, str) else call.constant(each)
            for each in (call["self"], call[right])
        ]
        return call.node(kind, *operands)

    return rule


def _sum(kind: str) -> Callable[[Call], str]:
    """Return the rule of a sum or difference, whose second part torch can scale."""
    plain = _binary(kind)

    def rule(call: Call) -> str:
        if call["alpha"] != 1:
            raise Unsupported(f"{kind} with alpha {call['alpha']}")
        return plain(call)

    return rule


def _identity(call: Call) -> str:
    return str(call["self"])


def _elu(call: Call) -> str:
    if call["input_scale"] != 1:
        raise Unsupported(f"elu with input_scale {call['input_scale']}")
    alpha, scale = float(call["alpha"]), float(call["scale"])
    if scale == 1:
        return call.node("Elu", call["self"], alpha=alpha)
    return call.node("Selu", call["self"], alpha=alpha, gamma=scale)


def _leaky_relu(call: Call) -> str:
    slope = float(call["negative_slope"])
    return call.node("LeakyRelu", call["self"], alpha=slope)


def _gelu(call: Call) -> str:
    return call.node("Gelu", call["self"], approximate=call["approximate"])


def _silu(call: Call) -> str:
    return call.node("Mul", call["self"], call.node("Sigmoid", call["self"]))


def _softplus(call: Call) -> str:
    if call["beta"] != 1:
        raise Unsupported(f"softplus with beta {call['beta']}")
    return call.node("Softplus", call["self"])


def _clip(low: str, high: str) -> Callable[[Call], str]:
    """Return the rule of a clamp whose bounds have these names; None is no bound."""

    def rule(call: Call) -> str:
        bounds = [
            "" if call[bound] is None else call.constant(call[bound])
            for bound in (low, high)
        ]
        return call.node("Clip", call["self"], *bounds)

    return rule


def _softmax(kind: str) -> Callable[[Call], str]:
    return lambda call: call.node(kind, call["self"], axis=call["dim"])


def _matmul(call: Call) -> str:
    return call.node("MatMul", call["self"], call["mat2"])


def _addmm(call: Call) -> str:
    return call.node(
        "Gemm",
        call["mat1"],
        call["mat2"],
        call["self"],
        alpha=float(call["alpha"]),
        beta=float(call["beta"]),
    )


def _convolution(call: Call) -> str:
    bias = [] if call["bias"] is None else [call["bias"]]
    more = {"output_padding": call["output_padding"]} if call["transposed"] else {}
    return call.node(
        "ConvTranspose" if call["transposed"] else "Conv",
        call["input"],
        call["weight"],
        *bias,
        strides=call["stride"],
        pads=[*call["padding"], *call["padding"]],
        dilations=call["dilation"],
        group=call["groups"],
        **more,
    )


def _batch_norm(call: Call) -> str:
    if call["training"] or call["running_mean"] is None:
        raise Unsupported("batch normalisation without stored statistics")
    ones = np.ones(call.out.shape[1])
    return call.node(
        "BatchNormalization",
        call["input"],
        call["weight"] or call.constant(ones),
        call["bias"] or call.constant(0 * ones),
        call["running_mean"],
        call["running_var"],
        epsilon=float(call["eps"]),
    )


def _view(call: Call) -> str:
    if call.out.ndim == 0 or call.out.shape[0] != call.batch:
        raise Unsupported("a view that mixes the examples of a batch")
    # 0 keeps the input's own size, so the graph takes batches of any size.
    shape = call.constant([0, *call.out.shape[1:]], np.int64)
    return call.node("Reshape", call["self"], shape)


def _pad(call: Call) -> str:
    before, after = [0] * call.out.ndim, [0] * call.out.ndim
    amounts: Sequence[int] = call["pad"]
    for axis, start in enumerate(range(0, len(amounts), 2), start=1):
        before[-axis], after[-axis] = amounts[start], amounts[start + 1]
    pads = call.constant(before + after, np.int64)
    return call.node("Pad", call["self"], pads, call.constant(call["value"]))


def _max_pool(call: Call) -> str:
    return call.node(
        "MaxPool",
        call["self"],
        kernel_shape=_pair(call["kernel_size"]),
        strides=_pair(call["stride"] or call["kernel_size"]),
        pads=_pair(call["padding"]) * 2,
        dilations=_pair(call["dilation"]),
        ceil_mode=int(call["ceil_mode"]),
    )


def _average_pool(call: Call) -> str:
    if call["divisor_override"] is not None:
        raise Unsupported("average pooling with a divisor of its own")
    return call.node(
        "AveragePool",
        call["self"],
        kernel_shape=_pair(call["kernel_size"]),
        strides=_pair(call["stride"] or call["kernel_size"]),
        pads=_pair(call["padding"]) * 2,
        ceil_mode=int(call["ceil_mode"]),
        count_include_pad=int(call["count_include_pad"]),
    )


def _pair(sizes: int | Sequence[int]) -> list[int]:
    """Return (height, width) of what torch lets one write once."""
    found = [sizes] if isinstance(sizes, int) else list(sizes)
    return found * 2 if len(found) == 1 else found


def _mean(call: Call) -> str:
    axes = call.constant(list(call["dim"]), np.int64)
    return call.node("ReduceMean", call["self"], axes, keepdims=int(call["keepdim"]))


def _cat(call: Call) -> str:
    return call.node("Concat", *call["tensors"], axis=call["dim"])


def _dropout(call: Call) -> str:
    # not ONNX's own Dropout: onnxruntime optimises it away, training mode or not
    rate = float(call["p"])
    draws = call.node("RandomUniformLike", call["input"])
    dropped = call.node("Less", draws, call.constant(rate))
    kept = call.node("Where", dropped, call.constant(0.0), call["input"])
    return call.node("Mul", kept, call.constant(1 / (1 - rate)))


RULES: dict[object, Callable[[Call], str]] = {
    aten.relu.default: _unary("Relu"),
    aten.sigmoid.default: _unary("Sigmoid"),
    aten.tanh.default: _unary("Tanh"),
    aten.exp.default: _unary("Exp"),
    aten.log.default: _unary("Log"),
    aten.sqrt.default: _unary("Sqrt"),
    aten.abs.default: _unary("Abs"),
    aten.neg.default: _unary("Neg"),
    aten.erf.default: _unary("Erf"),
    aten.maximum.default: _binary("Max"),
    aten.minimum.default: _binary("Min"),
    aten.mul.Tensor: _binary("Mul"),
    aten.div.Tensor: _binary("Div"),
    aten.pow.Tensor_Scalar: _binary("Pow", "exponent"),
    aten.add.Tensor: _sum("Add"),
    aten.sub.Tensor: _sum("Sub"),
    aten.alias.default: _identity,
    aten.clone.default: _identity,
    aten.detach.default: _identity,
    aten.elu.default: _elu,
    aten.leaky_relu.default: _leaky_relu,
    aten.gelu.default: _gelu,
    aten.silu.default: _silu,
    aten.softplus.default: _softplus,
    aten.clamp.default: _clip("min", "max"),
    aten.hardtanh.default: _clip("min_val", "max_val"),
    aten._softmax.default: _softmax("Softmax"),  # noqa: SLF001 - torch's own name
    aten._log_softmax.default: _softmax("LogSoftmax"),  # noqa: SLF001
    aten.mm.default: _matmul,
    aten.addmm.default: _addmm,
    aten.convolution.default: _convolution,
    aten.native_batch_norm.default: _batch_norm,
    aten.view.default: _view,
    aten._unsafe_view.default: _view,  # noqa: SLF001
    aten.constant_pad_nd.default: _pad,
    aten.max_pool2d_with_indices.default: _max_pool,
    aten.avg_pool2d.default: _average_pool,
    aten.mean.dim: _mean,
    aten.cat.default: _cat,
    # of graphs that draw: see `sampled_export`
    aten.native_dropout.default: _dropout,
    aten.randn_like.default: _unary("RandomNormalLike"),
}
"""The rule of each operator that reaches the device in evaluation mode."""

TYPE_ONLY = {aten.new_ones.default, aten.new_zeros.default, aten.new_full.default}
"""Operators that take of their input nothing but its type: they make constants."""
