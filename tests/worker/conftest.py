"""Real workers over a real ledger and broker, with toy trainers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import catalog.session
import catalog.settings
import worker.queue
import worker.settings
from catalog import events, jobs, metrics
from catalog.session import reading, transaction
from catalog.tables import TERMINAL, Attempt, Dataset, Job, Model
from tests.servers import Redis, start
from tests.worker.toy_trainer import chain

ROOT = Path(__file__).resolve().parents[2]
TOY = [sys.executable, str(ROOT / "tests/worker/toy_trainer.py")]
PATIENCE = 60.0


def wait_for(true: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Return what `true` returns once it is true."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:g} s: {what}")


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that waits to be reaped does not."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except OSError:
        return False


def descendants(pid: int) -> set[int]:
    """Return the living processes below one."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if stat[0] != "Z":
            parents[int(folder.name)] = int(stat[1])
    found, fresh = set[int](), {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def named(pid: int) -> str:
    """Return the command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@dataclass
class House:
    """One ledger, one broker, and the workers that a test starts."""

    folder: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    """Every process that was seen below a worker."""

    def add(self, *, hint: bool = True, **toy: Any) -> str:
        """Submit a job for the toy trainer and send its hint."""
        spec = {"name": "toy", "toy": {"steps": 5} | toy, "training": {"batch_size": 8}}
        submission = jobs.Submission("toy", spec, spec, "ds_toy")
        with transaction() as session:
            job_id = jobs.add(session, submission).id
        if hint:
            worker.queue.send(job_id)  # if it is lost, the sweep sends it again
        return job_id

    def start(self, name: str = "w1", **settings: Any) -> subprocess.Popen[bytes]:
        """Start a worker and return when its pool child has its spare."""
        given = {
            f"FROSTLINE_{key.upper()}": str(value) for key, value in settings.items()
        }
        process = start(
            [sys.executable, "-m", "worker"],
            self.folder / f"{name}.log",
            environment=self.environment | {"FROSTLINE_WORKER_NAME": name} | given,
        )
        self.started.append(process)
        return process

    def ready(self, name: str = "w1", **settings: Any) -> subprocess.Popen[bytes]:
        """Start a worker and wait for its spare."""
        process = self.start(name, **settings)
        wait_for(
            lambda: self.trainers(process), f"a spare of {name}:\n{self.log(name)}"
        )
        return process

    def log(self, name: str = "w1") -> str:
        """Return what a worker has written."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def below(self, process: subprocess.Popen[bytes]) -> set[int]:
        """Return the processes below a worker's main one."""
        found = descendants(process.pid)
        self.seen |= found
        return found

    def trainers(self, process: subprocess.Popen[bytes]) -> set[int]:
        """Return the trainers below a worker, the spare among them."""
        return {pid for pid in self.below(process) if "toy_trainer" in named(pid)}

    def pool_child(self, process: subprocess.Popen[bytes]) -> int:
        """Return the process that supervises."""
        found = [p for p in self.below(process) if "celery" in named(p)]
        return found[0]

    def job(self, job_id: str) -> Job:
        """Return the job's row as it is now."""
        with reading() as session:
            return jobs.get(session, job_id)

    def ended(self, job_id: str, seconds: float = PATIENCE) -> Job:
        """Return the job once it is terminal."""
        wait_for(
            lambda: self.job(job_id).status in TERMINAL,
            f"the end of {job_id}:\n{self.log()}",
            seconds,
        )
        return self.job(job_id)

    def reached(self, job_id: str, step: int) -> int:
        """Return the running trainer's id once the job is at a step."""

        def pid() -> int | None:
            job = self.job(job_id)
            return self.attempt(job_id, job.attempt).pid if job.step >= step else None

        found: int = wait_for(pid, f"step {step} of {job_id}:\n{self.log()}")
        self.seen.add(found)
        return found

    def attempt(self, job_id: str, number: int) -> Attempt:
        """Return the row of one attempt."""
        with reading() as session:
            return session.get_one(Attempt, (job_id, number))

    def events(self, job_id: str, kind: str) -> list[dict[str, Any]]:
        """Return the contents of a job's events of one type."""
        with reading() as session:
            found = events.after(session, job_id)
            return [dict(e.data) for e in found if e.type == kind]

    def log_of(self, job_id: str, attempt: int = 1) -> str:
        """Return an attempt's log."""
        path = self.folder / f"data/jobs/{job_id}/a{attempt}/log.txt"
        return path.read_text(errors="replace")

    def books_are_in_order(self, job_id: str, steps: int, seed: int = 0) -> None:
        """Check a succeeded job: one end, each step measured once, the right result."""
        job = self.job(job_id)
        with reading() as session:
            rows = metrics.history(session, job_id, ["train_loss"], 100_000)
            ends = [e for e in events.after(session, job_id) if e.terminal]
            model = session.get_one(Model, job.model_id)
        assert job.status == "succeeded", (job.reason, job.error)
        assert len(ends) == 1
        assert [row.step for row in rows] == list(range(1, steps + 1))
        found = json.loads(
            (self.folder / "data" / model.folder / "model.json").read_text()
        )
        assert found["environment"]["chain"] == chain(seed, steps)

    def stop(self) -> None:
        """End every worker, and check that nothing is left of them."""
        for process in self.started:
            self.below(process)
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.started:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        wait_for(lambda: not any(map(alive, self.seen)), "all processes gone", 20)


@pytest.fixture
def house(
    sqlite_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[House]:
    """Return a house over SQLite and the session's Redis."""
    yield from furnished(sqlite_url, redis_url, tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def lodge(
    sqlite_template: Path, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """Return a house whose one worker serves every test of a module."""
    folder = tmp_path_factory.mktemp("lodge")
    shutil.copy(sqlite_template, folder / "frostline.db")
    redis_server.empty()
    monkeypatch = pytest.MonkeyPatch()
    url = f"sqlite:///{folder / 'frostline.db'}"
    for house in furnished(url, redis_server.url, folder, monkeypatch):
        house.ready(stall_seconds=4, log_bytes=2**18)
        yield house


def furnished(
    database_url: str, redis_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[House]:
    """Yield a house, with one data set in it, and leave it empty."""
    given = {
        "FROSTLINE_DATA": str(folder / "data"),
        "FROSTLINE_DATABASE_URL": database_url,
        "FROSTLINE_REDIS_URL": redis_url,
        "FROSTLINE_DEVICE": "cpu",
        "FROSTLINE_TRAINER_COMMAND": json.dumps(TOY),
        "FROSTLINE_HEARTBEAT_SECONDS": "0.5",
        "FROSTLINE_DESIRED_SECONDS": "0.2",
        "FROSTLINE_SWEEP_SECONDS": "0.5",
        "FROSTLINE_LEASE_SECONDS": "5",
        "FROSTLINE_SWEEP_GRACE_SECONDS": "0",
        "FROSTLINE_RETRY_SECONDS": "0.2",
        "FROSTLINE_HINT_SECONDS": "2",
        "FROSTLINE_CANCEL_SECONDS": "1",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    house = House(folder, dict(os.environ))
    with transaction() as session:
        session.add(
            Dataset(
                id="ds_toy",
                name="toy",
                version=1,
                sha256="0" * 64,
                folder="datasets/toy",
                rows=1,
                bytes=1,
                schema={},
                report={},
                options={},
            )
        )
    try:
        yield house
    finally:
        house.stop()
        monkeypatch.undo()
        forget_settings()


def forget_settings() -> None:
    """Have this process read its settings and make its connections anew."""
    catalog.settings.settings.cache_clear()
    worker.settings.settings.cache_clear()
    worker.queue._sender.forget()
    catalog.session.dispose()
