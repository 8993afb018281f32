"""Foreign models over HTTP: real files, their stated results, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save

from catalog.settings import settings
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


def test_the_detectors_scores_are_those_of_its_runtime_in_both_formats(
    lab: Lab, test_data: Path
) -> None:
    scaled = {"divide_by": 128, "mean": 127 / 128}
    spec = {"name": "slim", "output": "scores", "preprocessing": scaled}
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).tolist()

    first = imported(lab, published(test_data, "onnx/*"), spec)
    second = imported(lab, published(test_data, "caffe/*"), spec)
    answers = [
        lab.client.post(
            f"/v1/models/{model['id']}/predict", json={"images": [image]}
        ).json()["predictions"][0]["values"]
        for model in (first, second)
    ]

    check = first["card"]["import"]["checks"][0]
    assert (check["runtime"], check["passed"]) == ("onnxruntime", True)
    assert check["maximum_difference"] < 1e-5
    assert len(answers[0]) == 4420 * 2
    np.testing.assert_allclose(answers[0], answers[1], atol=2e-6)


def test_a_published_keras_model_answers_as_keras_does(
    lab: Lab, test_data: Path
) -> None:
    # what keras 3.15 on torch 2.13 predicts for the x below, loaded without compiling
    known = [
        [0.076007, 0.080975, 0.113198, 0.278447, 0.119980, 0.148521, 0.182872],
        [0.075763, 0.083147, 0.110312, 0.291569, 0.107284, 0.148050, 0.183876],
    ]
    x = np.random.default_rng(0).random((2, 64, 64, 1), dtype=np.float32)
    stated = {"inputs": x.reshape(2, 1, 64, 64).tolist(), "outputs": known}
    spec = {
        "name": "emotions",
        "classes": ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"],
        "input": {"kind": "array"},
        "preprocessing": {"divide_by": 1},
        "expected": stated | {"tolerance": 1e-5},
    }

    model = imported(lab, published(test_data, "keras/*"), spec)

    assert model["task"] == "classification"
    assert model["layers"][0]["name"] == "conv2d_1"
    assert len(model["layers"][0]["tensors"]) == 6
    assert model["card"]["import"]["checks"][0]["compared"] == "probabilities"


SMALL: dict[str, Any] = {
    "name": "small",
    "license": "MIT",
    "tags": ["foreign"],
    "description": "two sums",
    "network": {"layers": [{"name": "output", "kind": "dense", "units": 2}]},
    "input": {"columns": ["length", "width", "height"]},
    "preprocessing": {"divide_by": 1},
    "expected": {
        "inputs": [{"length": 1, "width": 2, "height": 3}],
        "outputs": [[6, 7]],
    },
}
KERNEL = np.ones((2, 3), np.float32)
FILE = save({"fc.weight": KERNEL, "fc.bias": np.array([0, 1], np.float32)})


def test_an_import_is_a_model_like_any_other(lab: Lab) -> None:
    model = imported(lab, {"m.safetensors": FILE}, SMALL)
    again = imported(lab, {"m.safetensors": FILE}, SMALL)
    row = {"length": 1, "width": 1, "height": 4}
    predicted = lab.client.post("/v1/models/small/predict", json={"rows": [row]})
    listed = lab.get("/v1/models", tag="foreign")["data"]
    graph = lab.client.get("/v1/models/small/files/model.onnx")
    removed = lab.client.delete(f"/v1/models/{model['id']}")

    assert (model["version"], again["version"]) == (1, 2)
    assert model["job"] is None
    assert model["is_ready"] is True
    assert model["description"] == "two sums"
    assert predicted.json()["predictions"] == [{"values": [6.0, 7.0]}]
    assert [one["name"] for one in listed] == ["small", "small"]
    assert graph.status_code == 200
    assert removed.status_code == 204


def test_the_spec_may_be_a_file_of_yaml_or_single_fields(lab: Lab) -> None:
    text = "name: as-yaml\npreprocessing: {divide_by: 1}\ninput: {shape: [3]}\n"
    network = json.dumps(SMALL["network"])
    parts = [
        ("file", ("m.safetensors", FILE)),
        ("spec", ("spec.yaml", text.encode())),
    ]
    fields = {"license": "MIT", "network": network}

    answer = lab.client.post("/v1/models/import", files=parts, data=fields)

    assert answer.status_code == 201, answer.text
    assert answer.json()["card"]["import"]["license"] == "MIT"
    assert answer.json()["name"] == "as-yaml"


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"preprocessing": None}, "/preprocessing", "preprocessing_missing"),
        ({"colour": "blue"}, "/colour", "unknown_field"),
        ({"network": {"layers": [{"kind": "dens"}]}}, "/network/layers/0/kind", None),
        (
            {"expected": {"dataset": "nowhere", "accuracy": 0.9}},
            "/expected/dataset",
            "unknown_dataset",
        ),
        (
            {"expected": {"inputs": SMALL["expected"]["inputs"], "outputs": [[5, 5]]}},
            "/expected/outputs",
            "check_failed",
        ),
    ],
)
def test_a_refused_import_leaves_nothing(
    lab: Lab, change: dict[str, Any], pointer: str, code: str | None
) -> None:
    spec = {name: v for name, v in (SMALL | change).items() if v is not None}

    answer = send(lab, {"m.safetensors": FILE}, spec)

    assert answer.status_code == 422
    fault = answer.json()["errors"][0]
    assert (fault["pointer"], fault["code"]) == (pointer, code or fault["code"])
    assert lab.get("/v1/models", name="small")["data"] == []
    data = settings().folder
    assert [*data.glob("uploads/*"), *data.glob("models/*")] == []


def test_a_pickle_is_refused_and_not_run(lab: Lab) -> None:
    answer = send(lab, {"m.pkl": b"\x80\x04cos\nsystem\n."}, SMALL)

    document = problem(answer, 422, "invalid_import")
    assert document["errors"][0]["code"] == "unsafe_pickle"


def test_an_address_is_not_fetched(lab: Lab) -> None:
    address = {"uri": "http://169.254.169.254/model.onnx"}

    answer = lab.client.post("/v1/models/import", json=address)

    assert problem(answer, 422, "invalid_input")["errors"][0]["pointer"] == "/uri"


def test_a_form_without_files_and_another_body_are_refused(lab: Lab) -> None:
    empty = lab.client.post("/v1/models/import", files={"spec": (None, "{}")})
    other = lab.client.post("/v1/models/import", content=b"x")

    assert problem(empty, 422, "invalid_input")["errors"][0]["pointer"] == "/file"
    assert other.status_code == 415
