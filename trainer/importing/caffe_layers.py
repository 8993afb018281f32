"""Caffe's layers in our own words: one rule for each type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.importing.errors import unknown_node
from trainer.importing.sketch import same_border
from trainer.spec.axes import features_axis

if TYPE_CHECKING:
    from trainer.importing.found import Array
    from trainer.importing.sketch import Sketch

Fields = dict[str, list[Any]]
Rule = Callable[["Drawn", str, Fields, Sequence[str]], str]
Four = tuple[int, int, int, int]


@dataclass
class Drawn:
    """The sketch, where each blob is in it, and the layers' arrays."""

    sketch: Sketch
    values: dict[str, str]
    blobs: dict[str, list[tuple[Array, str]]]
    notes: list[str] = field(default_factory=list)

    def source(self, name: str, bottoms: Sequence[str]) -> str:
        """Return the layer here behind a layer's only input."""
        if len(bottoms) != 1 or bottoms[0] not in self.values:
            raise unknown_node("layer", name, f"takes {list(bottoms)}")
        return self.values[bottoms[0]]

    def weights(self, name: str, count: int) -> list[tuple[Array, str]]:
        """Return a layer's arrays.

        Raises:
            NotImportable: there are fewer than its description needs.
        """
        found = self.blobs.get(name, [])
        if len(found) < count:
            raise unknown_node(
                "layer", name, f"has {len(found)} arrays in the caffemodel, not {count}"
            )
        return found[:count]


def _inner(fields: Fields, name: str) -> Fields:
    found = fields.get(name) or [{}]
    return dict(found[-1])


def _one(fields: Fields, name: str, default: Any) -> Any:
    return (fields.get(name) or [default])[-1]


def _pair(fields: Fields, both: str, short: str, default: int) -> tuple[int, int]:
    """Return (height, width) of a size that Caffe writes in three ways."""
    sizes = [int(s) for s in fields.get(both, [])]
    first = sizes[0] if sizes else default
    second = sizes[1] if len(sizes) > 1 else first
    height = int(_one(fields, f"{short}_h", first))
    return height, int(_one(fields, f"{short}_w", second))


