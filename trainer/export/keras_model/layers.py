"""Layers as Keras has them: one rule for each kind.

A rule adds a layer and returns what it gives. Kinds that Keras has no layer for are
named, with the reason, in `trainer.spec.exports`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainer.export.keras_model.drawing import IMAGE, TO_LAST, Value
from trainer.export.keras_model.tails import activated, followed, normalised, numbers
from trainer.spec.layers.blocks import pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.export.keras_model.drawing import Array, Drawing
    from trainer.spec.network import Row


@dataclass(frozen=True)
class LayerFacts:
    """Everything that is known of a layer."""

    row: Row
    layer: Any
    """Its spec."""
    module: Any
    inputs: tuple[Value, ...]

    @property
    def name(self) -> str:
        """Return its name."""
        return self.row.name

    @property
    def value(self) -> Value:
        """Return its first input."""
        return self.inputs[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of its outputs."""
        return self.row.output_shape


Rule = "Callable[[Drawing, LayerFacts], Value]"


def _bias(module: Any) -> tuple[dict[str, bool], list[Array]]:
    """Return whether there are biases, and those."""
    if module.bias is None:
        return {"use_bias": False}, []
    return {"use_bias": True}, [numbers(module.bias)]


def _dense(drawing: Drawing, told: LayerFacts) -> Value:
    module, name = told.module, told.name
    flat = drawing.flat(told.value, f"{name}_flatten", turned=True)
    weight = numbers(module.weight).T  # (features, units)
    if flat.image is not None:
        channels, *sizes = flat.image
        laid = weight.reshape(channels, *sizes, -1)
        weight = laid.transpose(1, 2, 0, 3).reshape(weight.shape)
    config, bias = _bias(module)
    units = weight.shape[1]
    more = {"units": units} | config
    sums = drawing.add("Dense", name, [flat], (units,), more, [weight, *bias])
    return followed(drawing, sums, name, told.layer, module)


def _conv2d(drawing: Drawing, told: LayerFacts) -> Value:
    sums = _convolved(drawing, told, told.name, told.module, told.layer)
    return followed(drawing, sums, told.name, told.layer, told.module)


def _convolved(  # noqa: PLR0917 - what a convolution is made of
    drawing: Drawing,
    told: LayerFacts,
    name: str,
    module: Any,
    layer: Any,
    value: Value | None = None,
) -> Value:
    weight = numbers(module.weight)  # (filters, channels / groups, height, width)
    config, bias = _bias(module)
    same = module.border is not None or any(module.padding)
    same = same or getattr(layer, "padding", "same") == "same"
    more = {
        "filters": weight.shape[0],
        "kernel_size": list(weight.shape[2:]),
        "strides": list(module.stride),
        "dilation_rate": list(module.dilation),
        "groups": module.groups,
        "padding": "same" if same else "valid",
    }
    kernel = weight.transpose(2, 3, 1, 0)
    shape = told.shape if value is None else (weight.shape[0], *told.shape[1:])
    given = told.value if value is None else value
    return drawing.add("Conv2D", name, [given], shape, config | more, [kernel, *bias])


def _depthwise(drawing: Drawing, told: LayerFacts) -> Value:
    module, layer = told.module, told.layer
    weight = numbers(module.weight)  # (channels x multiplier, 1, height, width)
    channels, size = module.groups, weight.shape[2:]
    kernel = weight.reshape(channels, -1, *size).transpose(2, 3, 0, 1)
    config, bias = _bias(module)
    more = {
        "kernel_size": list(size),
        "strides": list(module.stride),
        "dilation_rate": list(module.dilation),
        "depth_multiplier": kernel.shape[3],
        "padding": layer.padding,
    }
    sums = drawing.add(
        "DepthwiseConv2D",
        told.name,
        [told.value],
        told.shape,
        config | more,
        [kernel, *bias],
    )
    return followed(drawing, sums, told.name, layer, module)


def _separable(drawing: Drawing, told: LayerFacts) -> Value:
    module, layer = told.module, told.layer
    depth, point = numbers(module.depthwise_weight), numbers(module.pointwise_weight)
    size = depth.shape[2:]
    channels = told.value.keras_shape[-1]
    axes = tuple(range(2, 2 + len(size)))
    laid = depth.reshape(channels, -1, *size).transpose(*axes, 0, 1)
    mixed = point.transpose(*axes, 1, 0)
    config, bias = _bias(module)
    more = {
        "filters": point.shape[0],
        "kernel_size": list(size),
        "strides": list(module.stride),
        "dilation_rate": list(module.dilation),
        "depth_multiplier": depth.shape[0] // channels,
        "padding": layer.padding,
    }
    sums = drawing.add(
        f"SeparableConv{len(size)}D",
        told.name,
        [told.value],
        told.shape,
        config | more,
        [laid, mixed, *bias],
    )
    return followed(drawing, sums, told.name, layer, module)


