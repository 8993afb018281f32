"""An ONNX graph from rows as people have them to answers: preprocessing included.

A table has an input for each column, an image or array one; the outputs are
probabilities and labels, or values in the target's own units. In between lies the
graph that predictions use, as it is. The whole is run beside Frostline's own way
before it counts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import compose, helper

from trainer.export.errors import CannotExport
from trainer.export.graph import INPUT
from trainer.export.pipeline.answers import Answers, ending
from trainer.export.pipeline.columns import KINDS, NO_TEXT, RULES, features
from trainer.export.pipeline.compared import compare
from trainer.export.pipeline.node_writer import (
    ML,
    NETWORK,
    PREFIX,
    NodeWriter,
    value_info,
)
from trainer.preprocessing.resizing import interpolation, mixture
from trainer.saved.model_folder import GRAPH

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.export.compared import Compared
    from trainer.export.opened import Opened

FORM = "an ONNX graph with its preprocessing"
ML_OPSET = 3
LARGEST = 2**31 - 2**24
"""Bytes of a graph beyond which its constants cannot be in it."""
BATCH = "batch"


@dataclass(frozen=True)
class Given:
    """One input of the graph."""

    name: str
    type: str
    shape: tuple[int | str, ...]
    missing: str | None = None
    """How a missing value is written."""


def write(opened: Opened, path: Path) -> Compared:
    """Write the graph and compare it with the model's own way to predict.

    Raises:
        CannotExport: ONNX has no operators for something in the preprocessing.
        ExportWrong: the graph answers something else.
    """
    if opened.compares_pairs:
        why = "its inputs are the columns of one example; take model.onnx"
        raise CannotExport(FORM, "a model that compares pairs", why)
    network = _network(opened)
    scribe = NodeWriter()
    inputs = _preprocessed(opened, scribe)
    outputs = ending(scribe, opened.description, {given.name for given in inputs})
    model = _joined(network, scribe, inputs, outputs)
    told = {
        "inputs": [vars(given) for given in inputs],
        "outputs": outputs.described(),
        "classes": opened.description.get("classes") or [],
    }
    for name, value in told.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = f"frostline.{name}", json.dumps(value)
    path.write_bytes(model.SerializeToString())
    return compare(opened, path, outputs, told)


def _network(opened: Opened) -> onnx.ModelProto:
    """Return the graph that predictions use, every name with a prefix."""
    place = opened.folder / GRAPH
    if not place.is_file():
        raise CannotExport(FORM, "this model", f"it has no {GRAPH} to begin with")
    beside = place.with_name(f"{GRAPH}.data")
    size = place.stat().st_size + (beside.stat().st_size if beside.is_file() else 0)
    if size > LARGEST:
        why = f"its weights, {size:,} bytes, do not fit into one file; take {GRAPH}"
        raise CannotExport(FORM, "this network", why)
    named: onnx.ModelProto = compose.add_prefix(onnx.load(place), NETWORK)
    return named


def _preprocessed(opened: Opened, scribe: NodeWriter) -> list[Given]:
    """Write the nodes from the columns to the network's input; return the columns."""
    described = opened.preprocessing.description
    if not described.encodings:
        return [_grid(opened, scribe)]
    columns = {column.name: column for column in described.columns}
    for name, column in columns.items():
        if not name or name.startswith(PREFIX):
            why = f"its name is empty or begins with {PREFIX!r}"
            raise CannotExport(FORM, f"the column {name!r}", why)
        if NO_TEXT in column.categories:
            why = "the empty text is one of its categories, and says what is missing"
            raise CannotExport(FORM, f"the column {name!r}", why)
    windows = described.windows
    lengths = () if windows is None else (windows.length,)
    inputs, found = [], []
    for encoding in described.encodings:
        if type(encoding) not in RULES:
            what = f"the column {encoding.column!r}"
            raise CannotExport(FORM, what, "it is a text that a tokenizer reads")
        kind = KINDS.get(columns[encoding.column].kind, "double")
        missing = {"string": '""', "int64": str(np.iinfo(np.int64).min)}
        given = Given(
            encoding.column, kind, (BATCH, *lengths), missing.get(kind, "NaN")
        )
        inputs.append(given)
        value = scribe.reshaped(given.name, -1) if lengths else given.name
        found.append(features(scribe, encoding, value))
    row = scribe.cast(scribe.node("Concat", *found, axis=1), "float")
    scribe.named(scribe.reshaped(row, -1, *opened.preprocessing.shape), NETWORK + INPUT)
    return inputs


def _grid(opened: Opened, scribe: NodeWriter) -> Given:
    """Write the nodes from an image or array to the network's input."""
    preprocessing = opened.preprocessing
    column = preprocessing.description.columns[0]
    if column.kind == "image":
        given = Given(column.name, "uint8", (BATCH, *column.shape))
        moved = scribe.node("Transpose", given.name, perm=[0, 3, 1, 2])
        value = scribe.node("Div", scribe.cast(moved, "float"), np.float32(255))
        if preprocessing.description.resize is not None:
            value = _resized(scribe, value, column.shape, preprocessing.shape)
    else:
        given = Given(column.name, "float", (BATCH, *column.shape))
        value = given.name
    if preprocessing.mean is not None and preprocessing.scale is not None:
        centred = scribe.node("Sub", value, preprocessing.mean)
        value = scribe.node("Mul", centred, preprocessing.scale)
    scribe.named(value, NETWORK + INPUT)
    return given


def _resized(
    scribe: NodeWriter, value: str, stored: tuple[int, ...], shape: tuple[int, ...]
) -> str:
    """Write the nodes that resize images (channels, height, width) to `shape`."""
    height, width, channels = stored
    mixed = mixture(channels, shape[0])
    if mixed is not None:
        value = scribe.node("Conv", value, mixed[:, :, None, None])
    value = scribe.node("MatMul", interpolation(height, shape[1]), value)
    return scribe.node("MatMul", value, interpolation(width, shape[2]).T.copy())


def _joined(
    network: onnx.ModelProto, scribe: NodeWriter, inputs: list[Given], outputs: Answers
) -> onnx.ModelProto:
    """Return one graph: what comes before the network, the network, what follows."""
    after = next(
        n for n, node in enumerate(scribe.nodes) if outputs.first in node.input
    )
    inner = network.graph
    graph = helper.make_graph(
        [*scribe.nodes[:after], *inner.node, *scribe.nodes[after:]],
        "pipeline",
        [value_info(given.name, given.type, given.shape) for given in inputs],
        [value_info(*each) for each in outputs.values],
        [*inner.initializer, *scribe.initializers],
        value_info=inner.value_info,
    )
    imports = [*network.opset_import, helper.make_opsetid(ML, ML_OPSET)]
    return helper.make_model(
        graph,
        opset_imports=imports,
        functions=network.functions,
        ir_version=network.ir_version,
        producer_name="frostline",
    )
