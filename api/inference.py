"""Models that are loaded for predictions: graphs in ONNX Runtime, no torch.

The most recently used stay; each computes with one thread, so that predictions leave
the machine's cores to the trainers.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from trainer.preprocessing import Preprocessing

GRAPH = "model.onnx"
DESCRIPTION = "model.json"
SAMPLED_GRAPH = "model.sampled.onnx"
"""The graph in which dropout goes on, of models that have dropout."""
ROWS_AT_ONCE = 512

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Loaded:
    """A model that can answer: what is done to rows, then to numbers."""

    preprocessing: Preprocessing
    graph: Any
    folder: Path
    examples: int = 1
    """How many examples the network is given at once: two where it compares pairs."""

    @cached_property
    def sampled(self) -> Any | None:
        """Return the graph that draws; None if the model has none."""
        path = self.folder / SAMPLED_GRAPH
        return _session(path) if path.is_file() else None

    def outputs(self, rows: Sequence[object]) -> Floats:
        """Return the network's raw outputs for rows in the data set's own form.

        Raises:
            BadValue: a row cannot be understood.
            NonFinite: a column holds an infinity.

        Shapes:
            returns (rows, units).
        """
        given = self.given(rows)
        parts = [
            self.graph.run(None, {"input": given[start : start + ROWS_AT_ONCE]})[0]
            for start in range(0, len(given), ROWS_AT_ONCE)
        ]
        return np.concatenate(parts).reshape(len(given), -1)

    def given(self, rows: Sequence[object]) -> Floats:
        """Return the network's input for examples: (rows, *shape), in pairs if so."""
        given = self.preprocessing.apply(rows)
        if self.examples == 1:
            return given
        return given.reshape(-1, self.examples, *given.shape[1:])


class Inference:
    """The models that stay loaded."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}

    def get(self, model_id: str, folder: Path) -> Loaded:
        """Return a model, loading it if it is not there."""
        found = self._find(model_id)
        if found is not None:
            return found
        with self._lock:
            turn = self._loading.setdefault(model_id, threading.Lock())
        with turn:
            found = self._find(model_id)
            if found is None:
                found = _load(folder)
                self._keep(model_id, found)
        return found

    def forget(self, model_id: str) -> None:
        """Unload a model that was deleted."""
        with self._lock:
            self._loaded.pop(model_id, None)

    def _find(self, model_id: str) -> Loaded | None:
        with self._lock:
            if model_id in self._loaded:
                self._loaded.move_to_end(model_id)
            return self._loaded.get(model_id)

    def _keep(self, model_id: str, loaded: Loaded) -> None:
        with self._lock:
            self._loaded[model_id] = loaded
            self._loading.pop(model_id, None)
            while len(self._loaded) > self._most:
                self._loaded.popitem(last=False)


def _load(folder: Path) -> Loaded:
    graph = _session(folder / GRAPH)
    told = json.loads((folder / DESCRIPTION).read_bytes()).get("input") or {}
    examples = told.get("examples", 1)
    return Loaded(Preprocessing.load(folder), graph, folder, examples)


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )


def softmax(outputs: Floats) -> NDArray[np.float64]:
    """Return the probabilities of classes that exclude each other.

    Shapes:
        outputs and answer: (rows, classes).
    """
    shifted = outputs.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    grown = np.exp(shifted)
    probabilities: NDArray[np.float64] = grown / grown.sum(axis=1, keepdims=True)
    return probabilities


def sigmoid(outputs: Floats) -> NDArray[np.float64]:
    """Return the probability of each of several labels."""
    wide = outputs.astype(np.float64)
    probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(wide, -700, 700)))
    return probabilities
