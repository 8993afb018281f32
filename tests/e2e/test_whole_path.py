"""The promise of the service, on either database: train, reuse frozen, predict."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from frostline import Client, Dataset, Job
from frostline.errors import Invalid, Unavailable
from tests.stack import Stack

SECONDS = 90


def spec(name: str, dataset: Dataset, digits: list[int]) -> dict[str, Any]:
    """Return the spec of a small network that tells some digits apart."""
    return {
        "name": name,
        "dataset": {
            "id": dataset.id,
            "target": "label",
            "where": {"label": {"in": digits}},
        },
        "network": {
            "layers": [
                {"name": "hidden1", "kind": "dense", "units": 32},
                {"name": "hidden2", "kind": "dense", "units": 16},
            ]
        },
        "training": {"epochs": 12, "batch_size": 50, "seed": 3},
    }


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    """Return a client of the running stack."""
    with stack.client() as talking:
        yield talking


@pytest.fixture(scope="module")
def digits(client: Client) -> Dataset:
    """Return the digits that scikit-learn carries."""
    return client.datasets.add_from("sklearn:digits", name="path-digits")


@pytest.fixture(scope="module")
def low(client: Client, digits: Dataset) -> Job:
    """Return a job that has learned the digits 0 to 4."""
    job = client.jobs.submit(spec("path-low", digits, [0, 1, 2, 3, 4]))
    return client.jobs.wait(job.id, SECONDS)


@pytest.fixture(scope="module")
def high(client: Client, digits: Dataset, low: Job) -> Job:
    """Return a job that has learned 5 to 9 above the frozen layers of `low`."""
    asked = spec("path-high", digits, [5, 6, 7, 8, 9])
    asked["reuse"] = [
        {"from": "path-low@best", "layers": "hidden[12]", "freeze": "hidden1"}
    ]
    return client.jobs.wait(client.jobs.submit(asked).id, SECONDS)


def predict(client: Client, model: str, rows: list[Any]) -> Mapping[str, Any]:
    """Return predictions; 5 s after its end at the latest a model can make them."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            return client.models.predict(model, rows)
        except Unavailable:
            time.sleep(0.2)
    raise AssertionError(model)


def test_a_network_learns(client: Client, low: Job) -> None:
    accuracy = client.models.get("path-low@best").metrics["test_accuracy"]

    assert accuracy is not None
    assert accuracy > 0.9


def test_what_is_frozen_did_not_move_and_the_rest_did(
    client: Client, high: Job
) -> None:
    frozen = list(high.frozen or ())
    layers = {
        layer["name"]: layer
        for layer in client.models.get(str(high.model)).layers or ()
    }

    assert {one["tensor"].split(".")[0] for one in frozen} == {"hidden1"}
    assert [one["after"] for one in frozen] == [one["before"] for one in frozen]
    assert layers["hidden1"]["frozen"] is True
    assert layers["hidden2"]["frozen"] is False


def test_a_model_knows_the_model_that_its_layers_came_from(
    client: Client, low: Job, high: Job
) -> None:
    assert low.model is not None
    assert low.model in str(client.models.lineage(str(high.model)))


def test_a_model_predicts_rows_in_the_form_of_its_data_set(
    client: Client, digits: Dataset, low: Job
) -> None:
    rows = client.datasets.preview(digits.id)["rows"][:5]

    answer = predict(client, "path-low", rows)

    assert len(answer["predictions"]) == 5


@pytest.mark.parametrize("name", ["path-low", "path-high"])
def test_a_job_has_one_end_and_one_attempt(
    client: Client, low: Job, high: Job, name: str
) -> None:
    job = {"path-low": low, "path-high": high}[name]
    statuses = [
        event.data["status"]
        for event in client.jobs.follow(job.id)
        if event.type == "status"
    ]

    assert statuses[-1] == "succeeded"
    assert statuses.count("succeeded") == 1
    assert len(job.attempts or ()) == 1


def test_an_unknown_source_is_refused_at_once(client: Client, digits: Dataset) -> None:
    asked = spec("path-refused", digits, [0, 1])
    asked["reuse"] = [{"from": "nobody@best", "layers": ".*"}]

    with pytest.raises(Invalid, match="nobody"):
        client.jobs.submit(asked)
