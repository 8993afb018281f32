"""Many short jobs on the whole stack while a nemesis kills its processes.

Everything is real: `frostline up` with two workers, jobs over HTTP, torch in the
trainers. All jobs train the same network on the same rows with the same seed, so their
weights must be the same bytes, however often each of them was killed and resumed.

``CHAOS=full`` in the environment makes it two hundred jobs; the seed is printed.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import psutil
import pytest

from tests.stack import Stack

FULL = os.environ.get("CHAOS") == "full"
JOBS = 200 if FULL else 24
KILLS = 26 if FULL else 8
ON_ATTEMPTS = 12 if FULL else 5
"""Kills that must hit a running attempt, among all."""
EPOCHS = 120
PATIENCE = 3000 if FULL else 600
ROWS = 200

SPEC: dict[str, Any] = {
    "dataset": {"id": "tiny", "target": "class"},
    "network": {"layers": [{"kind": "dense", "units": 8}]},
    "training": {
        "epochs": EPOCHS,
        "batch_size": 20,
        "seed": 7,
        "early_stopping": None,
    },
}


def table() -> str:
    """Return a small table of numbers with two classes, as CSV."""
    draw = random.Random(1)
    lines = ["length,width,class"]
    for number in range(ROWS):
        kind = number % 2
        lines.append(f"{draw.gauss(kind, 1):.4f},{draw.gauss(-kind, 1):.4f},{kind}")
    return "\n".join(lines)


@dataclass
class Nemesis:
    """Kills processes of a stack, and remembers everything that it ever saw."""

    stack: Stack
    database: Path
    draw: random.Random
    hits: Counter[str] = field(default_factory=Counter)
    seen: dict[int, psutil.Process] = field(default_factory=dict)

    def look(self) -> list[psutil.Process]:
        """Return the living processes of the stack."""
        found = self.stack.processes()
        self.seen |= {process.pid: process for process in found}
        return found

    def running(self) -> list[int]:
        """Return the trainers of the attempts that run just now.

        Jobs that were hit twice are spared: the third death at one step would be
        taken for their own fault, and rightly.
        """
        query = (
            "SELECT a.pid FROM attempts a JOIN jobs j ON j.id = a.job_id"
            " AND j.attempt = a.attempt WHERE j.status = 'running' AND j.step > 0"
            " AND a.ended_at IS NULL AND a.pid IS NOT NULL AND j.attempt <= 2"
        )
        living = {process.pid for process in self.look()}
        return [pid for pid in self.asked(query) if pid in living]

    def asked(self, query: str) -> list[Any]:
        """Return the first column of what the ledger answers."""
        with closing(sqlite3.connect(self.database, timeout=30)) as link:
            return [row[0] for row in link.execute(query)]

    def strike_attempt(self) -> bool:
        """Kill a running attempt: its trainer, its supervisor or its whole worker."""
        trainers = self.running()
        if not trainers:
            return False
        trainer = psutil.Process(self.draw.choice(trainers))
        try:
            child = trainer.parent()
            main = child.parent() if child else None
            what = self.draw.choice(["trainer", "trainer", "supervisor", "worker"])
            victim = {"trainer": trainer, "supervisor": child, "worker": main}[what]
            if victim is None or victim.pid == os.getpid():
                return False
            victim.kill()
        except psutil.NoSuchProcess:
            return False
        self.hits[f"{what} of a running attempt"] += 1
        return True

    def strike_anybody(self) -> bool:
        """Kill any living worker process or trainer, whatever it does."""
        ours = {"worker", "--serve", "--template"}
        found = [p for p in self.look() if ours & set(words(p))]
        if not found:
            return False
        victim = self.draw.choice(found)
        what = "any worker process" if "worker" in words(victim) else "any trainer"
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            return False
        self.hits[what] += 1
        return True

    def restart(self, word: str) -> None:
        """Kill the one process with a word in its command line; `up` replaces it."""
        for process in self.look():
            if any(word in part for part in words(process)):
                process.kill()
                self.hits[f"{word} restarted"] += 1
                return
        raise AssertionError(f"no process with {word}")

    def kills(self) -> int:
        """Return how many workers and trainers were killed."""
        return sum(n for what, n in self.hits.items() if "restarted" not in what)

    def kills_of_attempts(self) -> int:
        """Return how many of them ran a job."""
        return sum(n for what, n in self.hits.items() if "attempt" in what)


def words(process: psutil.Process) -> list[str]:
    """Return a process's command line."""
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Return a stack with two workers and little patience."""
    stack = Stack(
        tmp_path / "data",
        workers=2,
        FROSTLINE_CHECKPOINT_SECONDS="0.5",
        FROSTLINE_RETRY_SECONDS="0.5",
        FROSTLINE_RETRY_LIMIT_SECONDS="5",
        FROSTLINE_SWEEP_SECONDS="1",
        FROSTLINE_HINT_SECONDS="5",
    )
    stack.start()
    yield stack
    if stack._process is not None and stack._process.poll() is None:
        stack._process.send_signal(signal.SIGTERM)
        stack._process.wait(60)


def submit_all(url: str, accepted: list[str]) -> None:
    """Submit the jobs one by one, each until it is accepted, as a good client does."""
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        for number in range(JOBS):
            spec = SPEC | {"name": f"chaos-{number}"}
            key = {"Idempotency-Key": f"chaos-{number}"}
            while True:
                try:
                    answer = client.post("/v1/jobs", json=spec, headers=key)
                    if answer.status_code == httpx.codes.ACCEPTED:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.2)
            accepted.append(answer.json()["id"])


@pytest.mark.timeout(PATIENCE + 200)
def test_no_accepted_job_is_lost_or_run_twice(
    stack: Stack, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    nemesis = Nemesis(stack, stack.folder / "frostline.db", random.Random(seed))
    upload = {"file": ("tiny.csv", table(), "text/csv")}
    told = httpx.post(
        f"{stack.url}/v1/datasets",
        files=upload,
        data={"name": "tiny"},
        timeout=60,
        trust_env=False,
    )
    assert told.status_code == httpx.codes.CREATED, told.text
    accepted: list[str] = []
    submitting = Thread(target=submit_all, args=(stack.url, accepted), daemon=True)
    submitting.start()

    wreak_havoc(nemesis)
    submitting.join(60)
    everything = nemesis.look()
    assert stack.stop() == 0

    terminal = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    assert terminal is not None
    ends = Counter(nemesis.asked("SELECT outcome FROM attempts"))
    with capsys.disabled():
        terminal.write_line(
            f"\nchaos, seed {seed}: {len(accepted)} jobs; killed {dict(nemesis.hits)};"
            f" attempts {dict(ends)}"
        )
    assert nemesis.kills() >= KILLS
    assert nemesis.kills_of_attempts() >= ON_ATTEMPTS
    assert len(accepted) == len(set(accepted)) == JOBS
    books_are_in_order(nemesis, accepted)
    assert everything
    left = [p for p in nemesis.seen.values() if p.is_running()]
    assert [words(p) for p in left if p.status() != psutil.STATUS_ZOMBIE] == []


def wreak_havoc(nemesis: Nemesis) -> None:
    """Kill all along the way, and restart the broker and the API once each."""
    until = time.monotonic() + PATIENCE
    restarts = ["-server", "api.app:app"]
    while time.monotonic() < until:
        time.sleep(0.1)
        (known,) = nemesis.asked("SELECT count(*) FROM jobs")
        (ended,) = nemesis.asked("SELECT count(*) FROM jobs WHERE finished_at NOTNULL")
        if ended == JOBS:
            break
        if restarts and ended >= JOBS // 4 * (3 - len(restarts)):
            nemesis.restart(restarts.pop(0))
        late = KILLS * (ended + JOBS // 10) > nemesis.kills() * JOBS
        if known and late and nemesis.kills() < KILLS + ON_ATTEMPTS:
            strike(nemesis)


def strike(nemesis: Nemesis) -> None:
    """Kill one process; one that has to do with a running job if those are behind."""
    due = ON_ATTEMPTS * (nemesis.kills() + 1)
    if nemesis.kills_of_attempts() * KILLS < due or nemesis.draw.random() < 0.5:
        nemesis.strike_attempt()
    else:
        nemesis.strike_anybody()
    time.sleep(nemesis.draw.uniform(0.2, 2.0))


def books_are_in_order(nemesis: Nemesis, accepted: list[str]) -> None:
    """Check what the ledger and the models say of every accepted job."""
    jobs = nemesis.asked("SELECT id FROM jobs")
    ended = nemesis.asked("SELECT id FROM jobs WHERE status = 'succeeded'")
    errors = nemesis.asked("SELECT error FROM jobs WHERE status != 'succeeded'")
    assert sorted(jobs) == sorted(accepted)
    assert sorted(ended) == sorted(accepted), errors
    assert sorted(nemesis.asked("SELECT job_id FROM events WHERE terminal")) == sorted(
        accepted
    )
    assert sorted(nemesis.asked("SELECT job_id FROM models")) == sorted(accepted)
    open_attempts = "SELECT count(*) FROM attempts WHERE ended_at IS NULL"
    assert nemesis.asked(open_attempts) == [0]
    assert nemesis.asked(
        "SELECT count(*) FROM (SELECT 1 FROM metrics WHERE NOT archived"
        " GROUP BY job_id, step, name HAVING count(*) > 1)"
    ) == [0]
    measured = nemesis.asked(
        "SELECT count(*) FROM metrics WHERE NOT archived AND name = 'validation_loss'"
        " GROUP BY job_id"
    )
    assert measured == [EPOCHS] * JOBS
    weights = nemesis.asked(
        "SELECT json_extract(files, '$.\"weights.safetensors\".sha256') FROM models"
    )
    assert len(set(weights)) == 1
