"""Hints that come twice, never, forged or poisoned, and a broker that goes away."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import redis
from kombu import Connection

from catalog import workers
from catalog.session import reading
from tests.servers import Redis, free_port
from tests.worker.conftest import House, forget_settings, furnished, wait_for
from worker import queue


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Return a Redis of the test's own, which it may kill."""
    server = Redis(tmp_path_factory.mktemp("broker"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def frail(
    sqlite_url: str, broker: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[House]:
    """Return a house over a broker that the test may kill."""
    yield from furnished(sqlite_url, broker.url, tmp_path, monkeypatch)


def test_a_hint_that_comes_a_hundred_times_runs_its_job_once(lodge: House) -> None:
    job_id = lodge.add(steps=20, step_seconds=0.01)
    for _ in range(100):
        queue.send(job_id)

    lodge.ended(job_id)

    lodge.books_are_in_order(job_id, steps=20)
    assert lodge.job(job_id).attempt == 1


def test_a_job_whose_hint_is_lost_is_found_by_the_sweep(lodge: House) -> None:
    job_id = lodge.add(hint=False, steps=3)

    lodge.ended(job_id, seconds=60)

    lodge.books_are_in_order(job_id, steps=3)


def test_a_broker_that_forgets_everything_loses_no_job(
    lodge: House, redis_server: Redis
) -> None:
    running = lodge.add(steps=100, step_seconds=0.01)
    lodge.reached(running, 3)
    waiting = lodge.add(steps=3)

    redis_server.empty()

    lodge.ended(running)
    lodge.ended(waiting)
    assert lodge.job(running).attempt == lodge.job(waiting).attempt == 1


def test_a_hint_for_a_job_that_is_not_there_does_no_harm(lodge: House) -> None:
    for forged in ("job_unknown", "", "'; DROP TABLE jobs", "x" * 10_000):
        wait_for(partial(queue.send, forged), "the forged hint sent")

    job_id = lodge.add(steps=3)

    lodge.ended(job_id)


def test_a_pickled_message_is_refused_and_the_worker_lives(
    lodge: House, redis_server: Redis
) -> None:
    canary = lodge.folder / "canary"
    body = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()
    options = {"global_keyprefix": "frostline:"}
    with Connection(redis_server.url, transport_options=options) as connection:
        producer = connection.Producer()
        producer.publish(
            body,
            routing_key="look.cpu",
            exchange="look.cpu",
            headers={"task": "look", "id": "1"},
            content_type="application/x-python-serialize",
            content_encoding="binary",
        )

    job_id = lodge.add(steps=3)

    lodge.ended(job_id)
    assert not canary.exists()


def test_a_broker_that_is_killed_does_not_touch_the_running_attempt(
    frail: House, broker: Redis
) -> None:
    frail.ready()
    job_id = frail.add(steps=200, step_seconds=0.01)
    frail.reached(job_id, 5)

    broker.stop()
    time.sleep(1)
    broker.start()

    frail.ended(job_id)
    assert frail.job(job_id).attempt == 1
    frail.books_are_in_order(job_id, steps=200)


def test_jobs_submitted_while_the_broker_is_away_run_when_it_is_back(
    frail: House, broker: Redis
) -> None:
    process = frail.ready()
    broker.stop()
    job_id = frail.add(hint=False, steps=3)
    assert not queue.send(job_id)
    time.sleep(1)

    broker.start()

    frail.ended(job_id, seconds=60)
    assert process.poll() is None
    assert frail.job(job_id).attempt == 1


def delivered(house: House) -> int:
    """Return how many hints the broker has given to the worker."""
    return (house.folder / "w1.log").read_text(errors="replace").count("] received")


def taken_up(house: House) -> int:
    """Return how many hints the worker's pool child has done with."""
    return (house.folder / "w1.log").read_text(errors="replace").count("] succeeded in")


def test_a_broker_that_dies_with_a_hint_on_its_way_leaves_no_worker_deaf(
    frail: House, broker: Redis
) -> None:
    process = frail.ready()
    child = frail.pool_child(process)
    frail.ended(frail.add(steps=3))
    wait_for(lambda: taken_up(frail) == delivered(frail) > 0, "every hint taken up")
    before = delivered(frail)
    os.kill(child, signal.SIGSTOP)
    wait_for(partial(queue.send, "job_x"), "a hint sent")
    wait_for(lambda: delivered(frail) > before, "the hint delivered")

    broker.stop()
    os.kill(child, signal.SIGCONT)
    time.sleep(1)
    broker.start()

    job_id = frail.add(hint=False, steps=3)
    frail.ended(job_id, seconds=30)
    assert process.poll() is None


def test_a_worker_without_a_broker_still_drains(frail: House, broker: Redis) -> None:
    process = frail.ready()
    job_id = frail.add(steps=10_000, step_seconds=0.01)
    frail.reached(job_id, 5)

    broker.stop()
    process.send_signal(signal.SIGTERM)

    wait_for(lambda: frail.job(job_id).status == "queued", "the job given back", 40)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Return a port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield listener.getsockname()[1]


def test_sending_to_a_broker_that_is_down_or_silent_gives_up_in_two_seconds(
    silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []
    for port in (free_port(), silent_port):
        monkeypatch.setenv("FROSTLINE_REDIS_URL", f"redis://127.0.0.1:{port}/0")
        forget_settings()
        began_at = time.monotonic()
        assert not queue.send("job_x")
        assert not queue.reachable()
        waited.append((time.monotonic() - began_at) / 2)

    monkeypatch.undo()
    forget_settings()
    assert max(waited) < 2.5


def test_a_queue_that_nobody_empties_stays_short(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROSTLINE_REDIS_URL", redis_url)
    forget_settings()

    for number in range(queue.ENOUGH_HINTS + 40):
        wait_for(partial(queue.send, f"job_{number}"), "a hint sent")

    with redis.Redis.from_url(redis_url) as link:
        length = link.llen("frostline:look.cuda")
    monkeypatch.undo()
    forget_settings()
    assert length == queue.ENOUGH_HINTS


def test_a_worker_is_seen_by_the_ledger_with_its_job(lodge: House) -> None:
    job_id = lodge.add(steps=200, step_seconds=0.02)
    lodge.reached(job_id, 1)

    def seen() -> bool:
        with reading() as session:
            (one,) = workers.live(session)
            return one.job_id == job_id and one.device == "cpu"

    wait_for(seen, "the job in the worker's row", 20)
    lodge.ended(job_id)
