"""What the layers of a source make of some rows, by its graph and ONNX Runtime.

The graph's metadata say which of its values a layer gives; those values are made
outputs of a copy in memory. Graphs whose normalisation was folded away, or whose
weights take fewer bits, say so too: their values are those that predictions use.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import (
    EPFail,
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
    RuntimeException,
)
from onnxruntime.capi.onnxruntime_pybind11_state import (
    NotImplemented as NotImplemented_,
)

from trainer.transfer.errors import NotComparable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trainer.transfer.sources import CutPoint, SourceLayers

Array = np.ndarray[Any, np.dtype[Any]]

GRAPH = "model.onnx"
LAYERS = "frostline.layers"
"""Key of the graph's metadata that says which value each layer gives."""
GRAPH_LIMIT = 512 * 2**20
"""Bytes of a graph that is read; larger models are left out with that reason."""
AT_ONCE = 16 * 2**20
"""Numbers that one run gives at most, over all cut points."""
MOST_ROWS = 256
WIDEST = 1024
"""Numbers per row that are kept of a cut; of more, squares of neighbours are averaged,
then numbers are added up in groups with random signs."""
MAP_AXES = 4
"""Axes of maps: rows, channels, height, width."""
UNABLE = (
    EPFail,
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
    NotImplemented_,
    RuntimeException,
)
"""What the runtime raises for a graph that it cannot load or run."""


@dataclass(frozen=True)
class CutGraph:
    """A graph that gives what its cut points hold."""

    session: Any
    cuts: tuple[CutPoint, ...]
    values: tuple[str, ...]


def opened(layers: SourceLayers) -> CutGraph:
    """Load a source's graph with its cut points as outputs.

    Raises: NotComparable.
    """
    model = _read(layers.folder / GRAPH)
    found = _found(layers, _told(model))
    if not found:
        raise NotComparable("no_layers", "no layer of it can be taken by itself")
    del model.graph.output[:]
    values = tuple(value for _, value in found)
    model.graph.output.extend(
        helper.make_tensor_value_info(value, TensorProto.FLOAT, None)
        for value in values
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(layers.folder)
    )
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except (*UNABLE, ValueError) as error:
        raise _broken(error) from None
    return CutGraph(session, tuple(cut for cut, _ in found), values)


def features(graph: CutGraph, rows: Array, until: float) -> list[Array]:
    """Return what each cut point makes of the rows: (rows, at most `WIDEST`) each.

    Raises: NotComparable if that takes longer than `until`, on the monotonic clock.
    """
    size = max(sum(prod(cut.shape) for cut in graph.cuts), prod(rows.shape[1:]), 1)
    step = max(1, min(MOST_ROWS, AT_ONCE // size))
    parts: list[list[Array]] = [[] for _ in graph.cuts]
    for start in range(0, len(rows), step):
        if time.monotonic() > until:
            raise NotComparable("too_slow", "its layers take too long on these rows")
        try:
            found = graph.session.run(
                list(graph.values), {"input": rows[start : start + step]}
            )
        except (*UNABLE, ValueError) as error:
            raise _broken(error) from None
        for kept, value in zip(parts, found, strict=True):
            kept.append(narrowed(value))
    return [np.concatenate(kept) for kept in parts]


def narrowed(values: Array, widest: int = WIDEST) -> Array:
    """Return (rows, width) of any values, at most `widest` numbers for each row."""
    while values.ndim == MAP_AXES and prod(values.shape[1:]) > widest:
        height, width = values.shape[2:]
        if height * width == 1:
            break
        values = _halved(_halved(values, 2), 3)
    flat = values.reshape(len(values), -1).astype(np.float32, copy=False)
    if flat.shape[1] <= widest:
        return flat
    draw = np.random.default_rng(flat.shape[1])
    place = draw.permutation(flat.shape[1]) % widest
    signs = draw.choice(np.array([-1, 1], np.float32), flat.shape[1])
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(widest))
    summed: Array = np.add.reduceat((flat * signs)[:, order], starts, axis=1)
    return summed


def _halved(values: Array, axis: int) -> Array:
    """Average neighbours along an axis; the last of an odd number stays alone."""
    size = values.shape[axis]
    if size == 1:
        return values
    starts = np.arange(0, size, 2)
    counts = np.diff(np.append(starts, size)).astype(values.dtype)
    spread = [1] * values.ndim
    spread[axis] = -1
    found: Array = np.add.reduceat(values, starts, axis=axis) / counts.reshape(spread)
    return found


def _read(path: Path) -> onnx.ModelProto:
    try:
        if path.stat().st_size > GRAPH_LIMIT:
            raise NotComparable("too_large", "its graph is too large to be tried")
        return onnx.load(path, load_external_data=False)
    except FileNotFoundError:
        raise NotComparable("not_exported", "it has no graph yet") from None
    except (OSError, DecodeError, ValueError) as error:
        raise _broken(error) from None


def _told(model: onnx.ModelProto) -> dict[str, str]:
    """Return the value of each layer, as the graph's metadata say it."""
    texts = [each.value for each in model.metadata_props if each.key == LAYERS]
    try:
        values = json.loads(texts[0])
        return {str(layer): str(value) for layer, value in values.items()}
    except (IndexError, AttributeError, ValueError):
        raise NotComparable(
            "no_cut_points", "its graph does not say what its layers give"
        ) from None


def _found(
    layers: SourceLayers, told: dict[str, str]
) -> Sequence[tuple[CutPoint, str]]:
    """Return each cut point with its value, lowest first, each value once.

    A layer that changes nothing (a dropout at rest) gives way to the one below it. A
    normalisation that was folded away gives the value of the layer below, too, but
    there it is the layer below that no longer gives what it would alone.
    """
    kept: dict[str, CutPoint] = {}
    for cut in layers.cuts():
        name = cut.layer
        value = told.get(name)
        while not layers.lines[name]["tensors"] and layers.below(name) is not None:
            below = str(layers.below(name))
            if told.get(below) != value:
                break
            name = below
        if value is None or value == "input":
            continue
        if value not in kept or layers.lines[name]["tensors"]:
            kept[value] = cut if name == cut.layer else layers.cut(name)
    return [(cut, value) for value, cut in kept.items()]


def _broken(error: Exception) -> NotComparable:
    return NotComparable("broken_graph", f"its graph cannot be used: {error!s:.200}")
