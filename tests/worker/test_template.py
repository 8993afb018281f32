"""Trainers that are copies of a template: children of ours, each alone, each once."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.worker.conftest import alive, wait_for
from worker import frames
from worker.device import Device, trainer_environment
from worker.processes import PR_SET_CHILD_SUBREAPER, adopt_orphans, children
from worker.settings import WorkerSettings
from worker.spare import Spare
from worker.template import Template
from worker.trainer_process import TrainerProcess

COMMAND = (sys.executable, "-m", "trainer", "--template")
ENVIRONMENT = trainer_environment(Device("cpu"), 1, dict(os.environ))


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    """Return a template of real trainers, in a process that adopts orphans."""
    adopt_orphans()
    made = Template(COMMAND, ENVIRONMENT)
    yield made
    made.end()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def copy_of(template: Template) -> TrainerProcess:
    """Return a copy that has said that it is ready."""
    template.ask()
    trainer = template.receive(100)
    assert trainer is not None
    wait_for(lambda: is_ready(trainer), "a ready copy")
    return trainer


def is_ready(trainer: TrainerProcess) -> bool:
    return any(isinstance(f, frames.Ready) for f in trainer.read_frames() or [])


def test_a_copy_is_our_child_and_leads_its_own_group(template: Template) -> None:
    trainer = copy_of(template)

    assert trainer.pid in children()
    assert os.getpgid(trainer.pid) == trainer.pid
    assert trainer.pid != template.pid
    trainer.end()


def test_a_template_has_one_thread_because_only_that_one_is_copied(
    template: Template,
) -> None:
    copy_of(template).end()

    assert len(list(Path(f"/proc/{template.pid}/task").iterdir())) == 1


def test_a_copy_ends_when_it_is_told_to_and_its_exit_is_ours_to_see(
    template: Template,
) -> None:
    trainer = copy_of(template)

    trainer.say({"command": "exit"})

    wait_for(lambda: trainer.has_exited, "its exit", 20)
    assert trainer.end() == 0


def test_a_copy_that_is_killed_is_told_truthfully(template: Template) -> None:
    trainer = copy_of(template)

    os.kill(trainer.pid, signal.SIGKILL)

    wait_for(lambda: trainer.has_exited, "its death", 20)
    assert trainer.end() == -signal.SIGKILL
    assert not trainer.killed_by_us


def test_two_copies_do_not_hold_each_others_pipes(template: Template) -> None:
    first, second = copy_of(template), copy_of(template)

    os.close(first.stdin)
    wait_for(lambda: first.has_exited, "the end of the one without a worker", 20)

    assert not second.has_exited
    first.stdin = os.open(os.devnull, os.O_RDONLY)
    first.end()
    second.end()


def trained(trainer: TrainerProcess, folder: Path) -> str:
    """Have a trainer train a small network; return the hash of its weights."""
    folder.mkdir()
    draw = np.random.default_rng(3)
    label = draw.integers(0, 2, 200)
    x = draw.normal(size=(200, 4)) + label[:, None]
    np.savez(folder / "rows.npz", x=x.astype(np.float32), y=label)
    spec = {
        "name": "twin",
        "dataset": {"id": "rows", "target": "y"},
        "network": {"layers": [{"kind": "dense", "units": 8, "dropout": 0.3}]},
        "training": {"epochs": 5, "batch_size": 20, "seed": 7},
    }
    dataset, model = str(folder / "rows.npz"), str(folder / "model")
    trainer.say({"order": {"spec": spec, "dataset": dataset, "model": model}})
    told: list[frames.Frame | frames.Unreadable] = []

    def result() -> frames.Result | None:
        told.extend(trainer.read_frames() or [])
        return next((f for f in told if isinstance(f, frames.Result)), None)

    found: frames.Result = wait_for(result, "a result", 100)
    trainer.end()
    return found.files["weights.safetensors"].sha256


def test_a_copy_trains_to_the_same_bits_as_a_trainer_started_from_nothing(
    template: Template, tmp_path: Path
) -> None:
    fresh = TrainerProcess.start((*COMMAND[:-1], "--serve"), ENVIRONMENT)

    weights = {
        trained(fresh, tmp_path / "fresh"),
        trained(copy_of(template), tmp_path / "first"),
        trained(copy_of(template), tmp_path / "second"),
    }

    assert len(weights) == 1


def test_copies_outlive_their_template_and_nothing_more_comes_of_it() -> None:
    adopt_orphans()
    template = Template(COMMAND, ENVIRONMENT)
    trainer = copy_of(template)

    os.kill(template.pid, signal.SIGKILL)
    wait_for(lambda: not template.is_alive, "its death", 20)
    template.ask()

    assert template.receive(5) is None
    assert not trainer.has_exited
    trainer.end()
    template.end()


def test_a_spare_without_a_template_that_works_is_started_from_nothing(
    tmp_path: Path,
) -> None:
    toy = Path(__file__).with_name("toy_trainer.py")
    settings = WorkerSettings(trainer_command=(sys.executable, str(toy), "--serve"))
    spare = Spare(settings, Device("cpu"), tmp_path / "notes.json")
    spare._template_command = (sys.executable, "-c", "import sys; sys.exit(1)")

    began_at = time.monotonic()
    trainers = [spare.take() for _ in range(5)]

    for trainer in trainers:
        wait_for(partial(is_ready, trainer), "a trainer", 20)
        trainer.end()
    assert time.monotonic() - began_at < 30
    assert spare._template_command is None
    spare.end()
    assert not any(alive(trainer.pid) for trainer in trainers)
