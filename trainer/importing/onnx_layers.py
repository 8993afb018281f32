"""The operators of ONNX in our own words: one rule for each."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.importing.errors import unknown_node
from trainer.importing.sketch import same_border
from trainer.spec.axes import features_axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.importing.found import Array
    from trainer.importing.onnx_graph import Node, Rule, Translation

IMAGE = 3
"""Axes of one image."""


def _window(t: Translation, node: Node, kernel: Sequence[int]) -> tuple[str, Any]:
    """Return what a window slides over, and the fields that say how."""
    name, source = t.name_of(node), t.data(node)
    if len(kernel) != IMAGE - 1 or len(t.sketch.shape(source)) != IMAGE:
        raise unknown_node(node.kind, name, f"slides over {len(kernel)} axes, not 2")
    stride = tuple(node.get("strides", [1, 1]))
    dilation = tuple(node.get("dilations", [1, 1]))
    sizes = t.sketch.shape(source)[1:]
    same = same_border((sizes[0], sizes[1]), tuple(kernel), stride, dilation)  # type: ignore[arg-type]
    word = node.get("auto_pad", "NOTSET")
    pads = {
        "NOTSET": lambda: _edges(node.get("pads", [0, 0, 0, 0])),
        "VALID": lambda: (0, 0, 0, 0),
        "SAME_UPPER": lambda: (*same[0], *same[1]),
        "SAME_LOWER": lambda: (*same[0][::-1], *same[1][::-1]),
    }.get(word, lambda: None)()
    if pads is None or node.get("ceil_mode", 0):
        raise unknown_node(node.kind, name, "rounds its size up")
    return source, (tuple(kernel), stride, dilation, pads, same)


def _edges(pads: Sequence[int]) -> tuple[int, int, int, int]:
    """Return (top, bottom, left, right) of ONNX's (top, left, bottom, right)."""
    return pads[0], pads[2], pads[1], pads[3]


def _convolution(t: Translation, node: Node) -> str:
    weight = t.weights(node, 1)
    assert weight is not None
    kernel = weight[0].shape[2:]
    source, (kernel, stride, dilation, pads, same) = _window(t, node, kernel)
    source, padding = t.sketch.padded(t.name_of(node), source, pads, same)
    bias = t.weights(node, 2)
    fields = {
        "filters": weight[0].shape[0],
        "kernel_size": list(kernel),
        "stride": list(stride),
        "dilation": list(dilation),
        "groups": node.get("group", 1),
        "padding": padding,
    }
    tensors = {"weight": weight} | ({"bias": bias} if bias is not None else {})
    return t.sketch.add("conv2d", t.name_of(node), [source], fields, tensors)


def _batch_norm(t: Translation, node: Node) -> str:
    names = ("weight", "bias", "running_mean", "running_var")
    vectors = {
        name: found
        for position, name in enumerate(names, 1)
        if (found := t.weights(node, position)) is not None
    }
    epsilon, momentum = node.get("epsilon", 1e-5), node.get("momentum", 0.9)
    return t.sketch.batch_normalization(
        t.name_of(node), t.data(node), vectors, epsilon, momentum
    )


def _gemm(t: Translation, node: Node) -> str:
    weight = t.weights(node, 1)
    assert weight is not None
    if node.get("transA", 0):
        raise unknown_node("Gemm", t.name_of(node), "turns its input")
    laid = weight[0] if node.get("transB", 0) else weight[0].T
    laid = laid * np.float32(node.get("alpha", 1.0))
    bias = t.weights(node, 2)
    if bias is not None:
        scaled = bias[0] * np.float32(node.get("beta", 1.0))
        bias = (np.broadcast_to(scaled.ravel(), laid.shape[:1]).copy(), bias[1])
    return _dense(t, node, (np.ascontiguousarray(laid), weight[1]), bias)


