"""A spec with pretraining through real processes: a chain, killed in its middle."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from frostline import Client, Job
from tests.stack import Stack

SECONDS = 120
SPEC: dict[str, Any] = {
    "name": "chain",
    "dataset": {"id": "chain-digits", "target": "label", "examples_per_class": 10},
    "network": {
        "defaults": {"normalization": "none", "dropout": 0},
        "layers": [
            {"name": "hidden1", "kind": "dense", "units": 32},
            {"name": "hidden2", "kind": "dense", "units": 16},
        ],
    },
    "pretraining": {
        "kind": "stacked_autoencoders",
        "training": {"epochs": 30, "early_stopping": "none"},
        "freeze": 1,
    },
    "training": {"optimizer": "adam", "epochs": 5, "batch_size": 20},
}


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    """Return a client of the running stack, with digits in its catalog."""
    with stack.client() as talking:
        talking.datasets.add_from("sklearn:digits", name="chain-digits")
        yield talking


@pytest.fixture(scope="module")
def ended(stack: Stack, client: Client) -> Job:
    """Return the last job of a chain whose middle stage was killed once."""
    job = client.jobs.submit(SPEC)
    middle = str(job.stages[1]["id"])
    deadline = time.monotonic() + SECONDS
    while not (client.jobs.get(middle).progress or job).model_dump().get("step"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for attempt in client.jobs.get(middle).attempts or ():
        _kill(stack, attempt)
    return client.jobs.wait(job.id, SECONDS)


def _kill(stack: Stack, attempt: Any) -> None:
    """Kill the worker of an attempt and all below it."""
    assert attempt["ended_at"] is None
    for process in stack.processes("worker"):
        process.kill()


def test_a_chain_ends_with_a_model_for_each_stage(client: Client, ended: Job) -> None:
    made = [client.models.get(str(stage["model"])) for stage in ended.stages]

    assert [model.name for model in made] == ["chain-hidden1", "chain-hidden2"]
    assert [model.task for model in made] == ["reconstruction"] * 2
    assert client.models.get(str(ended.model)).task == "classification"


def test_the_lineage_goes_down_the_stages(client: Client, ended: Job) -> None:
    first, second = (str(stage["model"]) for stage in ended.stages)

    upper = client.models.get(second).lineage["sources"]
    last = client.models.get(str(ended.model)).lineage["sources"]

    assert [one["id"] for one in upper] == [first]
    assert [one["id"] for one in last] == [second]


def test_what_was_frozen_is_the_lowest_autoencoder(client: Client, ended: Job) -> None:
    proof = {one["tensor"]: one for one in ended.frozen or ()}

    assert set(proof) == {"hidden1.weight", "hidden1.bias"}
    assert all(one["before"] == one["after"] for one in proof.values())
    second = client.jobs.get(str(ended.stages[1]["id"]))
    below = {one["tensor"]: one["after"] for one in second.frozen or ()}
    assert below == {name: one["before"] for name, one in proof.items()}


def test_the_killed_stage_was_neither_lost_nor_doubled(
    client: Client, ended: Job
) -> None:
    names = ["chain-hidden1", "chain-hidden2", "chain"]

    jobs = [list(client.jobs.each(name=name)) for name in names]

    assert [len(found) for found in jobs] == [1, 1, 1]
    assert len(client.jobs.get(str(ended.stages[1]["id"])).attempts or ()) == 2
    assert [client.models.get(name).version for name in names] == [1, 1, 1]
