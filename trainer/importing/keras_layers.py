"""Keras' layers in our own words: one rule for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.importing.errors import unknown_node
from trainer.importing.keras_placed import IMAGE, KINDS, Config, Rule, named_function
from trainer.importing.layouts import dense_from_last, from_depthwise, from_hwio
from trainer.spec.network import INPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.importing.found import Array
    from trainer.importing.keras_placed import Placed


def _dense(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
    source = placed.source(inputs)
    if len(placed.shape(source)) != 1:
        raise unknown_node("Dense", name, "works on more than one axis")
    has_bias = bool(config.get("use_bias", True))
    kernel, *bias = placed.weights(name, 1 + has_bias)
    laid = kernel[0]
    if placed.channels_last and source in placed.flattened:
        laid = dense_from_last(laid, placed.flattened[source])
    tensors = {"weight": (np.ascontiguousarray(laid.T), kernel[1])}
    tensors |= {"bias": bias[0]} if bias else {}
    fields = {"units": kernel[0].shape[-1]}
    ours = placed.sketch.add("dense", name, [source], fields, tensors)
    return placed.followed(name, ours, config.get("activation"))


def _fields(config: Config) -> Config:
    padding = str(config.get("padding", "valid"))
    if padding not in {"valid", "same"}:
        raise ValueError(f"padding {padding!r}")
    return {
        "kernel_size": list(config["kernel_size"]),
        "stride": list(config.get("strides", [1, 1])),
        "dilation": list(config.get("dilation_rate", [1, 1])),
        "padding": padding,
    }


def _convolution(
    placed: Placed, name: str, config: Config, inputs: Sequence[str]
) -> str:
    has_bias = bool(config.get("use_bias", True))
    kernel, *bias = placed.weights(name, 1 + has_bias)
    tensors = {"weight": (from_hwio(kernel[0]), kernel[1])}
    tensors |= {"bias": bias[0]} if bias else {}
    fields = {
        **_fields(config),
        "filters": kernel[0].shape[-1],
        "groups": int(config.get("groups") or 1),
    }
    ours = placed.sketch.add("conv2d", name, [placed.source(inputs)], fields, tensors)
    return placed.followed(name, ours, config.get("activation"))


def _depthwise(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
    has_bias = bool(config.get("use_bias", True))
    kernel, *bias = placed.weights(name, 1 + has_bias)
    ours = _each_channel(placed, name, config, inputs, kernel, bias)
    return placed.followed(name, ours, config.get("activation"))


def _each_channel(  # noqa: PLR0917 - a layer's parts, in Keras' order
    placed: Placed,
    name: str,
    config: Config,
    inputs: Sequence[str],
    kernel: tuple[Array, str],
    bias: list[tuple[Array, str]],
) -> str:
    laid = from_depthwise(kernel[0])
    tensors = {"weight": (laid, kernel[1])} | ({"bias": bias[0]} if bias else {})
    fields = {
        **_fields(config),
        "filters": len(laid),
        "groups": kernel[0].shape[2],
    }
    return placed.sketch.add("conv2d", name, [placed.source(inputs)], fields, tensors)


def _separable(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
    has_bias = bool(config.get("use_bias", True))
    depth, point, *bias = placed.weights(name, 2 + has_bias)
    if "separable_conv2d" in KINDS:
        tensors = {
            "depthwise_weight": (from_depthwise(depth[0]), depth[1]),
            "pointwise_weight": (from_hwio(point[0]), point[1]),
        }
        tensors |= {"bias": bias[0]} if bias else {}
        fields = {
            **_fields(config),
            "filters": point[0].shape[-1],
            "depth_multiplier": depth[0].shape[3],
        }
        source = placed.source(inputs)
        ours = placed.sketch.add("separable_conv2d", name, [source], fields, tensors)
    else:
        each = _each_channel(placed, f"{name}_depthwise", config, inputs, depth, [])
        tensors = {"weight": (from_hwio(point[0]), point[1])}
        tensors |= {"bias": bias[0]} if bias else {}
        fields = {"filters": point[0].shape[-1], "kernel_size": 1}
        ours = placed.sketch.add("conv2d", name, [each], fields, tensors)
    return placed.followed(name, ours, config.get("activation"))


def _batch_norm(
    placed: Placed, name: str, config: Config, inputs: Sequence[str]
) -> str:
    source = placed.source(inputs)
    rank = len(placed.shape(source))
    axis = config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) else axis
    wanted = rank if placed.channels_last or rank == 1 else 1
    if axis % (rank + 1) != wanted or rank == 2 or placed.is_turned(source):
        raise unknown_node("BatchNormalization", name, f"normalises axis {axis}")
    scales, centres = bool(config.get("scale", True)), bool(config.get("center", True))
    names = ["weight"] * scales + ["bias"] * centres + ["running_mean", "running_var"]
    vectors = dict(zip(names, placed.weights(name, len(names)), strict=True))
    epsilon, momentum = float(config["epsilon"]), float(config["momentum"])
    ours = placed.sketch.batch_normalization(name, source, vectors, epsilon, momentum)
    placed.carry(source, ours)
    return ours


def _function(kind: str, **fields: tuple[tuple[str, ...], float]) -> Rule:
    """Make the rule of an activation's own class: our field → (names, default)."""

    def rule(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
        values = {
            ours: float(next((config[n] for n in names if n in config), default))
            for ours, (names, default) in fields.items()
        }
        return _active(placed, name, inputs, {"kind": kind, **values})

    return rule


def _active(placed: Placed, name: str, inputs: Sequence[str], activation: Any) -> str:
    source = placed.source(inputs)
    kind = activation["kind"] if isinstance(activation, dict) else activation
    if kind in {"softmax", "log_softmax"} and placed.is_turned(source):
        placed.notes.append(f"{name}: the outputs are in the order of channels first")
    if kind == "none":
        return source
    if isinstance(activation, str):
        activation = {"kind": activation}
    fields = {"activation": activation}
    ours = placed.sketch.add("activation", name, [source], fields)
    placed.carry(source, ours)
    return ours


def _activation(
    placed: Placed, name: str, config: Config, inputs: Sequence[str]
) -> str:
    return _active(placed, name, inputs, named_function(name, config["activation"]))


def _relu(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
    most = config.get("max_value")
    slope = float(config.get("negative_slope") or 0.0)
    if float(config.get("threshold") or 0.0) or most not in {None, 6}:
        raise unknown_node("ReLU", name, "has bounds of its own")
    if slope:
        leak = {"kind": "leaky_relu", "negative_slope": slope}
        return _active(placed, name, inputs, leak)
    return _active(placed, name, inputs, "relu" if most is None else "relu6")


def _softmax(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
    if config.get("axis", -1) not in (-1, [-1]):
        raise unknown_node("Softmax", name, "goes along another axis")
    return _active(placed, name, inputs, "softmax")


def _pool(kind: str) -> Rule:
    def rule(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
        size = list(config["pool_size"])
        fields = {
            "pool_size": size,
            "stride": list(config.get("strides") or size),
            "padding": str(config.get("padding", "valid")),
        }
        return placed.sketch.add(kind, name, [placed.source(inputs)], fields)

    return rule


def _global_pool(kind: str) -> Rule:
    def rule(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
        if kind not in KINDS:
            raise unknown_node(kind, name)
        pooled = placed.sketch.add(kind, name, [placed.source(inputs)])
        if not config.get("keepdims"):
            return pooled
        shape = {"shape": [*placed.shape(pooled), 1, 1]}
        return placed.sketch.add("reshape", f"{name}_image", [pooled], shape)

    return rule


def _flatten(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
    source = placed.source(inputs)
    shape = placed.shape(source)
    if len(shape) == 1:
        return source
    ours = placed.sketch.add("flatten", name, [source])
    if len(shape) == IMAGE and placed.channels_last:
        placed.flattened[ours] = shape
    return ours


def _reshape(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
    source = placed.source(inputs)
    if placed.is_turned(source):
        raise unknown_node("Reshape", name, "follows a flattened image")
    turns = placed.channels_last
    wanted = [int(size) for size in config["target_shape"]]
    if len(wanted) == 1 and placed.shape(source)[1:] == (1, 1):  # one pixel
        return placed.sketch.add("flatten", name, [source])
    if len(placed.shape(source)) == IMAGE and turns:
        axes = {"axes": [2, 3, 1]}
        source = placed.sketch.add("permute", f"{name}_channels_last", [source], axes)
    shape = {"shape": wanted}
    if len(wanted) != IMAGE or not turns:
        return placed.sketch.add("reshape", name, [source], shape)
    laid = placed.sketch.add("reshape", f"{name}_numbers", [source], shape)
    return placed.sketch.add("permute", name, [laid], {"axes": [3, 1, 2]})


def _merge(kind: str) -> Rule:
    def rule(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
        sources = [placed.source([i]) for i in inputs]
        turned = {placed.flattened.get(s) for s in sources if placed.is_turned(s)}
        if turned and (kind == "concatenate" or len(turned) > 1):
            raise unknown_node(kind, name, "joins flattened images")
        fields: Config = {}
        if kind == "concatenate":
            rank = len(placed.shape(sources[0]))
            axis = int(config.get("axis", -1)) % (rank + 1)
            wanted = rank if placed.channels_last or rank == 1 else 1
            if axis != wanted or rank == 2:
                raise unknown_node("Concatenate", name, f"joins along axis {axis}")
            fields = {"axis": "features"}
        if kind == "concatenate":
            ours = placed.sketch.add(kind, name, sources, fields)
        else:
            ours = placed.sketch.merged(kind, name, sources)
        placed.carry(sources[0], ours)
        return ours

    return rule


def _edges(config: Config, word: str) -> list[list[int]]:
    found = config[word]
    if isinstance(found, int):
        return [[found, found], [found, found]]
    return [[e, e] if isinstance(e, int) else [int(v) for v in e] for e in found]


def _zero_padding(
    placed: Placed, name: str, config: Config, inputs: Sequence[str]
) -> str:
    fields = {"padding": _edges(config, "padding")}
    return placed.sketch.add("zero_padding2d", name, [placed.source(inputs)], fields)


def _cropping(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
    fields = {"cropping": _edges(config, "cropping")}
    return placed.sketch.add("cropping2d", name, [placed.source(inputs)], fields)


def _upsampling(
    placed: Placed, name: str, config: Config, inputs: Sequence[str]
) -> str:
    if str(config.get("interpolation", "nearest")) != "nearest":
        raise unknown_node("UpSampling2D", name, "interpolates")
    size = config["size"]
    fields = {"size": list(size) if isinstance(size, list) else size}
    return placed.sketch.add("upsampling2d", name, [placed.source(inputs)], fields)


def _rescaling(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
    """Read the file's own preprocessing, where it is one pair of numbers."""
    source = placed.source(inputs)
    scale, offset = config["scale"], config.get("offset", 0.0)
    if isinstance(scale, list):
        scale, offset = (_along(placed, v) for v in (scale, offset))
    if source != INPUT or not placed.channels_last:
        raise unknown_node("Rescaling", name, "is not the first layer")
    placed.scale(name, scale, offset)
    return source


def _along(placed: Placed, values: Any) -> Any:
    """Return numbers of channels or features so that they broadcast over the input."""
    rank = len(placed.shape(INPUT))
    array = np.asarray(values, np.float64)
    return array.reshape(-1, *[1] * (rank - 1)) if array.ndim else array


def _normalization(
    placed: Placed, name: str, config: Config, inputs: Sequence[str]
) -> str:
    """Read the mean and variance that Keras fitted to its raw inputs."""
    source, rank = placed.source(inputs), len(placed.shape(INPUT))
    axes = config.get("axis", -1)
    last = axes in (-1, [-1], rank, [rank]) and (placed.channels_last or rank == 1)
    if source != INPUT or not last:
        raise unknown_node("Normalization", name, "is not the first layer")
    if config.get("mean") is not None:
        found = [np.asarray(config[word], np.float64) for word in ("mean", "variance")]
    else:
        found = [array.astype(np.float64) for array, _ in placed.weights(name, 3)[:2]]
    mean, variance = (_along(placed, part.reshape(-1)) for part in found)
    scale = 1 / np.maximum(np.sqrt(variance), 1e-7)
    placed.scale(name, scale, -mean * scale)
    return source


def _dropout(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
    source = placed.source(inputs)
    rate = float(config.get("rate", 0.0))
    if not 0 < rate < 1:
        return source
    ours = placed.sketch.add("dropout", name, [source], {"rate": rate})
    placed.carry(source, ours)
    return ours


def _identity(placed: Placed, name: str, config: Config, inputs: Sequence[str]) -> str:
    return placed.source(inputs)


RULES: dict[str, Rule] = {
    "Activation": _activation,
    "ActivityRegularization": _identity,
    "Add": _merge("add"),
    "Average": _merge("average"),
    "AveragePooling2D": _pool("average_pool2d"),
    "BatchNormalization": _batch_norm,
    "Concatenate": _merge("concatenate"),
    "Conv2D": _convolution,
    "Cropping2D": _cropping,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Dropout": _dropout,
    "ELU": _function("elu", alpha=(("alpha",), 1.0)),
    "Flatten": _flatten,
    "GaussianDropout": _identity,
    "GaussianNoise": _identity,
    "GlobalAveragePooling2D": _global_pool("global_average_pool2d"),
    "GlobalMaxPooling2D": _global_pool("global_max_pool2d"),
    "Identity": _identity,
    "LeakyReLU": _function(
        "leaky_relu", negative_slope=(("negative_slope", "alpha"), 0.3)
    ),
    "Maximum": _merge("maximum"),
    "MaxPooling2D": _pool("max_pool2d"),
    "Multiply": _merge("multiply"),
    "Normalization": _normalization,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "SeparableConv2D": _separable,
    "Softmax": _softmax,
    "SpatialDropout2D": _identity,
    "UpSampling2D": _upsampling,
    "ZeroPadding2D": _zero_padding,
}
