"""What people and operators ask of a running attempt: cancel, pause, drain, save."""

from __future__ import annotations

import signal
import time

from catalog import checkpoints, jobs, wishes, workers
from catalog.session import reading, transaction
from catalog.tables import Outcome
from tests.worker.conftest import House, alive, wait_for


def test_a_cancelled_job_ends_without_a_model(lodge: House) -> None:
    job_id = lodge.add(steps=10_000, step_seconds=0.01)
    trainer = lodge.reached(job_id, 3)

    with transaction() as session:
        jobs.cancel(session, job_id)
    job = lodge.ended(job_id, seconds=20)

    assert (job.status, job.model_id) == ("cancelled", None)
    assert not alive(trainer)


def test_a_trainer_that_ignores_term_is_killed_after_cancel_seconds(
    lodge: House,
) -> None:
    job_id = lodge.add(steps=10_000, fault="ignore_term", at_step=3)
    trainer = lodge.reached(job_id, 3)

    asked_at = time.monotonic()
    with transaction() as session:
        jobs.cancel(session, job_id)
    job = lodge.ended(job_id, seconds=20)

    assert job.status == "cancelled"
    assert time.monotonic() - asked_at >= 1
    assert not alive(trainer)


def test_a_paused_job_goes_on_where_it_stopped(lodge: House) -> None:
    job_id = lodge.add(steps=300, step_seconds=0.02)
    lodge.reached(job_id, 5)

    with transaction() as session:
        jobs.pause(session, job_id)
    wait_for(lambda: lodge.job(job_id).status == "paused", "the pause")
    with reading() as session:
        newest = checkpoints.newest(session, job_id)
    with transaction() as session:
        jobs.resume(session, job_id)
    lodge.ended(job_id)

    assert newest is not None
    assert lodge.attempt(job_id, 1).outcome is Outcome.PAUSED
    assert lodge.attempt(job_id, 2).resumed_step == newest.step >= 5
    lodge.books_are_in_order(job_id, steps=300)


def test_a_checkpoint_is_written_when_somebody_asks_for_it(lodge: House) -> None:
    job_id = lodge.add(steps=10_000, step_seconds=0.01)
    lodge.reached(job_id, 3)

    with transaction() as session:
        wishes.ask_for_checkpoint(session, job_id)

    wait_for(lambda: lodge.events(job_id, "checkpoint"), "the checkpoint", 20)
    assert lodge.job(job_id).attempt == 1
    with transaction() as session:
        jobs.cancel(session, job_id)
    lodge.ended(job_id)


def test_a_draining_worker_gives_its_job_back_and_loses_no_step(house: House) -> None:
    first = house.ready("w1")
    job_id = house.add(steps=300, step_seconds=0.01)
    house.reached(job_id, 5)

    first.send_signal(signal.SIGTERM)
    assert first.wait(40) == 0

    given_back = house.job(job_id)
    assert (given_back.status, given_back.worker) == ("queued", None)
    assert house.attempt(job_id, 1).outcome is Outcome.DRAINED
    house.start("w2")
    house.ended(job_id)
    resumed = house.attempt(job_id, 2).resumed_step
    assert resumed is not None
    assert resumed >= 5
    house.books_are_in_order(job_id, steps=300)


def test_a_draining_worker_kills_a_trainer_that_does_not_stop(house: House) -> None:
    process = house.ready(drain_seconds=1)
    job_id = house.add(steps=10_000, fault="ignore_term", at_step=3)
    trainer = house.reached(job_id, 3)

    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0

    assert house.job(job_id).status == "queued"
    assert house.attempt(job_id, 1).outcome is Outcome.DRAINED
    assert not alive(trainer)


def test_an_idle_worker_stops_within_seconds_and_says_goodbye(house: House) -> None:
    process = house.ready()
    time.sleep(1)

    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 0
    with reading() as session:
        assert workers.get(session, "w1").retired_at is not None
