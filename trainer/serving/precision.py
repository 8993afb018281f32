"""A graph whose weights take fewer bits."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidGraph,
)
from onnxruntime.capi.onnxruntime_pybind11_state import (
    NotImplemented as NotImplemented_,
)
from onnxruntime.quantization import QuantType, quantize_dynamic

HALF_FROM = 64
"""Numbers that a tensor must have to be worth halving."""
LARGEST_HALF = 65504.0
"""Largest number that float16 holds."""
DENSE = ("MatMul", "Gemm")
"""Operators that int8 is for: the products of dense layers."""


UNABLE = (RuntimeError, TypeError, ValueError, Fail, InvalidGraph, NotImplemented_)
"""What the quantiser and the runtime raise for a graph that they cannot take."""


def halved(model: onnx.ModelProto) -> int:
    """Hold the weights in float16, in place; return how many tensors.

    A `Cast` to float32 follows each, so the arithmetic stays in float32: processors
    without half-precision units would be slower in it. The runtime casts once, when it
    loads the graph.
    """
    graph, count, casts = model.graph, 0, []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        large = values.dtype == np.float32 and values.size >= HALF_FROM
        if not large or float(np.abs(values).max()) > LARGEST_HALF:
            continue
        name = tensor.name
        tensor.CopyFrom(
            numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
        )
        casts.append(
            helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT)
        )
        count += 1
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return count


def quantised(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """Return the graph with int8 products in dense layers, and how many there are.

    Weights are quantised once, for each unit; inputs when they come, by their range.
    Weights take seven bits: on processors without VNNI a sum of two full products
    would saturate. Source: Jacob et al. (2018), CVPR.
    """
    fixed = {tensor.name for tensor in model.graph.initializer}
    count = sum(_is_dense(node, fixed) for node in model.graph.node)
    if not count:
        return model, 0
    root = logging.getLogger()
    level = root.level
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        root.setLevel(logging.ERROR)  # it recommends a step that changes nothing here
        try:
            quantize_dynamic(
                model,
                path,
                op_types_to_quantize=list(DENSE),
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
        finally:
            root.setLevel(level)
        return onnx.load(path), count


def _is_dense(node: onnx.NodeProto, fixed: set[str]) -> bool:
    return node.op_type in DENSE and node.input[1] in fixed