def _convolution(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    about = _inner(fields, "convolution_param")
    source = d.source(name, bottoms)
    has_bias = bool(_one(about, "bias_term", True))
    weight, *bias = d.weights(name, 1 + has_bias)
    kernel = _pair(about, "kernel_size", "kernel", 1)
    stride = _pair(about, "stride", "stride", 1)
    dilation = _pair(about, "dilation", "dilation", 1)
    high, wide = _pair(about, "pad", "pad", 0)
    sizes = d.sketch.shape(source)[1:]
    same = same_border((sizes[0], sizes[1]), kernel, stride, dilation)
    pads = (high, high, wide, wide)
    source, padding = d.sketch.padded(name, source, pads, same)
    filters, groups = int(about["num_output"][-1]), int(_one(about, "group", 1))
    channels = d.sketch.shape(source)[0]
    shaped: Array = weight[0].reshape(filters, channels // groups, *kernel)
    tensors = {"weight": (shaped, weight[1])}
    tensors |= {"bias": (bias[0][0].reshape(-1), bias[0][1])} if bias else {}
    wanted = {
        "filters": filters,
        "kernel_size": list(kernel),
        "stride": list(stride),
        "dilation": list(dilation),
        "groups": groups,
        "padding": padding,
    }
    return d.sketch.add("conv2d", name, [source], wanted, tensors)


def _inner_product(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    about = _inner(fields, "inner_product_param")
    source = d.source(name, bottoms)
    has_bias = bool(_one(about, "bias_term", True))
    weight, *bias = d.weights(name, 1 + has_bias)
    units = int(about["num_output"][-1])
    features = prod(d.sketch.shape(source))
    if _one(about, "transpose", False):
        laid = np.ascontiguousarray(weight[0].reshape(features, units).T)
    else:
        laid = weight[0].reshape(units, features)
    tensors = {"weight": (laid, weight[1])}
    tensors |= {"bias": (bias[0][0].reshape(-1), bias[0][1])} if bias else {}
    return d.sketch.add("dense", name, [source], {"units": units}, tensors)


def _active(
    d: Drawn, name: str, bottoms: Sequence[str], activation: Fields | Any
) -> str:
    fields = {"activation": activation}
    return d.sketch.add("activation", name, [d.source(name, bottoms)], fields)


def _relu(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    slope = float(_one(_inner(fields, "relu_param"), "negative_slope", 0.0))
    leak = {"kind": "leaky_relu", "negative_slope": slope}
    return _active(d, name, bottoms, leak if slope else {"kind": "relu"})


def _elu(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    alpha = float(_one(_inner(fields, "elu_param"), "alpha", 1.0))
    return _active(d, name, bottoms, {"kind": "elu", "alpha": alpha})


def _prelu(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    (slope,) = d.weights(name, 1)
    flat = slope[0].reshape(-1)
    shared = "layer" if flat.size == 1 else "channel"
    wanted = {"activation": {"kind": "prelu", "shared": shared}}
    source = d.source(name, bottoms)
    tensors = {"weight": (flat, slope[1])}
    return d.sketch.add("activation", name, [source], wanted, tensors)


def _function(kind: str) -> Rule:
    def rule(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
        return _active(d, name, bottoms, {"kind": kind})

    return rule


def _softmax(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    shape = d.sketch.shape(d.source(name, bottoms))
    axis = int(_one(_inner(fields, "softmax_param"), "axis", 1)) % (len(shape) + 1)
    if axis - 1 != features_axis(shape):
        raise unknown_node("Softmax", name, f"goes along axis {axis}")
    return _active(d, name, bottoms, {"kind": "softmax"})


def _pooling(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    about, source = _inner(fields, "pooling_param"), d.source(name, bottoms)
    is_largest = str(_one(about, "pool", "MAX")) in {"MAX", "0"}
    if _one(about, "global_pooling", False):
        kind = "global_max_pool2d" if is_largest else "global_average_pool2d"
        pooled = d.sketch.add(kind, name, [source])
        channels = d.sketch.shape(pooled)[0]
        shape = {"shape": [channels, 1, 1]}
        return d.sketch.add("reshape", f"{name}_shape", [pooled], shape)
    kernel = _pair(about, "kernel_size", "kernel", 1)
    stride = _pair(about, "stride", "stride", 1)
    high, wide = _pair(about, "pad", "pad", 0)
    sizes = d.sketch.shape(source)[1:]
    edges = [
        (pad, pad + _over(size, k, s, pad, about))
        for size, k, s, pad in zip(sizes, kernel, stride, (high, wide), strict=True)
    ]
    pads = (*edges[0], *edges[1])
    same = same_border((sizes[0], sizes[1]), kernel, stride)
    uneven = any(before != after for before, after in edges)
    if any(pads) and not (is_largest and pads == (*same[0], *same[1])):
        if is_largest and not _is_positive(d, source):
            raise unknown_node("Pooling", name, "pads what may be negative")
        if not is_largest and uneven:
            raise unknown_node("Pooling", name, "averages windows that are cut off")
        border = {"padding": [[pads[0], pads[1]], [pads[2], pads[3]]]}
        source = d.sketch.add("zero_padding2d", f"{name}_padding", [source], border)
        padding = "valid"
    else:
        padding = "same" if any(pads) else "valid"
    wanted = {"pool_size": list(kernel), "stride": list(stride), "padding": padding}
    kind = "max_pool2d" if is_largest else "average_pool2d"
    return d.sketch.add(kind, name, [source], wanted)


def _over(size: int, kernel: int, stride: int, pad: int, about: Fields) -> int:
    """Return how far the last window reaches out: Caffe rounds sizes up."""
    if str(_one(about, "round_mode", "CEIL")) in {"FLOOR", "1"}:
        return 0
    positions = -(-(size + 2 * pad - kernel) // stride) + 1
    if pad and (positions - 1) * stride >= size + pad:
        positions -= 1  # it would lie in the border altogether
    return max((positions - 1) * stride + kernel - size - 2 * pad, 0)


def _is_positive(d: Drawn, ours: str) -> bool:
    """Tell whether zeros round a layer's outputs can never be the largest wrongly."""
    layer = next((x for x in d.sketch.layers if x["name"] == ours), {})
    return layer.get("activation") in ({"kind": "relu"}, {"kind": "relu6"})


def _batch_norm(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    about = _inner(fields, "batch_norm_param")
    mean, variance, factor = d.weights(name, 3)
    scale = float(factor[0].reshape(-1)[0])
    scale = 1.0 / scale if scale else 0.0  # what Caffe divides its sums by
    vectors = {
        "running_mean": (mean[0].reshape(-1) * np.float32(scale), mean[1]),
        "running_var": (variance[0].reshape(-1) * np.float32(scale), variance[1]),
    }
    epsilon = float(_one(about, "eps", 1e-5))
    source = d.source(name, bottoms)
    return d.sketch.batch_normalization(name, source, vectors, epsilon)


def _scale(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    """Give a batch normalisation the scale and shift that Caffe keeps apart."""
    about, source = _inner(fields, "scale_param"), d.source(name, bottoms)
    layer = next((x for x in d.sketch.layers if x["name"] == source), {})
    if layer.get("kind") != "batch_normalization" or layer.get("is_scaled"):
        raise unknown_node("Scale", name, "follows no BatchNorm")
    has_bias = bool(_one(about, "bias_term", False))
    found = d.weights(name, 1 + has_bias)
    for local, (array, origin) in zip(("weight", "bias"), found, strict=False):
        flat = array.reshape(-1)
        if flat.shape != d.sketch.tensors[f"{source}.{local}"].shape:
            raise unknown_node("Scale", name, f"scales {flat.size} channels")
        d.sketch.tensors[f"{source}.{local}"] = flat
        d.sketch.origins[f"{source}.{local}"] = (origin, flat.shape)
    return source


def _concatenate(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    sources = [d.values[bottom] for bottom in bottoms]
    shape = d.sketch.shape(sources[0])
    axis = int(_one(_inner(fields, "concat_param"), "axis", 1)) % (len(shape) + 1) - 1
    if axis == features_axis(shape):
        wanted = {"axis": "features"}
    elif len(shape) == 2 and axis == 0:
        wanted = {"axis": "steps"}
    else:
        raise unknown_node("Concat", name, f"joins along axis {axis + 1}")
    return d.sketch.add("concatenate", name, sources, wanted)


def _eltwise(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    about = _inner(fields, "eltwise_param")
    kinds = {"PROD": "multiply", "SUM": "add", "MAX": "maximum"}
    kind = kinds.get(str(_one(about, "operation", "SUM")))
    if kind is None or any(float(c) != 1 for c in about.get("coeff", [])):
        raise unknown_node("Eltwise", name, "weighs its inputs")
    return d.sketch.merged(kind, name, [d.values[bottom] for bottom in bottoms])


def _flatten(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    source = d.source(name, bottoms)
    about = _inner(fields, "flatten_param")
    if int(_one(about, "axis", 1)) != 1:
        raise unknown_node("Flatten", name, "flattens some axes only")
    if len(d.sketch.shape(source)) == 1:
        return source
    return d.sketch.add("flatten", name, [source])


def _reshape(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    source = d.source(name, bottoms)
    sizes = [int(s) for s in _inner(_inner(fields, "reshape_param"), "shape")["dim"]]
    shape = d.sketch.shape(source)
    if sizes[0] not in {0, 1}:
        raise unknown_node("Reshape", name, "mixes examples of a batch")
    wanted = [shape[i] if s == 0 else s for i, s in enumerate(sizes[1:])]
    if len(wanted) == 1:
        return d.sketch.add("flatten", name, [source])
    return d.sketch.add("reshape", name, [source], {"shape": wanted})


def _permute(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    order = [int(axis) for axis in _inner(fields, "permute_param")["order"]]
    if order[0] != 0:
        raise unknown_node("Permute", name, "moves the batch")
    source = d.source(name, bottoms)
    return d.sketch.add("permute", name, [source], {"axes": order[1:]})


def _identity(d: Drawn, name: str, fields: Fields, bottoms: Sequence[str]) -> str:
    return d.source(name, bottoms)


RULES: dict[str, Rule] = {
    "BatchNorm": _batch_norm,
    "Concat": _concatenate,
    "Convolution": _convolution,
    "ConvolutionDepthwise": _convolution,
    "DepthwiseConvolution": _convolution,
    "Dropout": _identity,
    "ELU": _elu,
    "Eltwise": _eltwise,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "PReLU": _prelu,
    "Permute": _permute,
    "Pooling": _pooling,
    "ReLU": _relu,
    "Reshape": _reshape,
    "Scale": _scale,
    "Sigmoid": _function("sigmoid"),
    "Softmax": _softmax,
    "Split": _identity,
    "TanH": _function("tanh"),
}
