"""A model that nobody exported is read back and exported by another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from tests.trainer.trainings import CONVOLUTIONAL, model, pictures, spec
from trainer.saved.reopened import drawn_rows, network_of


def served(order: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a serving trainer tells of one order, and of the end of its input."""
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "--serve"],
        input=json.dumps(order) + "\n",
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_reopened_model_is_exported_and_computes_the_same(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", spec(CONVOLUTIONAL), pictures())

    ready, exported = served({"export": {"model": str(folder)}})

    network = network_of(folder).eval()
    rows = drawn_rows(network)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (told,) = session.run(None, {"input": rows.numpy()})
    assert (ready["event"], exported["event"]) == ("ready", "exported")
    with torch.no_grad():
        torch.testing.assert_close(
            torch.from_numpy(told), network(rows), rtol=1e-4, atol=1e-5
        )


def test_a_model_that_is_broken_is_not_exported(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", spec(), pictures())
    weights = bytearray((folder / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(weights)

    _, failed = served({"export": {"model": str(folder)}})

    assert failed["event"] == "failed"
    assert not (folder / "model.onnx").exists()


def test_a_trainer_writes_a_form_that_was_asked_for(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", spec(CONVOLUTIONAL), pictures())
    asked = {"model": str(folder), "format": "pytorch_script", "dataset": None}

    _, exported = served({"export": asked})

    assert exported["event"] == "exported"
    assert exported["report"] == {"rows": 65, "real_rows": 0}
    assert (folder / "network.py").is_file()


def test_a_trainer_tells_why_a_form_cannot_be_written(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", spec(CONVOLUTIONAL), pictures())

    _, failed = served({"export": {"model": str(folder), "format": "onnx_pipeline"}})

    assert failed["event"] == "failed"
    assert "it has no model.onnx to begin with" in failed["error"]
