"""Foreign models over HTTP: real files, their stated results, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.lab import Lab, problem

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

BARE = {"normalization": "none", "dropout": 0, "activation": "relu"}
TF1 = {
    "defaults": BARE,
    "layers": [
        {"name": f"hidden{n}", "kind": "dense", "units": units}
        for n, units in enumerate((300, 50, 50, 20), 1)
    ],
}
CONVOLUTIONS = {
    "defaults": BARE,
    "layers": [
        {"name": "conv1", "kind": "conv2d", "filters": 32, "kernel_size": 5},
        {
            "name": "conv2",
            "kind": "conv2d",
            "filters": 32,
            "kernel_size": 5,
            "normalization": {"kind": "batch", "epsilon": 1e-5},
            "normalization_position": "after_activation",
        },
        {"name": "pool1", "kind": "max_pool2d"},
        {"name": "conv3", "kind": "conv2d", "filters": 64, "kernel_size": 3},
        {
            "name": "conv4",
            "kind": "conv2d",
            "filters": 64,
            "kernel_size": 3,
            "normalization": {"kind": "batch", "epsilon": 1e-5},
            "normalization_position": "after_activation",
        },
        {"name": "pool2", "kind": "max_pool2d"},
    ],
}
"""The networks as the published weights' sources describe them."""


def send(
    lab: Lab, files: Mapping[str, bytes], spec: Mapping[str, Any] | None = None
) -> httpx.Response:
    parts = [("file", (name, content)) for name, content in files.items()]
    fields = {"spec": json.dumps(spec)} if spec is not None else {}
    return lab.client.post("/v1/models/import", files=parts, data=fields, timeout=110)


def imported(lab: Lab, files: Mapping[str, bytes], spec: Mapping[str, Any]) -> Any:
    answer = send(lab, files, spec)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/v1/models/{answer.json()['id']}"
    return answer.json()


def published(folder: Path, pattern: str) -> dict[str, bytes]:
    found = {p.name: p.read_bytes() for p in sorted(folder.glob(f"weights/{pattern}"))}
    assert found
    return found


def digits(lab: Lab, folder: Path) -> None:
    parts = [
        ("file", (path.name.removeprefix("t10k-"), path.read_bytes()))
        for path in sorted((folder / "mnist").glob("t10k-*.gz"))
    ]
    answer = lab.client.post(
        "/v1/datasets", files=parts, data={"name": "mnist"}, timeout=110
    )
    assert answer.status_code == 201, answer.text


def part_of(lab: Lab) -> str:
    return str(lab.get("/v1/datasets/mnist")["parts"][0]["name"])


def test_a_tensorflow_checkpoint_keeps_its_accuracy(lab: Lab, test_data: Path) -> None:
    digits(lab, test_data)
    files = published(test_data, "tf1/*")
    known = {"dataset": "mnist", "part": part_of(lab), "accuracy": 0.9547}
    spec = {
        "name": "handson",
        "license": "none stated",
        "classes": list(range(10)),
        "network": TF1,
        "preprocessing": {"divide_by": 255},
        "expected": known,
    }

    model = imported(lab, files, spec)

    told = model["card"]["import"]
    assert told["format"] == "tensorflow_checkpoint"
    assert told["checks"][0]["accuracy"] == pytest.approx(0.9547, abs=1e-9)
    assert [layer["name"] for layer in model["layers"]][0::4] == ["hidden1", "output"]
    assert {row["how"] for row in told["table"]} == {"name", "order"}


def test_a_safetensors_file_keeps_its_accuracy_on_raw_pixels(
    lab: Lab, test_data: Path
) -> None:
    digits(lab, test_data)
    files = published(test_data, "safetensors/*")
    known = {"dataset": "mnist", "part": part_of(lab), "accuracy": 0.9916}
    spec = {
        "name": "jsgrad",
        "classes": list(range(10)),
        "network": CONVOLUTIONS,
        "preprocessing": {"divide_by": 1},
        "expected": known,
    }

    model = imported(lab, files, spec)
    divided = send(lab, files, spec | {"preprocessing": {"divide_by": 255}})

    check = model["card"]["import"]["checks"][0]
    assert check["accuracy"] == pytest.approx(0.9916, abs=1e-9)
    assert check["rows"] == 10_000
    refused = problem(divided, 422, "invalid_import")["errors"][0]
    assert refused["code"] == "check_failed"
    assert refused["pointer"] == "/expected/accuracy"
    assert "preprocessing" in refused["suggestion"]
