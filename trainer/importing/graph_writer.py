"""A filled network and its tensors as an ONNX graph, without torch.

The graph that predictions use; a trained network's is recorded from torch instead
(`trainer.export.graph`). Tests hold the two against each other, kind by kind. A layer
that is not known here leaves the graph to a worker, which has torch.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.importing.errors import missing_library
from trainer.importing.graph_activations import active
from trainer.importing.sketch import same_border
from trainer.spec.axes import features_axis
from trainer.spec.network import INPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from trainer.importing.found import Array
    from trainer.spec.network import NetworkSpec, Row

    Rule = Callable[["Writer", Any, Row, list[str]], str]

OPSET, IR_VERSION = 18, 9
OUTPUT = "output"
LAYERS = "frostline.layers"
"""The graph's metadata tell which value each layer gives, as `trainer.export` does."""
PROTOBUF_LIMIT = 2**31 - 2**24
"""Bytes of constants beyond which one file cannot hold them."""


class NotWritten(Exception):
    """A layer whose graph only torch can record."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"the graph of a layer {kind!r} is written by a worker")
        self.kind = kind


class Writer:
    """The nodes and constants of a graph that is being written."""

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        """Begin; `tensors` are named `<layer>.<tensor>`."""
        self._onnx = _library()
        self.tensors = tensors
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.values = {INPUT: INPUT}
        """The name of what each layer gives."""

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator; return the name of what it gives."""
        name = f"v{len(self.nodes)}"
        made = self._onnx.helper.make_node(kind, list(inputs), [name], **attributes)
        self.nodes.append(made)
        return name

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add numbers; return their name."""
        name = f"c{len(self.constants)}"
        array = np.asarray(values, dtype)
        self.constants[name] = self._onnx.numpy_helper.from_array(array, name)
        return name

    def tensor(self, name: str) -> str:
        """Return the name of one of the network's tensors."""
        if name not in self.constants:
            array = np.ascontiguousarray(self.tensors[name], np.float32)
            self.constants[name] = self._onnx.numpy_helper.from_array(array, name)
        return name

    def bias(self, layer: str) -> list[str]:
        """Return the name of a layer's bias in a list, empty if it has none."""
        name = f"{layer}.bias"
        return [self.tensor(name)] if name in self.tensors else []

    def save(
        self, last: str, shape: Sequence[int], out: Sequence[int], to: Path
    ) -> None:
        """Write the file."""
        helper, proto = self._onnx.helper, self._onnx.TensorProto
        self.nodes.append(helper.make_node("Identity", [last], [OUTPUT]))
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(INPUT, proto.FLOAT, ["batch", *shape])],
            [helper.make_tensor_value_info(OUTPUT, proto.FLOAT, ["batch", *out])],
            list(self.constants.values()),
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        layers = {name: v for name, v in self.values.items() if name != INPUT}
        helper.set_model_props(model, {LAYERS: json.dumps(layers)})
        to.write_bytes(model.SerializeToString())


def write(
    network: NetworkSpec,
    rows: Sequence[Row],
    tensors: Mapping[str, Array],
    to: Path,
) -> None:
    """Write the graph of a filled network.

    Raises:
        NotWritten: only torch knows one of the layers.
    """
    if sum(array.nbytes for array in tensors.values()) > PROTOBUF_LIMIT:
        raise NotWritten("of two gigabytes")
    writer = Writer(tensors)
    values = writer.values
    for layer, row in zip(network.layers, rows, strict=True):
        rule = RULES.get(row.kind)
        if rule is None:
            raise NotWritten(row.kind)
        values[row.name] = rule(writer, layer, row, [values[i] for i in row.inputs])
    first = next(row for row in rows if INPUT in row.inputs)
    shape = first.input_shape[first.inputs.index(INPUT)]
    writer.save(values[rows[-1].name], shape, rows[-1].output_shape, to)


def _library() -> Any:
    try:
        import onnx  # noqa: PLC0415 - slow to load
    except ImportError as error:
        raise missing_library("a model", "onnx") from error
    return onnx


def _tail(w: Writer, layer: Any, row: Row, sums: str) -> str:
    """Apply normalisation and activation in the layer's order."""
    steps = [_normalised, _activated]
    if layer.normalization_position == "after_activation":
        steps.reverse()
    for step in steps:
        sums = step(w, layer, row, sums)
    return sums


def _activated(w: Writer, layer: Any, row: Row, x: str) -> str:
    found = active(w, layer.activation, f"{row.name}.activation", row.output_shape, x)
    if found is None:
        raise NotWritten(layer.activation.kind)
    return found


def _normalised(w: Writer, layer: Any, row: Row, x: str) -> str:
    kind = layer.normalization.kind
    if kind == "none":
        return x
    if kind != "batch" or len(row.output_shape) == 2:
        raise NotWritten(kind)
    return _batch(w, f"{row.name}.normalization", layer.normalization.epsilon, x)


def _batch(w: Writer, name: str, epsilon: float, x: str) -> str:
    vectors = ("weight", "bias", "running_mean", "running_var")
    found = [w.tensor(f"{name}.{vector}") for vector in vectors]
    return w.node("BatchNormalization", x, *found, epsilon=epsilon)


