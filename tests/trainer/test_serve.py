"""A trainer as the worker's child: real processes, their lines, their ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.trainer.processes import ROOT, Trainer, environment, write_pictures
from tests.trainer.trainings import DENSE, spec
from trainer.process.commands import Commands
from trainer.process.frames import Frames
from trainer.process.order import Order
from trainer.run import Run
from trainer.saved import checkpoint
from trainer.saved.model_folder import read


@pytest.fixture
def trainer() -> Iterator[Trainer]:
    started = Trainer()
    assert started.hear()["event"] == "ready"
    yield started
    started.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "pictures.npz")


def test_an_order_becomes_a_model_and_a_graph(
    trainer: Trainer, data: Path, tmp_path: Path
) -> None:
    trainer.order(spec(DENSE), data, tmp_path)
    result = trainer.hear("result", "failed")
    trainer.say({"command": "export"})
    exported = trainer.hear()
    status, log = trainer.end()

    assert (status, log) == (0, "")
    kinds = [event["event"] for event in trainer.told]
    assert kinds[:2] == ["ready", "started"]
    first = next(event for event in trainer.told if event["event"] == "progress")
    assert first["step"] == 1
    assert result["folder"] == str(tmp_path / "model")
    assert read(tmp_path / "model").description["lineage"]["job"] == "job_1"
    assert exported["event"] == "exported"
    assert exported["maximum_difference"] < 1e-4
    assert (tmp_path / "model" / "model.onnx").is_file()
    assert (tmp_path / "model" / "model.sampled.onnx").is_file(), "it has dropout"


def by_command(trainer: Trainer) -> None:
    trainer.say({"command": "stop"})


def by_signal(trainer: Trainer) -> None:
    trainer.process.terminate()


def by_leaving(trainer: Trainer) -> None:
    assert trainer.process.stdin is not None
    trainer.process.stdin.close()


@pytest.mark.parametrize("stop", [by_command, by_signal, by_leaving])
def test_a_trainer_stops_at_the_next_step_and_keeps_what_it_has(
    trainer: Trainer, data: Path, tmp_path: Path, stop: Callable[[Trainer], None]
) -> None:
    trainer.order(spec(DENSE, epochs=10**6), data, tmp_path)
    trainer.hear("progress")

    stop(trainer)
    stopped = trainer.hear("stopped", "failed")

    assert trainer.end() == (0, "")
    assert checkpoint.read(Path(stopped["folder"])).step == stopped["step"] >= 1
    assert not (tmp_path / "model").exists()


def test_a_killed_trainer_is_taken_up_by_another_to_the_same_bits(
    trainer: Trainer, data: Path, tmp_path: Path
) -> None:
    what = spec(DENSE, epochs=400)
    trainer.order(what, data, tmp_path)
    trainer.hear("progress")
    trainer.say({"command": "checkpoint"})
    saved = trainer.hear("checkpoint", "failed")
    trainer.process.kill()

    def weights(name: str, start: Path | None) -> dict[str, torch.Tensor]:
        folder = tmp_path / name
        order = Order(spec=what, dataset=data, checkpoint=start, model=folder)
        list(Run(order, Commands()).events())
        return read(folder).tensors()

    resumed = weights("resumed", Path(saved["folder"]))
    straight = weights("straight", None)

    assert all(torch.equal(resumed[name], straight[name]) for name in straight)


def test_a_spec_that_cannot_be_trained_is_told_and_no_fault(
    trainer: Trainer, data: Path, tmp_path: Path
) -> None:
    trainer.order(spec([{"kind": "dense", "unit": 3}]), data, tmp_path)

    failed = trainer.hear()

    assert (failed["event"], failed["reason"]) == ("failed", "invalid_spec")
    assert failed["data"]["problems"][0]["pointer"] == "/network/layers/0/unit"
    assert trainer.end() == (0, "")


def test_a_loss_that_leaves_the_numbers_is_told(
    trainer: Trainer, data: Path, tmp_path: Path
) -> None:
    what = spec(
        [],
        dataset={"task": "regression", "target": "label"},
        optimizer={"kind": "sgd", "learning_rate": 1e6},
    )
    trainer.order(what, data, tmp_path)

    failed = trainer.hear("failed", "result")

    assert failed["reason"] == "diverged"
    assert failed["data"]["learning_rate"] == 1e6
    assert trainer.end() == (0, "")


def test_a_trainer_without_an_order_ends_when_its_worker_goes(
    trainer: Trainer,
) -> None:
    assert trainer.end() == (0, "")


def test_a_hung_trainer_writes_its_stacks_down(trainer: Trainer) -> None:
    trainer.process.send_signal(signal.SIGABRT)
    status, log = trainer.end()

    assert status == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in log
    assert "in serve\n" in log


ORPHANING = """
import os, subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-m", "trainer", "--serve"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
)
child.stdout.readline()
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_trainer_dies_with_the_process_that_started_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHANING],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        check=False,
    )
    pid = int(done.stdout)

    until = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < until:
        time.sleep(0.05)

    assert not _alive(pid)


def _alive(pid: int) -> bool:
    """Tell whether a process runs; one that is dead but not reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_many_figures_travel_in_few_lines_and_in_order() -> None:
    reader, writer = os.pipe()
    frames = Frames(writer)
    row = {"step": 1, "epoch": 1, "name": "train_loss", "value": 0.5}

    for step in range(1, 201):
        frames.send({"event": "metrics", "rows": [row | {"step": step}]})
        frames.send({"event": "progress", "step": step})
    frames.send({"event": "result"})
    os.close(writer)
    with os.fdopen(reader) as stream:
        lines = [json.loads(line) for line in stream]

    assert len(lines) < 20
    steps = [row["step"] for line in lines for row in line.get("rows", ())]
    assert steps == list(range(1, 201))
    assert lines[0]["event"] == "metrics"
    assert (lines[-2]["event"], lines[-2]["step"]) == ("progress", 200)
    assert lines[-1] == {"event": "result"}