def _matmul(t: Translation, node: Node) -> str:
    weight = t.weights(node, 1)
    assert weight is not None
    if weight[0].ndim != 2:
        raise unknown_node("MatMul", t.name_of(node), "multiplies no matrix")
    laid, bias = np.ascontiguousarray(weight[0].T), None
    add = t.only_user(node.outputs[0])
    if add is not None and add.kind == "Add":
        other = next(i for i, n in enumerate(add.inputs) if n != node.outputs[0])
        constant = t.constant(add.inputs[other])
        if constant is not None and constant.size == len(laid):
            flat = constant.astype(np.float32).ravel()
            bias = (flat, add.inputs[other])
    ours = _dense(t, node, (laid, weight[1]), bias)
    if bias is not None and add is not None:
        t.same_as(add.outputs[0], ours)
    return ours


def _dense(
    t: Translation,
    node: Node,
    weight: tuple[Array, str],
    bias: tuple[Array, str] | None,
) -> str:
    source = t.data(node)
    if len(t.sketch.shape(source)) != 1:
        raise unknown_node(node.kind, t.name_of(node), "works on more than one axis")
    tensors = {"weight": weight} | ({"bias": bias} if bias is not None else {})
    fields = {"units": len(weight[0])}
    return t.sketch.add("dense", t.name_of(node), [source], fields, tensors)


def _max_pool(t: Translation, node: Node) -> str:
    source, (kernel, stride, dilation, pads, same) = _window(
        t, node, node.get("kernel_shape", [])
    )
    name = t.name_of(node)
    if set(dilation) != {1}:
        raise unknown_node("MaxPool", name, "is dilated")
    if any(pads) and pads != (*same[0], *same[1]) and not _is_positive(t, source):
        raise unknown_node("MaxPool", name, "pads what may be negative, off centre")
    source, padding = t.sketch.padded(name, source, pads, same)
    fields = {"pool_size": list(kernel), "stride": list(stride), "padding": padding}
    return t.sketch.add("max_pool2d", name, [source], fields)


def _is_positive(t: Translation, ours: str) -> bool:
    """Tell whether zeros round a layer's outputs can never be the largest wrongly."""
    layer = next((x for x in t.sketch.layers if x["name"] == ours), {})
    return layer.get("activation") in ({"kind": "relu"}, {"kind": "relu6"})


def _average_pool(t: Translation, node: Node) -> str:
    source, (kernel, stride, dilation, pads, same) = _window(
        t, node, node.get("kernel_shape", [])
    )
    name = t.name_of(node)
    counts = bool(node.get("count_include_pad", 0)) and any(pads)
    if set(dilation) != {1} or (
        any(pads) and not counts and pads != (*same[0], *same[1])
    ):
        raise unknown_node("AveragePool", name, "pads off centre")
    padding = "same" if any(pads) else "valid"
    if counts:
        border = {"padding": [[pads[0], pads[1]], [pads[2], pads[3]]]}
        source = t.sketch.add("zero_padding2d", f"{name}_padding", [source], border)
        padding = "valid"
    fields = {"pool_size": list(kernel), "stride": list(stride), "padding": padding}
    return t.sketch.add("average_pool2d", name, [source], fields)


def _global_average(t: Translation, node: Node) -> str:
    source = t.data(node)
    axes = node.get("axes", None)
    if node.kind == "ReduceMean":
        if axes is None and len(node.inputs) > 1:
            constant = t.constant(node.inputs[1])
            axes = None if constant is None else constant.tolist()
        rank = len(t.sketch.shape(source)) + 1
        if sorted(a % rank for a in axes or ()) != [2, 3]:
            raise unknown_node("ReduceMean", t.name_of(node), f"averages axes {axes}")
    return t.sketch.add("global_average_pool2d", t.name_of(node), [source])


