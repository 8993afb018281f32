"""A model file of another framework, imported over HTTP, reused frozen elsewhere."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from catalog import folders, models
from catalog.session import reading
from tests.api.lab import Lab
from tests.api.test_model_imports import TF1, imported, published
from tests.trainer.trainings import TOY, carry_out, order
from trainer.data.dataset import Dataset, described

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SIZES = (784, 300, 50, 50, 20, 10)


def digits() -> Dataset:
    """Return images of 8x8 whose brightest row tells their class."""
    draw = np.random.default_rng(4)
    label = np.arange(200) % 10
    image = draw.integers(0, 90, (200, 8, 8))
    image[np.arange(200), label % 8] += 30 + 9 * label[:, None]
    arrays: dict[str, Any] = {"image": image.astype(np.uint8), "label": label}
    few = {name: values[:40] for name, values in arrays.items()}
    return described(TOY, {"train": arrays, "test": few}, "digits")


def twin() -> dict[str, bytes]:
    """Return weights of the published network's shapes, of our own making."""
    draw = np.random.default_rng(1)
    tensors = {}
    for number, (inputs, units) in enumerate(pairwise(SIZES), 1):
        name = f"hidden{number}" if units != 10 else "output"
        weight = draw.normal(0, (2 / inputs) ** 0.5, (units, inputs))
        tensors[f"{name}.weight"] = weight.astype(np.float32)
        tensors[f"{name}.bias"] = np.zeros(units, np.float32)
    return {"twin.safetensors": save(tensors)}


def reused(lab: Lab, files: dict[str, bytes], folder: Path) -> Any:
    """Import, ask for the frozen layers under a new top, train; return the result."""
    model = imported(
        lab,
        files,
        {
            "name": "handson",
            "classes": list(range(10)),
            "network": TF1,
            "preprocessing": {"divide_by": 255},
            "input": {"shape": [1, 28, 28]},
        },
    )
    spec = {
        "name": "small-digits",
        "dataset": {"id": "digits"},
        "network": {
            "from": "handson",
            "drop_top": 2,
            "layers": [{"name": "top", "kind": "dense", "units": 12}],
        },
        "reuse": [{"from": "handson", "freeze": ".*", "on_other_input": "resize"}],
        "training": {"epochs": 1, "batch_size": 32},
    }
    answer = lab.client.post("/v1/jobs", json=spec)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    states = {row["layer"]: row["state"] for row in job["reuse"]}
    assert states == {
        "input": "resized",
        "hidden1": "frozen",
        "hidden2": "frozen",
        "top": "new",
        "output": "new",
        "hidden3": "dropped",
        "hidden4": "dropped",
    }
    with reading() as session:
        source = folders.absolute(models.get(session, model["id"]).folder)
    asked = order(job["resolved_spec"], sources=[source], model=folder / "made")
    *_, result = carry_out(asked, digits())
    return result


def assert_frozen(result: Any) -> None:
    assert {row["tensor"] for row in result["frozen"]} == {
        f"hidden{n}.{tensor}" for n in (1, 2) for tensor in ("weight", "bias")
    }
    assert all(row["before"] == row["after"] for row in result["frozen"])


def test_a_checkpoint_of_mnist_is_reused_frozen_on_smaller_digits(
    lab: Lab, test_data: Path, tmp_path: Path
) -> None:
    assert_frozen(reused(lab, published(test_data, "tf1/*"), tmp_path))


def test_weights_of_the_same_form_are_reused_frozen_on_smaller_digits(
    lab: Lab, tmp_path: Path
) -> None:
    assert_frozen(reused(lab, twin(), tmp_path))
