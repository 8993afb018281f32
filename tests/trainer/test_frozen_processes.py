"""Trainer processes that want the same frozen outputs at the same time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer import trainings
from tests.trainer.processes import Trainer
from tests.trainer.trainings import pictures, spec
from trainer.process.order import Order, OrderedSource

ROWS = 6000
LAYERS: list[dict[str, Any]] = [
    {"kind": "dense", "name": "hidden1", "units": 2000},
    {"kind": "dense", "name": "hidden2", "units": 2000},
    {"kind": "dense", "name": "hidden3", "units": 40},
]
"""A second or two of frozen layers."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a data set and a source model."""
    found = tmp_path_factory.mktemp("processes")
    columns = pictures(ROWS).columns
    np.savez(found / "rows.npz", image=columns["image"], label=columns["label"])
    trainings.model(found / "source", spec(LAYERS, epochs=1), pictures(seed=9))
    return found


@pytest.fixture
def trainers() -> Iterator[list[Trainer]]:
    both = [Trainer(), Trainer()]
    yield both
    for one in both:
        one.close()


def order(folder: Path, name: str, cache: str) -> dict[str, Any]:
    """Return the order of a job on the frozen layers of the source."""
    entry = {"from": "source", "layers": "hidden.*", "freeze": "hidden.*"}
    training: dict[str, Any] = {"epochs": 2, "batch_size": 500, "doctor": "off"}
    what = Order(
        spec=spec(LAYERS, reuse=[entry], **training),
        dataset=folder / "rows.npz",
        sources=(OrderedSource(id="mdl_source", folder=folder / "source"),),
        model=folder / name,
        frozen_cache=folder / cache,
        frozen_cache_bytes=2**30,
    )
    return {"order": what.model_dump(mode="json")}


def sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()


def test_of_two_jobs_at_the_same_time_one_computes_and_both_are_right(
    folder: Path, trainers: list[Trainer]
) -> None:
    for number, one in enumerate(trainers):
        one.hear("ready")
        one.say(order(folder, f"twin{number}", "shared"))

    told = [one.hear("result", "failed") for one in trainers]

    assert sorted(each["cache"]["result"] for each in told) == ["hit", "miss"]
    by_result = {each["cache"]["result"]: each["cache"] for each in told}
    # each may fill one part of the rows; the seconds are those of whoever did
    assert (
        by_result["hit"]["frozen_forward_seconds"]
        == by_result["miss"]["frozen_forward_seconds"]
    )
    assert told[0]["metrics"] == told[1]["metrics"]
    assert sha256(folder / "twin0") == sha256(folder / "twin1")


def test_a_filler_that_is_killed_does_not_stop_the_job_that_waits_for_it(
    folder: Path, trainers: list[Trainer]
) -> None:
    victim, other = trainers
    victim.hear("ready")
    other.hear("ready")
    victim.say(order(folder, "victim", "killed"))
    being_filled(folder / "killed")
    other.say(order(folder, "other", "killed"))
    victim.process.kill()

    told = other.hear("result", "failed")

    assert told["cache"]["result"] == "miss"
    assert told["cache"]["summary"].split()[0] in {"saved", "lost"}
    assert not (folder / "victim").exists()


def being_filled(cache: Path) -> None:
    """Wait until a process has begun to write an entry."""
    until = time.monotonic() + 60
    while not list(cache.glob(".*.*/0.npy")):
        assert time.monotonic() < until
        time.sleep(0.002)