def _laid_out(t: Translation, node: Node) -> str:
    """Flatten, Reshape, Squeeze, Unsqueeze: the same numbers in another shape."""
    source = t.data(node, loose=True)
    shape = t.laid_out(node, t.sketch.shape(source))
    if shape is None or len(shape) < 2 or shape[0] != 1:
        raise unknown_node(node.kind, t.name_of(node), "mixes examples of a batch")
    wanted = shape[1:]
    given = t.sketch.shape(source)
    if wanted == given:
        return source
    if prod(wanted) != prod(given):
        raise unknown_node(node.kind, t.name_of(node), f"makes {wanted} of {given}")
    if len(wanted) == 1:
        return t.sketch.add("flatten", t.name_of(node), [source])
    return t.sketch.add("reshape", t.name_of(node), [source], {"shape": list(wanted)})


def _transpose(t: Translation, node: Node) -> str:
    source = t.data(node)
    order = node.get("perm", None)
    if not order or order[0] != 0:
        raise unknown_node("Transpose", t.name_of(node), "moves the batch")
    if list(order) == list(range(len(order))):
        return source
    return t.sketch.add("permute", t.name_of(node), [source], {"axes": order[1:]})


def _scaled(t: Translation, node: Node) -> str:
    found = t.scaled_input(node)
    if found is None:
        raise unknown_node(node.kind, t.name_of(node))
    return found


def _merge(kind: str) -> Rule:
    def rule(t: Translation, node: Node) -> str:
        if (scaled := t.scaled_input(node)) is not None:
            return scaled
        sources = [t.data(node, position) for position in range(len(node.inputs))]
        if len(sources) == 1:
            return sources[0]
        return t.sketch.merged(kind, t.name_of(node), sources)

    return rule


def _concatenate(t: Translation, node: Node) -> str:
    sources = [t.data(node, position) for position in range(len(node.inputs))]
    shape = t.sketch.shape(sources[0])
    axis = int(node.get("axis", 1)) % (len(shape) + 1) - 1
    if axis == features_axis(shape):
        fields = {"axis": "features"}
    elif len(shape) == 2 and axis == 0:
        fields = {"axis": "steps"}
    else:
        raise unknown_node("Concat", t.name_of(node), f"joins along axis {axis + 1}")
    if len(sources) == 1:
        return sources[0]
    return t.sketch.add("concatenate", t.name_of(node), sources, fields)


def _activation(kind: str, **fixed: tuple[str, float]) -> Rule:
    """Make the rule of a function; `fixed` is our field → (ONNX's, its default)."""

    def rule(t: Translation, node: Node) -> str:
        fields = {ours: node.get(*theirs) for ours, theirs in fixed.items()}
        return _active(t, node, {"kind": kind, **fields})

    return rule


def _active(t: Translation, node: Node, activation: dict[str, Any]) -> str:
    fields = {"activation": activation}
    return t.sketch.add("activation", t.name_of(node), [t.data(node)], fields)


def _exactly(kind: str, **needed: tuple[float, float]) -> Rule:
    """Make the rule of a function whose parameters are fixed here: (default, ours)."""

    def rule(t: Translation, node: Node) -> str:
        for name, (default, ours) in needed.items():
            if abs(node.get(name, default) - ours) > 1e-6:
                raise unknown_node(node.kind, t.name_of(node), f"has another {name}")
        return _active(t, node, {"kind": kind})

    return rule


def _softmax(kind: str) -> Rule:
    def rule(t: Translation, node: Node) -> str:
        shape = t.sketch.shape(t.data(node))
        axis = int(node.get("axis", -1 if len(shape) > 1 else 1)) % (len(shape) + 1)
        if axis - 1 != features_axis(shape):
            raise unknown_node(node.kind, t.name_of(node), f"goes along axis {axis}")
        return _active(t, node, {"kind": kind})

    return rule


