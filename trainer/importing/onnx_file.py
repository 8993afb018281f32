"""ONNX files, with external data, as a graph of our layers.

The `onnx` library parses them; ONNX Runtime, the source's own runtime, answers beside
the translation. External data is read from the files that came along, never from a
path, and only as far as the file goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.importing.errors import (
    damaged,
    missing_library,
    oversized,
    unfit,
)
from trainer.importing.found import FoundNetwork
from trainer.importing.naming import listed
from trainer.importing.onnx_graph import Translation
from trainer.importing.onnx_layers import RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from trainer.importing.found import Array

MOST_NODES = 100_000
DOMAINS = ("", "ai.onnx")


def read(
    path: Path,
    beside: Mapping[str, Path],
    output: str | None,
    most_bytes: int,
    *,
    keeps_ending: bool,
) -> FoundNetwork:
    """Return the network of an ONNX file up to the node or value called `output`."""
    try:
        import onnx  # noqa: PLC0415 - an optional library
        from google.protobuf.message import DecodeError  # noqa: PLC0415
    except ImportError as error:
        raise missing_library("ONNX", "onnx") from error
    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except (DecodeError, ValueError, OSError) as error:
        raise damaged("the ONNX file", str(error)) from error
    _check(model)
    _inline(model, beside, most_bytes)
    given = _input(model)
    shape = _shape(given)
    shapes = _inferred(onnx, model, given)
    translation = Translation(model.graph, str(given.name), shape, shapes)
    value = _wanted(model, translation, output)
    last = translation.up_to(value, RULES)
    sketch = translation.sketch
    ending = sketch.finish(last, keeps_ending=keeps_ending)
    return FoundNetwork(
        format="onnx",
        input_shape=shape,
        layers=sketch.layers,
        tensors=sketch.tensors,
        origins=sketch.origins,
        ending=ending,
        scaling=translation.scaling,
        runtime=_runtime(onnx, model, str(given.name), value),
        runtime_name="onnxruntime",
        notes=translation.notes,
        shapes={str(t.name): tuple(t.dims) for t in model.graph.initializer},
    )


def _check(model: Any) -> None:
    """Refuse what is no plain graph of the standard's operators."""
    if not model.graph.node:
        raise damaged("the ONNX file", "it has no nodes")
    if len(model.graph.node) > MOST_NODES:
        raise oversized("too_many_nodes", f"{len(model.graph.node):,} nodes")
    if model.functions:
        raise unfit("custom_code", "the ONNX file defines functions of its own")
    for node in model.graph.node:
        if node.domain not in DOMAINS:
            raise unfit(
                "custom_code",
                f"the node {_label(node)!r} is {node.op_type} of the domain "
                f"{node.domain!r}, which is not part of ONNX",
            )
        if any(a.type in {5, 10} for a in node.attribute):
            raise unfit(
                "control_flow", f"the node {_label(node)!r} holds a graph of its own"
            )


def _label(node: Any) -> str:
    return str(node.name or (node.output[0] if node.output else node.op_type))


def _inline(model: Any, beside: Mapping[str, Path], most_bytes: int) -> None:
    """Put external data into the model, from files that were sent along."""
    tensors = list(model.graph.initializer)
    for node in model.graph.node:
        tensors += [a.t for a in node.attribute if a.HasField("t")]
    declared = 0
    for tensor in tensors:
        if tensor.data_location != 1:
            continue
        about = {entry.key: entry.value for entry in tensor.external_data}
        place = str(about.get("location", ""))
        path = beside.get(place)
        if path is None:
            inside = "/" not in place.strip("./") and ".." not in place
            raise unfit(
                "missing_external_data" if inside else "path_outside",
                f"the tensor {tensor.name!r} lies in {place[:200]!r}, "
                + (
                    "which did not come along"
                    if inside
                    else "a path; only names of files sent along are read"
                ),
                "send the data file as another part, under the name the model gives",
            )
        try:
            offset, length = int(about.get("offset", 0)), int(about.get("length", -1))
        except ValueError as error:
            raise damaged(f"the tensor {tensor.name!r}", str(error)) from error
        size = path.stat().st_size
        length = size - offset if length < 0 else length
        declared += length
        if offset < 0 or length < 0 or offset + length > size:
            raise damaged(
                f"the tensor {tensor.name!r}",
                f"bytes {offset:,} to {offset + length:,} of {place!r} are declared, "
                f"which has {size:,}",
            )
        if declared > most_bytes:
            raise oversized("too_much_memory", f"{declared:,} bytes of external data")
        with path.open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(length)
        tensor.data_location = 0
        del tensor.external_data[:]


def _input(model: Any) -> Any:
    """Return the graph's one input that is no initial value."""
    known = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in known]
    if len(inputs) != 1:
        raise unfit(
            "several_inputs",
            f"the graph has {len(inputs)} inputs ({listed(v.name for v in inputs)}); "
            "models with one input are imported",
        )
    return inputs[0]


def _shape(value: Any) -> tuple[int, ...]:
    """Return the shape of one example of the input."""
    dims = value.type.tensor_type.shape.dim
    sizes = [d.dim_value for d in dims[1:]]
    if value.type.tensor_type.elem_type != 1 or not sizes or min(sizes) < 1:
        raise unfit(
            "open_input",
            f"the input {value.name!r} is no float32 batch of examples of one fixed "
            f"shape: {[d.dim_value or d.dim_param for d in dims]}",
            "export the model with fixed sizes; only the first axis may be open",
        )
    return tuple(sizes)


def _inferred(onnx: Any, model: Any, given: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of every value for one example, the batch's axis included."""
    dims = given.type.tensor_type.shape.dim
    dims[0].Clear()
    dims[0].dim_value = 1
    try:
        whole = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # onnx has no error of its own that they all derive from
        raise damaged("the ONNX file", f"its shapes do not fit: {error}") from error
    found = {}
    for value in (*whole.graph.value_info, *whole.graph.output, *whole.graph.input):
        sizes = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        if value.type.tensor_type.HasField("shape") and 0 not in sizes:
            found[str(value.name)] = sizes
    return found


def _wanted(model: Any, translation: Translation, output: str | None) -> str:
    """Return the value that becomes the output."""
    outputs = [str(value.name) for value in model.graph.output]
    if output is None:
        if len(outputs) != 1:
            raise unfit(
                "several_outputs",
                f"the graph has the outputs {listed(outputs)}; a model here has one",
                "name one of them, or a layer below them, in `output`",
                pointer="/output",
            )
        return outputs[0]
    found = translation.value_named(output)
    if found is None:
        raise unfit(
            "unknown_output",
            f"the graph has no node or value called {output!r}; its last are "
            f"{listed(list(translation.made_by)[-12:])}",
            pointer="/output",
        )
    return found


def _runtime(onnx: Any, model: Any, given: str, value: str) -> Callable[[Array], Array]:
    """Return the file's own answers by ONNX Runtime, one example at a time."""
    import onnxruntime  # noqa: PLC0415 - slow to load, and not always needed

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.append(onnx.helper.make_empty_tensor_value_info(value))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors share no class
        raise damaged("the ONNX file", f"ONNX Runtime says: {error}") from error

    def answer(x: Array) -> Array:
        rows = [session.run([value], {given: x[i : i + 1]})[0] for i in range(len(x))]
        return np.concatenate([row.reshape(1, *row.shape[1:]) for row in rows])

    return answer
