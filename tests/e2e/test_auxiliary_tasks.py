"""Pretraining on an auxiliary task over HTTP, from unlabelled digits to few labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from frostline import Client, Job
from frostline.errors import Invalid
from tests.e2e.test_whole_path import SECONDS
from tests.stack import Stack

DATASET = "auxiliary-digits"
BRANCH: list[dict[str, Any]] = [
    {"name": "hidden1", "kind": "dense", "units": 64},
    {"name": "hidden2", "kind": "dense", "units": 32},
]
SIAMESE: list[dict[str, Any]] = [
    {"name": "left", "kind": "select", "index": 0},
    *BRANCH,
    {"name": "right", "kind": "select", "index": 1, "inputs": ["input"]},
    {"name": "again1", "kind": "shared", "of": "hidden1"},
    {"name": "again2", "kind": "shared", "of": "hidden2"},
    {"name": "apart", "kind": "absolute_difference", "inputs": ["hidden2", "again2"]},
    {"name": "top", "kind": "dense", "units": 16},
]
PAIRS: dict[str, Any] = {
    "name": "auxiliary-pairs",
    "dataset": {
        "id": DATASET,
        "auxiliary_task": {"kind": "same_or_different", "pairs": 4000},
    },
    "network": {"layers": SIAMESE},
    "training": {"epochs": 8, "seed": 3},
}
pytestmark = pytest.mark.parametrize("stack", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    """Return a client of the running stack."""
    with stack.client() as talking:
        talking.datasets.add_from("sklearn:digits", name=DATASET)
        yield talking


@pytest.fixture(scope="module")
def compared(client: Client) -> Job:
    """Return a job that has learned whether two digits are the same."""
    return client.jobs.wait(client.jobs.submit(PAIRS).id, SECONDS)


def few(name: str, **fields: Any) -> dict[str, Any]:
    """Return a job that has two labelled digits of each class."""
    rows = {"id": DATASET, "examples_per_class": 2}
    return {
        "name": name,
        "dataset": rows,
        "network": {"layers": BRANCH},
        "training": {"epochs": 60, "batch_size": 20, "seed": 3},
        **fields,
    }


def accuracy(client: Client, spec: dict[str, Any]) -> float:
    job = client.jobs.wait(client.jobs.submit(spec).id, SECONDS)
    assert job.status == "succeeded", job.error
    assert all(t["before"] == t["after"] for t in job.frozen or ())
    return measured(client, spec["name"])


def measured(client: Client, model: str) -> float:
    found = client.models.get(model).metrics["test_accuracy"]
    assert found is not None
    return found


def test_pairs_are_told_apart(client: Client, compared: Job) -> None:
    assert compared.status == "succeeded"
    assert measured(client, "auxiliary-pairs") > 0.8


def test_frozen_layers_of_pairs_help_where_labels_are_few(
    client: Client, compared: Job
) -> None:
    taken = {"from": "auxiliary-pairs", "layers": "hidden.", "freeze": "hidden."}

    without = accuracy(client, few("auxiliary-without"))
    reused = accuracy(client, few("auxiliary-reused", reuse=[taken]))

    assert reused > without + 0.05


def test_a_model_of_pairs_is_asked_for_two_examples_at_a_time(
    client: Client, compared: Job
) -> None:
    rows = client.datasets.preview(DATASET)["rows"]
    images = [row["image"] for row in rows]

    asked = [[images[0], images[0]], images[:2]]
    found = client.models.predict("auxiliary-pairs", asked, "images")

    assert found["classes"] == ["different", "same"]
    first = found["predictions"][0]
    assert first["class"] == "same"
    assert len(found["predictions"]) == 2


def test_one_example_is_no_pair(client: Client, compared: Job) -> None:
    image = client.datasets.preview(DATASET)["rows"][0]["image"]

    with pytest.raises(Invalid) as caught:
        client.models.predict("auxiliary-pairs", [[image, image], image], "images")

    problem = caught.value.problems[0]
    assert (problem.pointer, problem.code) == ("/images/1", "not_a_pair")


def test_angles_are_learned_without_any_label(client: Client) -> None:
    spec = few("auxiliary-turned")
    spec["dataset"] = {"id": DATASET, "auxiliary_task": "rotation"}
    spec["training"]["epochs"] = 5

    assert accuracy(client, spec) > 0.7
    assert client.models.get("auxiliary-turned").card["classes"] == [0, 90, 180, 270]


def test_a_recipe_that_pairs_cannot_have_is_refused_at_submit(client: Client) -> None:
    wrong = PAIRS | {"training": {"mixing": "mixup"}}

    with pytest.raises(Invalid) as caught:
        client.jobs.submit(wrong)

    assert caught.value.problems[0].pointer == "/training/mixing"