def _clip(t: Translation, node: Node) -> str:
    bounds = []
    for position, name, default in ((1, "min", -np.inf), (2, "max", np.inf)):
        constant = t.weights(node, position)
        bounds.append(
            float(constant[0].reshape(-1)[0])
            if constant is not None and constant[0].size
            else float(node.get(name, default))
        )
    known = {(0.0, 6.0): "relu6", (-1.0, 1.0): "hard_tanh", (0.0, np.inf): "relu"}
    kind = known.get((bounds[0], bounds[1]))
    if kind is None:
        raise unknown_node("Clip", t.name_of(node), f"bounds values to {bounds}")
    return _active(t, node, {"kind": kind})


def _prelu(t: Translation, node: Node) -> str:
    slope = t.weights(node, 1)
    assert slope is not None
    flat = (slope[0].reshape(-1), slope[1])
    source = t.data(node)
    shared = "layer" if flat[0].size == 1 else "channel"
    fields = {"activation": {"kind": "prelu", "shared": shared}}
    tensors = {"weight": flat}
    return t.sketch.add("activation", t.name_of(node), [source], fields, tensors)


def _pad(t: Translation, node: Node) -> str:
    pads = node.get("pads", None)
    if pads is None and len(node.inputs) > 1:
        constant = t.constant(node.inputs[1])
        pads = None if constant is None else constant.tolist()
    value = t.weights(node, 2)
    filled = float(value[0].reshape(-1)[0]) if value and value[0].size else 0.0
    filled = float(node.get("value", filled))
    spatial = pads is not None and len(pads) == 2 * (IMAGE + 1)
    mode = node.get("mode", "constant")
    if (
        not spatial
        or filled
        or mode != "constant"
        or any(pads[i] for i in (0, 1, 4, 5))
    ):
        raise unknown_node("Pad", t.name_of(node), "adds no zeros round an image")
    if min(pads) < 0:
        raise unknown_node("Pad", t.name_of(node), "cuts an image")
    if not any(pads):
        return t.data(node)
    fields = {"padding": [[pads[2], pads[6]], [pads[3], pads[7]]]}
    return t.sketch.add("zero_padding2d", t.name_of(node), [t.data(node)], fields)


def _identity(t: Translation, node: Node) -> str:
    return t.data(node)


RULES: dict[str, Rule] = {
    "Add": _merge("add"),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Celu": _activation("celu", alpha=("alpha", 1.0)),
    "Clip": _clip,
    "Concat": _concatenate,
    "Conv": _convolution,
    "Div": _scaled,
    "Dropout": _identity,
    "Elu": _activation("elu", alpha=("alpha", 1.0)),
    "Flatten": _laid_out,
    "Gelu": _activation("gelu"),
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "HardSigmoid": _exactly("hard_sigmoid", alpha=(0.2, 1 / 6), beta=(0.5, 0.5)),
    "HardSwish": _activation("hard_swish"),
    "Identity": _identity,
    "LeakyRelu": _activation("leaky_relu", negative_slope=("alpha", 0.01)),
    "LogSoftmax": _softmax("log_softmax"),
    "MatMul": _matmul,
    "Max": _merge("maximum"),
    "MaxPool": _max_pool,
    "Mean": _merge("average"),
    "Mish": _activation("mish"),
    "Mul": _merge("multiply"),
    "PRelu": _prelu,
    "Pad": _pad,
    "ReduceMean": _global_average,
    "Relu": _activation("relu"),
    "Reshape": _laid_out,
    "Selu": _exactly(
        "selu", alpha=(1.6732632, 1.6732632), gamma=(1.0507010, 1.0507010)
    ),
    "Sigmoid": _activation("sigmoid"),
    "Softmax": _softmax("softmax"),
    "Softplus": _activation("softplus"),
    "Softsign": _activation("softsign"),
    "Squeeze": _laid_out,
    "Sub": _scaled,
    "Sum": _merge("add"),
    "Tanh": _activation("tanh"),
    "Transpose": _transpose,
    "Unsqueeze": _laid_out,
}
