"""A drawn model as a `.keras` archive: its description, and its arrays in HDF5."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

from trainer.export.errors import CannotExport
from trainer.export.keras_model.drawing import in_keras_order, snake

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.export.keras_model.drawing import Drawing, KerasLayer, Value

VERSION = "3.0.0"
"""The oldest Keras whose words are used."""
MOMENT = (1980, 1, 1, 0, 0, 0)
"""The time of every member: the same model is the same file."""


def save(drawing: Drawing, output: Value, name: str, path: Path) -> None:
    """Write the archive.

    Raises:
        CannotExport: h5py is not installed.
    """
    members: dict[str, str | bytes] = {
        "metadata.json": json.dumps({"keras_version": VERSION, "date_saved": ""}),
        "config.json": json.dumps(_config(drawing, output, name)),
        "model.weights.h5": _weights(drawing),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member, MOMENT), content)


def _config(drawing: Drawing, output: Value, name: str) -> dict[str, Any]:
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {
            "name": name,
            "trainable": True,
            "layers": [_described(layer) for layer in drawing.layers],
            "input_layers": [[drawing.input.name, 0, 0]],
            "output_layers": [[output.name, 0, 0]],
        },
        "registered_name": "Functional",
    }


def _described(layer: KerasLayer) -> dict[str, Any]:
    tensors = [_tensor(value) for value in layer.inputs]
    nodes: list[dict[str, Any]] = []
    if tensors:
        is_list = len(tensors) > 1 and not layer.apart
        nodes = [{"args": [tensors] if is_list else tensors, "kwargs": layer.options}]
    return {
        "module": "keras.layers",
        "class_name": layer.kind,
        "config": layer.config,
        "registered_name": None,
        "name": layer.name,
        "inbound_nodes": nodes,
    }


def _tensor(value: Value) -> dict[str, Any]:
    return {
        "class_name": "__keras_tensor__",
        "config": {
            "shape": [None, *value.keras_shape],
            "dtype": "float32",
            "keras_history": [value.name, 0, 0],
        },
    }


def _weights(drawing: Drawing) -> bytes:
    """Return the arrays as Keras lays them out: by class and number, in order."""
    try:
        import h5py  # noqa: PLC0415 - an optional library
    except ImportError as error:
        why = "the library h5py, which writes it, is not installed"
        raise CannotExport("a Keras model", "any weights", why) from error
    memory, counts = io.BytesIO(), dict[str, int]()
    with h5py.File(memory, "w") as file:
        file.create_group("vars")
        for layer in in_keras_order(drawing.layers):
            word = snake(layer.kind)
            number = counts.get(word, 0)
            counts[word] = number + 1
            place = f"layers/{word}_{number}" if number else f"layers/{word}"
            file.create_group(f"{place}/vars").attrs["name"] = layer.name
            for part, arrays in layer.arrays.items():
                inner = f"{place}/{part}/vars" if part else f"{place}/vars"
                for index, array in enumerate(arrays):
                    file.require_group(inner).create_dataset(str(index), data=array)
    return memory.getvalue()