def _dense(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    x = inputs[0]
    if len(row.input_shape[0]) > 1:
        x = w.node("Flatten", x, axis=1)
    weight = w.tensor(f"{row.name}.weight")
    sums = w.node("Gemm", x, weight, *w.bias(row.name), transB=1)
    return _tail(w, layer, row, sums)


def _two(size: Any) -> tuple[int, int]:
    return tuple(size) if isinstance(size, tuple) else (size, size)


def _slid(layer: Any, row: Row, kernel: Any) -> dict[str, Any]:
    """Return kernel, strides, dilations and pads of a window as ONNX has them."""
    kernel, stride = _two(kernel), _two(layer.stride or kernel)
    dilation = _two(getattr(layer, "dilation", 1))
    pads = [0, 0, 0, 0]
    if layer.padding == "same":
        _, height, width = row.input_shape[0]
        (top, bottom), (left, right) = same_border(
            (height, width), kernel, stride, dilation
        )
        pads = [top, left, bottom, right]
    return {"kernel_shape": kernel, "strides": stride, "pads": pads}


def _convolution(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    groups = getattr(layer, "groups", row.input_shape[0][0])
    sums = _convolved(w, layer, row, inputs[0], f"{row.name}.weight", groups)
    return _tail(w, layer, row, sums)


def _convolved(  # noqa: PLR0917 - the parts of one operator
    w: Writer, layer: Any, row: Row, x: str, weight: str, groups: int
) -> str:
    bias = w.bias(row.name) if weight.endswith(".weight") else []
    return w.node(
        "Conv",
        x,
        w.tensor(weight),
        *bias,
        **_slid(layer, row, layer.kernel_size),
        dilations=_two(layer.dilation),
        group=groups,
    )


def _separable(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    channels = row.input_shape[0][0]
    depth = f"{row.name}.depthwise_weight"
    each = _convolved(w, layer, row, inputs[0], depth, channels)
    point = w.tensor(f"{row.name}.pointwise_weight")
    return _tail(w, layer, row, w.node("Conv", each, point, *w.bias(row.name)))


def _batch_layer(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    if len(row.output_shape) == 2:
        raise NotWritten(row.kind)
    return _batch(w, row.name, layer.epsilon, inputs[0])


def _activation_layer(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    found = active(w, layer.activation, row.name, row.output_shape, inputs[0])
    if found is None:
        raise NotWritten(layer.activation.kind)
    return found


def _max_pool(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    return w.node("MaxPool", inputs[0], **_slid(layer, row, layer.pool_size))


def _average_pool(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    slid = _slid(layer, row, layer.pool_size)
    return w.node("AveragePool", inputs[0], **slid, count_include_pad=0)


def _global(kind: str) -> Rule:
    def rule(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
        return w.node("Flatten", w.node(kind, inputs[0]), axis=1)

    return rule


def _flatten(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    return w.node("Flatten", inputs[0], axis=1)


def _reshape(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    return w.node("Reshape", inputs[0], w.constant([0, *row.output_shape], np.int64))


def _permute(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    return w.node("Transpose", inputs[0], perm=[0, *layer.axes])


def _pad(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    (top, bottom), (left, right) = layer.border()
    pads = [0, 0, top, left, 0, 0, bottom, right]
    return w.node("Pad", inputs[0], w.constant(pads, np.int64))


def _upsample(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    down, across = _two(layer.size)
    scales = w.constant([1, 1, down, across])
    how = {"mode": "nearest", "nearest_mode": "floor"}
    how["coordinate_transformation_mode"] = "asymmetric"
    return w.node("Resize", inputs[0], "", scales, **how)


def _identity(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    return inputs[0]


def _joined(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    shape = row.input_shape[0]
    axis = 0 if layer.axis == "steps" else features_axis(shape)
    return w.node("Concat", *inputs, axis=axis + 1)


def _pairwise(kind: str) -> Rule:
    def rule(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
        found = inputs[0]
        for other in inputs[1:]:
            found = w.node(kind, found, other)
        return found

    return rule


def _mean(w: Writer, layer: Any, row: Row, inputs: list[str]) -> str:
    return w.node("Mean", *inputs)


RULES: dict[str, Rule] = {
    "activation": _activation_layer,
    "add": _pairwise("Add"),
    "average": _mean,
    "average_pool2d": _average_pool,
    "batch_normalization": _batch_layer,
    "concatenate": _joined,
    "conv2d": _convolution,
    "cropping2d": _pad,
    "dense": _dense,
    "depthwise_conv2d": _convolution,
    "dropout": _identity,
    "flatten": _flatten,
    "global_average_pool2d": _global("GlobalAveragePool"),
    "global_max_pool2d": _global("GlobalMaxPool"),
    "max_pool2d": _max_pool,
    "maximum": _pairwise("Max"),
    "multiply": _pairwise("Mul"),
    "permute": _permute,
    "reshape": _reshape,
    "separable_conv2d": _separable,
    "upsampling2d": _upsample,
    "zero_padding2d": _pad,
}
"""The kinds that importing can make, and a few more that a spec may name."""
