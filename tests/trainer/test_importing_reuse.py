"""Imported layers in a later job: frozen, they stay what the file holds."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as safetensors_bytes
from torch import nn

from tests.trainer import imports, trainings
from trainer.export import export
from trainer.preprocessing import Preprocessing
from trainer.saved.model_folder import tensor_sha256
from trainer.saved.reopened import drawn_rows, network_of

LAYERS = [
    {"name": "conv1", "kind": "conv2d", "filters": 4, "normalization": "batch"},
    {"name": "hidden1", "kind": "dense", "units": 5},
]


@pytest.mark.parametrize("divide_by", [255, 1])
def test_imported_layers_are_reused_frozen_to_the_bit(
    tmp_path: Path, divide_by: int
) -> None:
    torch.manual_seed(0)
    source = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(64, 5))
    tensors = source.state_dict() | {
        "9.weight": torch.ones(3, 5),
        "9.bias": torch.ones(3),
    }
    network: dict[str, Any] = {
        "defaults": {"normalization": "none", "dropout": 0, "activation": "relu"},
        "layers": LAYERS,
    }
    form = {
        "network": network,
        "classes": [7, 8, 9],
        "input": {"shape": [1, 6, 6]},
        "preprocessing": {"divide_by": divide_by},
    }
    imports.network(tmp_path, {"m.safetensors": safetensors_bytes(tensors)}, form)
    entry = {"from": "foreign", "layers": "conv1|hidden1", "freeze": "conv1"}
    what = trainings.spec(LAYERS, defaults=network["defaults"], reuse=[entry], epochs=2)
    ordered = trainings.order(
        what, sources=[tmp_path / "model"], model=tmp_path / "made"
    )

    *_, result = trainings.carry_out(ordered, trainings.pictures())

    frozen = {line["tensor"]: line for line in result["frozen"]}
    assert len(frozen) == 7
    assert all(line["before"] == line["after"] for line in frozen.values())
    kernel = tensor_sha256(tensors["0.weight"])
    assert frozen["conv1.weight"]["after"] == kernel
    theirs = Preprocessing.load(tmp_path / "model")
    ours = Preprocessing.load(tmp_path / "made")
    assert ours.described() == theirs.described()
    pixels = np.arange(36, dtype=np.uint8).reshape(1, 6, 6, 1)
    given = ours.apply({"image": pixels}).ravel()
    np.testing.assert_allclose(given, np.arange(36) / divide_by, rtol=1e-6)


def test_the_card_tells_what_came_from_where(tmp_path: Path) -> None:
    content = safetensors_bytes({"fc.weight": torch.ones(2, 3)})
    layer = {"name": "output", "kind": "dense", "units": 2, "bias": False}
    form = {
        "license": "MIT",
        "source": "a drawer",
        "network": {"layers": [layer]},
        "input": {"shape": [3]},
        "preprocessing": {"divide_by": 1},
    }

    imports.network(tmp_path, {"m.safetensors": content}, form)

    told = json.loads((tmp_path / "model" / "model.json").read_text())["import"]
    assert told["format"] == "safetensors"
    assert told["files"][0]["sha256"] == hashlib.sha256(content).hexdigest()
    assert (told["license"], told["source"]) == ("MIT", "a drawer")
    assert told["checks"] == []
    assert "unchecked" in told["notes"][-1]
    assert told["table"] == [
        {
            "layer": "output",
            "tensor": "weight",
            "shape": [2, 3],
            "source": "fc.weight",
            "source_shape": [2, 3],
            "how": "order",
        }
    ]


def test_a_layer_that_only_torch_computes_waits_for_a_worker(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = {
        "block.conv1.weight": torch.randn(4, 1, 3, 3),
        "block.conv2.weight": torch.randn(4, 4, 3, 3),
        "block.downsample.weight": torch.randn(4, 1, 1, 1),
        "fc.weight": torch.randn(2, 144),
    }
    files = {"m.safetensors": safetensors_bytes(tensors)}
    block = {"name": "block", "kind": "residual", "filters": 4, "bias": False}
    output = {"name": "output", "kind": "dense", "units": 2, "bias": False}
    bare = {"normalization": "none", "dropout": 0, "activation": "relu"}
    form = {
        "network": {"defaults": bare, "layers": [block, output]},
        "input": {"shape": [1, 6, 6]},
        "preprocessing": {"divide_by": 1},
    }
    known = {"inputs": [np.zeros((6, 6, 1)).tolist()], "outputs": [[0, 0]]}

    answer = imports.asked(tmp_path / "a", files, form)
    checked = imports.asked(tmp_path / "b", files, form | {"expected": known})
    network = network_of(tmp_path / "a" / "model")
    made = export(network, drawn_rows(network), tmp_path / "a" / "model" / "model.onnx")

    assert not answer.refused, answer.refused
    assert answer.graph is None
    assert "model.onnx" not in answer.files
    assert [p.code for p in checked.refused] == ["not_checkable"]
    assert made.maximum_difference < 1e-3


def test_a_zip_of_a_folder_is_the_files_in_it(tmp_path: Path) -> None:
    kernel = np.arange(6, dtype=np.float32).reshape(3, 2)
    inside = {"saved_model.pb": b""}
    parts = imports.bundle({"layer/kernel": kernel}, "variables")
    inside |= {f"variables/{name}": content for name, content in parts.items()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in inside.items():
            archive.writestr(f"model/{name}", content)
    layer = {"name": "output", "kind": "dense", "units": 2, "bias": False}
    form = {
        "network": {"layers": [layer]},
        "input": {"shape": [3]},
        "preprocessing": {"divide_by": 1},
    }

    _, told = imports.network(tmp_path, {"model.zip": stream.getvalue()}, form)

    assert told["format"] == "tensorflow_saved_model"