def _conv1d(drawing: Drawing, told: LayerFacts) -> Value:
    module, layer = told.module, told.layer
    weight = numbers(module.weight)  # (filters, features / groups, kernel)
    config, bias = _bias(module)
    more = {
        "filters": weight.shape[0],
        "kernel_size": [weight.shape[2]],
        "strides": [layer.stride],
        "dilation_rate": [layer.dilation],
        "groups": layer.groups,
        "padding": layer.padding,
    }
    kernel = weight.transpose(2, 1, 0)
    sums = drawing.add(
        "Conv1D", told.name, [told.value], told.shape, config | more, [kernel, *bias]
    )
    return followed(drawing, sums, told.name, layer, module)


def _transposed(drawing: Drawing, told: LayerFacts) -> Value:
    module, layer = told.module, told.layer
    weight = numbers(module.weight)  # (channels, filters, *kernel)
    axes = tuple(range(2, weight.ndim))
    config, bias = _bias(module)
    more = {
        "filters": weight.shape[1],
        "kernel_size": list(weight.shape[2:]),
        "strides": list(module.stride),
        "padding": layer.padding,
    }
    kernel = weight.transpose(*axes, 1, 0)
    sums = drawing.add(
        f"Conv{len(axes)}DTranspose",
        told.name,
        [told.value],
        told.shape,
        config | more,
        [kernel, *bias],
    )
    return followed(drawing, sums, told.name, layer, module)


def _residual(drawing: Drawing, told: LayerFacts) -> Value:
    """Write its parts: Keras has no such layer, but all that it is made of."""
    module, name, layer = told.module, told.name, told.layer
    plain = layer.model_copy(update={"activation": None})
    first = _convolved(drawing, told, f"{name}_conv1", module.conv1, layer, told.value)
    first = followed(drawing, first, f"{name}_conv1", layer, module.conv1)
    second = _convolved(drawing, told, f"{name}_conv2", module.conv2, layer, first)
    second = followed(drawing, second, f"{name}_conv2", plain, module.conv2)
    around = told.value
    if module.shortcut is not None:
        short = f"{name}_shortcut"
        around = _convolved(drawing, told, short, module.shortcut, layer, told.value)
        around = followed(drawing, around, short, plain, module.shortcut)
    total = drawing.add("Add", name, [second, around], told.shape)
    total = activated(
        drawing, total, f"{name}_activation", layer.activation, module.activation
    )
    if module.drop is None:
        return total
    rate = {"rate": module.drop.p}
    return drawing.add("Dropout", f"{name}_dropout", [total], told.shape, rate)


def _pool(kind: str) -> Callable[[Drawing, LayerFacts], Value]:
    def rule(drawing: Drawing, told: LayerFacts) -> Value:
        layer = told.layer
        size = layer.pool_size
        stride = layer.stride or size
        axes = len(told.shape) - 1
        config = {
            "pool_size": list(pair(size)) if axes > 1 else [size],
            "strides": list(pair(stride)) if axes > 1 else [stride],
            "padding": layer.padding,
        }
        return drawing.add(
            f"{kind}{axes}D", told.name, [told.value], told.shape, config
        )

    return rule


def _plain(kind: str, **fields: str) -> Callable[[Drawing, LayerFacts], Value]:
    """Return the rule of a layer that has nothing but fields: Keras' name → ours."""

    def rule(drawing: Drawing, told: LayerFacts) -> Value:
        config = {theirs: getattr(told.layer, ours) for theirs, ours in fields.items()}
        name = f"{kind}{len(told.value.shape) - 1}D" if kind.endswith("_") else kind
        found = drawing.add(
            name.replace("_", ""), told.name, [told.value], told.shape, config
        )
        same = found.shape == told.value.shape
        return Value(found.name, told.shape, told.value.image if same else None)

    return rule


def _edged(kind: str, field: str) -> Callable[[Drawing, LayerFacts], Value]:
    def rule(drawing: Drawing, told: LayerFacts) -> Value:
        axes = len(told.shape) - 1
        amount = getattr(told.layer, field)
        config = {field: _edges(amount, axes)}
        return drawing.add(
            f"{kind}{axes}D", told.name, [told.value], told.shape, config
        )

    return rule


