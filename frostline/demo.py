"""The demo: what a frozen layer is good for, told by three real jobs.

Convolutions that learned the digits 0 to 4 from all examples are reused, frozen, to
tell the digits 5 to 9 apart from a few examples each; a network of the same shape
learns the same few examples from scratch, for comparison. Nothing here knows how it
ends: whatever the server measured is what is told.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frostline.answers import Job, Model
from frostline.client import Client
from frostline.errors import NotSucceeded, StackStopped
from frostline.processes import Program, last_lines, start

DATASET = "sklearn:digits"
FEW = 10
"""Examples per digit that the second and third job may learn from."""
START_SECONDS = 300.0
STOP_SECONDS = 30.0

CONVOLUTIONS: list[dict[str, Any]] = [
    {"name": "conv1", "kind": "conv2d", "filters": 32, "padding": "same"},
    {"name": "conv2", "kind": "conv2d", "filters": 64, "padding": "same"},
    {"name": "pool", "kind": "max_pool2d", "pool_size": 2},
]
TOP: list[dict[str, Any]] = [{"name": "hidden", "kind": "dense", "units": 50}]


@dataclass(frozen=True)
class Chapter:
    """One job of the story and the model that it made."""

    title: str
    job: Job
    model: Model

    @property
    def accuracy(self) -> float | None:
        """Return the share of the test rows that the model gets right."""
        return self.model.metrics.get("test_accuracy")

    @property
    def seconds(self) -> float | None:
        """Return how long the job ran."""
        if self.job.started_at is None or self.job.ended_at is None:
            return None
        return (self.job.ended_at - self.job.started_at).total_seconds()

    @property
    def unmoved(self) -> tuple[int, int]:
        """Return how many frozen tensors have the same hash after, and how many are."""
        frozen = self.job.frozen or ()
        return sum(one["before"] == one["after"] for one in frozen), len(frozen)


def spec(name: str, dataset: str, digits: list[int], **rest: Any) -> dict[str, Any]:
    """Return the spec of one chapter."""
    few = {"examples_per_class": FEW} if "few" in name or "scratch" in name else {}
    training = (
        {"epochs": 60, "batch_size": 10, "early_stopping": {"patience": 10}}
        if few
        else {"epochs": 20, "batch_size": 32, "early_stopping": {"patience": 5}}
    )
    return {
        "name": name,
        "dataset": {
            "id": dataset,
            "where": {"label": {"in": digits}},
            "split": {"validation": 0.1, "test": 0.3, "stratify": True},
            **few,
        },
        "network": {"layers": CONVOLUTIONS + TOP},
        "training": training,
        **rest,
    }


def story(client: Client, watch: Callable[[str, Job], Job]) -> Iterator[Chapter]:
    """Train the three models, one after the other; `watch` returns a job at its end."""
    dataset = client.datasets.add_from(DATASET).id
    low, high = [0, 1, 2, 3, 4], [5, 6, 7, 8, 9]

    def chapter(title: str, asked: Mapping[str, Any]) -> Chapter:
        job = watch(title, client.jobs.submit(asked))
        if job.status != "succeeded" or job.model is None:
            raise NotSucceeded(job.id, job.status, job.reason, job.error)
        return Chapter(title, job, client.models.get(job.model))

    first = chapter("digits 0-4, every example", spec("digits-0-4", dataset, low))
    yield first
    reuse = [{"from": first.model.id, "layers": "conv[12]", "freeze": "conv[12]"}]
    yield chapter(
        f"digits 5-9, {FEW} of each, frozen",
        spec("digits-5-9-few", dataset, high, reuse=reuse),
    )
    yield chapter(
        f"digits 5-9, {FEW} of each, from scratch",
        spec("digits-5-9-scratch", dataset, high),
    )


@contextmanager
def embedded(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Run ``frostline up`` on a free port as long as the block lasts; yield its URL."""
    command = [sys.executable, "-m", "frostline", "up", "--port", "0"]
    program = Program(
        name="frostline up",
        command=[*command, "--data", str(folder)],
        # Its own database and broker, whatever else this shell is set up for.
        environment={
            name: value
            for name, value in environment.items()
            if not name.startswith("FROSTLINE_")
        },
        folder=Path.cwd(),
        log=folder / "logs" / "up.log",
        stop_seconds=STOP_SECONDS,
    )
    process = start(program)
    try:
        yield address(process, folder, program.log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def address(process: subprocess.Popen[bytes], folder: Path, log: Path) -> str:
    """Wait until the stack is ready; return where it answers."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            found = json.loads((folder / "run" / "up.lock").read_text())
        except (OSError, ValueError):
            found = {}  # not there yet, or just being written
        if found.get("pid") == process.pid and found.get("ready"):
            return str(found["url"])
        time.sleep(0.05)
    raise StackStopped("frostline up", "did not start", os.fspath(log), last_lines(log))
