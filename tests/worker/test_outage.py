"""A database that cannot be reached for a while, and a job that goes on without it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from catalog.tables import Outcome
from tests.servers import Postgres
from tests.worker.conftest import House, furnished, wait_for


def test_a_locked_database_costs_a_running_attempt_nothing(house: House) -> None:
    house.ready(sweep_grace_seconds=8)
    job_id = house.add(steps=500, step_seconds=0.01)
    house.reached(job_id, 5)

    with closing(sqlite3.connect(house.folder / "frostline.db")) as blocker:
        blocker.execute("BEGIN EXCLUSIVE")
        time.sleep(9)
        blocker.rollback()

    house.ended(job_id)
    assert house.job(job_id).attempt == 1
    house.books_are_in_order(job_id, steps=500)
    assert not (house.folder / f"data/jobs/{job_id}/a1/spool.jsonl").exists()


@pytest.fixture
def estate(
    postgresql_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[House]:
    """Return a house over PostgreSQL."""
    yield from furnished(postgresql_url, redis_url, tmp_path, monkeypatch)


def test_a_job_is_trained_over_postgresql(estate: House) -> None:
    estate.ready()

    job_id = estate.add(steps=7, checkpoint_every=3)

    estate.ended(job_id)
    estate.books_are_in_order(job_id, steps=7)


def test_a_server_that_is_away_longer_than_the_lease_restarts_no_job(
    estate: House, postgres: Postgres, postgresql_url: str
) -> None:
    process = estate.ready(lease_seconds=3, sweep_grace_seconds=8)
    job_id = estate.add(steps=500, step_seconds=0.01)
    trainer = estate.reached(job_id, 5)
    name = postgresql_url.rpartition("/")[2]

    shut(postgres, name, closed=True)
    time.sleep(8)
    shut(postgres, name, closed=False)

    estate.ended(job_id)
    assert (estate.job(job_id).attempt, process.poll()) == (1, None)
    assert estate.attempt(job_id, 1).pid == trainer
    assert estate.attempt(job_id, 1).outcome is Outcome.SUCCEEDED
    estate.books_are_in_order(job_id, steps=500)


def test_a_killed_connection_costs_nothing(
    estate: House, postgres: Postgres, postgresql_url: str
) -> None:
    estate.ready()
    job_id = estate.add(steps=300, step_seconds=0.01)
    estate.reached(job_id, 5)

    for _ in range(4):
        shut(postgres, postgresql_url.rpartition("/")[2], closed=False)
        time.sleep(0.5)

    estate.ended(job_id)
    assert estate.job(job_id).attempt == 1
    estate.books_are_in_order(job_id, steps=300)


def test_a_worker_waits_for_a_database_that_is_not_there_yet(
    estate: House, postgres: Postgres, postgresql_url: str
) -> None:
    name = postgresql_url.rpartition("/")[2]
    job_id = estate.add(hint=False, steps=3)
    shut(postgres, name, closed=True)

    process = estate.start()
    wait_for(lambda: "the worker waits" in estate.log(), "a worker that waits")
    shut(postgres, name, closed=False)

    estate.ended(job_id)
    assert process.poll() is None


def shut(postgres: Postgres, name: str, *, closed: bool) -> None:
    """End all connections to a database, and refuse new ones or take them again."""
    allow = "false" if closed else "true"
    with psycopg.connect(postgres.url("postgres").replace("+psycopg", "")) as link:
        link.autocommit = True
        link.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allow}")
        link.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [name],
        )