def _edges(amount: Any, axes: int) -> Any:
    """Return how much is added or cut off, before and after, along each axis."""
    if axes == 1:
        return list(pair(amount))
    rows = pair(amount) if not isinstance(amount, int) else (amount, amount)
    return [list(pair(each)) for each in rows]


def _merge(kind: str) -> Callable[[Drawing, LayerFacts], Value]:
    def rule(drawing: Drawing, told: LayerFacts) -> Value:
        config = {}
        if kind == "Concatenate":
            config = {"axis": 1 if told.layer.axis == "steps" else -1}
        return drawing.add(kind, told.name, told.inputs, told.shape, config)

    return rule


def _flatten(drawing: Drawing, told: LayerFacts) -> Value:
    turned = told.name in drawing.turnable
    return drawing.flat(told.value, told.name, turned=turned)


def _reshape(drawing: Drawing, told: LayerFacts) -> Value:
    first = drawing.first(told.value, f"{told.name}_channels_first")
    target = {"target_shape": list(told.shape)}
    laid = drawing.add("Reshape", told.name, [first], told.shape, target)
    if len(told.shape) != IMAGE:
        return laid
    name = f"{told.name}_channels_last"
    return drawing.add("Permute", name, [laid], told.shape, {"dims": TO_LAST})


def _permute(drawing: Drawing, told: LayerFacts) -> Value:
    """Put axes into another order, which Keras counts with the channels last."""
    axes = list(told.layer.axes)
    if len(axes) == IMAGE:
        theirs = {1: 3, 2: 1, 3: 2}  # where Keras has our axis
        axes = [theirs[axes[1]], theirs[axes[2]], theirs[axes[0]]]
    config = {"dims": axes}
    return drawing.add("Permute", told.name, [told.value], told.shape, config)


def _normalization(drawing: Drawing, told: LayerFacts) -> Value:
    return normalised(drawing, told.value, told.name, told.module)


def _activation(drawing: Drawing, told: LayerFacts) -> Value:
    layer = told.layer
    return activated(drawing, told.value, told.name, layer.activation, told.module)


def _embedding(drawing: Drawing, told: LayerFacts) -> Value:
    table = numbers(told.module.weight)
    config = {"input_dim": table.shape[0], "output_dim": table.shape[1]}
    return drawing.add(
        "Embedding", told.name, [told.value], told.shape, config, [table]
    )


Rules = dict[str, "Callable[[Drawing, LayerFacts], Value]"]

RULES: Rules = {
    "activation": _activation,
    "add": _merge("Add"),
    "alpha_dropout": _plain("AlphaDropout", rate="rate"),
    "average": _merge("Average"),
    "average_pool1d": _pool("AveragePooling"),
    "average_pool2d": _pool("AveragePooling"),
    "batch_normalization": _normalization,
    "concatenate": _merge("Concatenate"),
    "conv1d": _conv1d,
    "conv2d": _conv2d,
    "cropping1d": _edged("Cropping", "cropping"),
    "cropping2d": _edged("Cropping", "cropping"),
    "dense": _dense,
    "depthwise_conv2d": _depthwise,
    "dropout": _plain("Dropout", rate="rate"),
    "embedding": _embedding,
    "flatten": _flatten,
    "gaussian_dropout": _plain("GaussianDropout", rate="rate"),
    "gaussian_noise": _plain("GaussianNoise", stddev="deviation"),
    "global_average_pool1d": _plain("GlobalAveragePooling1D"),
    "global_average_pool2d": _plain("GlobalAveragePooling2D"),
    "global_max_pool1d": _plain("GlobalMaxPooling1D"),
    "global_max_pool2d": _plain("GlobalMaxPooling2D"),
    "group_normalization": _normalization,
    "instance_normalization": _normalization,
    "layer_normalization": _normalization,
    "max_pool1d": _pool("MaxPooling"),
    "max_pool2d": _pool("MaxPooling"),
    "maximum": _merge("Maximum"),
    "multiply": _merge("Multiply"),
    "permute": _permute,
    "repeat_vector": _plain("RepeatVector", n="steps"),
    "reshape": _reshape,
    "residual": _residual,
    "rms_normalization": _normalization,
    "separable_conv1d": _separable,
    "separable_conv2d": _separable,
    "spatial_dropout": _plain("SpatialDropout_", rate="rate"),
    "transposed_conv1d": _transposed,
    "transposed_conv2d": _transposed,
    "upsampling1d": _plain("UpSampling1D", size="size"),
    "upsampling2d": _plain("UpSampling2D", size="size"),
    "zero_padding1d": _edged("ZeroPadding", "padding"),
    "zero_padding2d": _edged("ZeroPadding", "padding"),
}
