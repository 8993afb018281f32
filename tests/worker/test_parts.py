"""The small parts of a worker: log, journal, pace, device, notes, shared flags."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.worker.conftest import alive, wait_for
from worker.attempt_log import TAIL, AttemptLog
from worker.device import Device, NoSuchDevice, choose, trainer_environment
from worker.flags import SharedFlags
from worker.journal import BATCH, Journal
from worker.leftovers import Leftovers
from worker.pace import Pace
from worker.processes import boot_id, is_alive, start_time


@pytest.mark.parametrize("piece", [1000, 100_000])
def test_a_log_keeps_its_beginning_and_its_end(tmp_path: Path, piece: int) -> None:
    path = tmp_path / "a1" / "log.txt"
    with AttemptLog(path, TAIL + 1000) as log:
        log.write(b"first")
        for _ in range(300_000 // piece):
            log.write(b"-" * piece)
        log.write(b"last")

    text = path.read_bytes()
    assert text.startswith(b"first-")
    assert text.endswith(b"-last")
    assert b"bytes dropped here" in text
    assert len(text) < TAIL + 1100


def row(step: int) -> dict[str, Any]:
    return {"step": step, "epoch": 1, "name": "a", "value": 1.0}


def drained(journal: Journal) -> list[int]:
    """Return the steps that a journal gives, batch by batch."""
    steps: list[int] = []
    while journal:
        batch = journal.batch()
        assert 0 < batch.entries <= BATCH
        steps += [r["step"] for r in batch.metrics]
        journal.forget(batch)
    return steps


def test_a_journal_keeps_its_order_through_memory_and_disk(tmp_path: Path) -> None:
    spool = tmp_path / "spool.jsonl"
    journal = Journal(spool, 2**20)
    for step in range(3000):
        journal.metric(row(step))
        if step in {700, 1500}:
            journal.spill()

    assert spool.exists()
    assert len(journal) == 3000
    assert drained(journal) == list(range(3000))
    assert not spool.exists()


def test_a_batch_that_was_not_committed_is_given_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "spool.jsonl", 2**20)
    journal.metric(row(1))
    first = journal.batch()
    journal.metric(row(2))
    journal.spill()

    again = journal.batch()

    assert first.metrics == [row(1)]
    assert again.metrics == [row(1), row(2)]


def test_a_full_spool_says_so_and_goes_on_when_it_is_empty(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "spool.jsonl", 1000)
    for step in range(100):
        journal.event("log", {"message": str(step)})
    journal.spill()
    assert journal.is_full

    while journal:
        journal.forget(journal.batch())

    assert not journal.is_full


def test_a_spool_that_cannot_be_written_keeps_its_entries(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file" / "spool.jsonl", 1000)
    journal.metric(row(1))

    journal.spill()

    assert drained(journal) == [1]


def test_a_trainer_without_a_step_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    pace = Pace(stall_seconds=10)

    clock[0] = 9
    pace.stepped(1)
    clock[0] = 18
    assert not pace.has_stalled
    clock[0] = 20

    assert pace.has_stalled


def test_slow_steps_are_given_twenty_times_their_median(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    pace = Pace(stall_seconds=10)
    for step in range(1, 5):
        clock[0] += 5
        pace.stepped(step)

    clock[0] += 99
    assert not pace.has_stalled
    clock[0] += 2

    assert pace.has_stalled


@pytest.mark.parametrize(
    ("asked", "found", "device"),
    [
        ("cpu", ["GPU-a"], Device("cpu")),
        ("auto", [], Device("cpu")),
        ("auto", ["GPU-a", "GPU-b"], Device("cuda", 0, "GPU-a")),
        ("cuda", ["GPU-a"], Device("cuda", 0, "GPU-a")),
        ("cuda:1", ["GPU-a", "GPU-b"], Device("cuda", 1, "GPU-b")),
    ],
)
def test_the_device_is_the_one_that_was_asked_for(
    asked: str, found: list[str], device: Device
) -> None:
    assert choose(asked, found) == device


def test_a_device_that_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(NoSuchDevice, match="GPU-a; set FROSTLINE_DEVICE"):
        choose("cuda:3", ["GPU-a"])


def test_a_trainer_is_shown_its_device_and_no_secret() -> None:
    secrets = {
        "FROSTLINE_DATABASE_URL": "secret",
        "PATH": "bin",
        "OMP_NUM_THREADS": "9",
    }

    found = trainer_environment(Device("cuda", 1, "GPU-b"), 2, secrets)

    assert "FROSTLINE_DATABASE_URL" not in found
    assert (found["CUDA_VISIBLE_DEVICES"], found["PATH"]) == ("GPU-b", "bin")
    assert (found["OMP_NUM_THREADS"], found["PYTHONHASHSEED"]) == ("2", "0")
    assert found["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def sleeper() -> subprocess.Popen[bytes]:
    code = "import time; time.sleep(60)"
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True)


def test_noted_trainers_are_ended_and_nobody_else(tmp_path: Path) -> None:
    noted, other = sleeper(), sleeper()
    Leftovers(tmp_path / "run" / "w1.json").add(noted.pid)

    ended = Leftovers(tmp_path / "run" / "w1.json").kill()

    assert (ended, noted.wait(5)) == (1, -9)
    assert alive(other.pid)
    other.kill()
    other.wait()


def test_a_reused_process_id_is_not_the_noted_process(tmp_path: Path) -> None:
    process = sleeper()
    started = start_time(process.pid)
    assert started is not None

    assert is_alive(process.pid, started)
    assert not is_alive(process.pid, started + 1)
    process.kill()
    wait_for(lambda: not is_alive(process.pid, started), "a zombie that is dead", 5)
    process.wait()


def test_notes_of_another_boot_are_not_believed(tmp_path: Path) -> None:
    process, path = sleeper(), tmp_path / "w1.json"
    Leftovers(path).add(process.pid)
    path.write_text(path.read_text().replace(boot_id(), "another"))

    assert Leftovers(path).kill() == 0
    assert alive(process.pid)
    process.kill()
    process.wait()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_flags_are_seen_across_a_fork() -> None:
    flags = SharedFlags()
    flags.drain()
    child = os.fork()
    if child == 0:
        flags.hold("job_x")
        os._exit(0 if flags.draining else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert flags.job_id == "job_x"
    flags.hold(None)
    assert flags.job_id is None


def test_a_log_on_a_full_disk_raises_nothing() -> None:
    with AttemptLog(Path("/dev/full"), TAIL + 1000) as log:
        log.say("nobody will read this")


def test_a_log_that_cannot_be_opened_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "a1").write_text("")

    with AttemptLog(tmp_path / "a1" / "log.txt", TAIL + 1000) as log:
        log.say("nobody will read this")
