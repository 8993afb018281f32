"""kill -9 and SIGSTOP of everything a worker consists of, while a job runs."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from functools import partial

import pytest

from catalog import checkpoints, workers
from catalog.session import reading
from catalog.tables import Outcome
from tests.worker.conftest import PATIENCE, ROOT, House, alive, wait_for


def test_a_killed_trainer_costs_its_attempt(house: House) -> None:
    house.ready()
    job_id = house.add(steps=200, step_seconds=0.02, checkpoint_every=10)
    trainer = house.reached(job_id, 12)

    os.kill(trainer, signal.SIGKILL)

    house.ended(job_id)
    house.books_are_in_order(job_id, steps=200)
    assert house.attempt(job_id, 1).outcome is Outcome.CRASHED
    assert house.attempt(job_id, 2).resumed_step in range(10, 200, 10)


def test_a_killed_pool_child_takes_its_trainers_along_and_its_job_goes_on_at_once(
    house: House,
) -> None:
    process = house.ready(lease_seconds=300)
    job_id = house.add(steps=200, step_seconds=0.02, checkpoint_every=10)
    house.reached(job_id, 12)
    trainers, child = house.trainers(process), house.pool_child(process)

    os.kill(child, signal.SIGKILL)

    wait_for(lambda: not any(map(alive, trainers)), "no orphan", 20)
    house.ended(job_id, seconds=40)
    house.books_are_in_order(job_id, steps=200)
    assert house.attempt(job_id, 1).outcome is Outcome.LOST


def test_a_killed_worker_takes_everything_along_and_frees_its_job_when_it_returns(
    house: House,
) -> None:
    process = house.ready(lease_seconds=300)
    job_id = house.add(steps=200, step_seconds=0.02, checkpoint_every=10)
    house.reached(job_id, 12)
    below = house.below(process)

    process.kill()
    process.wait()

    wait_for(lambda: not any(map(alive, below)), "no orphan", 20)
    assert house.job(job_id).status == "running"
    house.start(lease_seconds=300)
    house.ended(job_id, seconds=40)
    house.books_are_in_order(job_id, steps=200)


def test_a_killed_worker_that_never_returns_loses_its_job_with_its_lease(
    house: House,
) -> None:
    process = house.ready("w1", lease_seconds=2)
    job_id = house.add(steps=200, step_seconds=0.02)
    house.reached(job_id, 3)

    process.kill()
    house.start("w2", lease_seconds=2)

    house.ended(job_id, seconds=60)
    house.books_are_in_order(job_id, steps=200)
    assert house.attempt(job_id, 2).worker == "w2"


def test_a_worker_frozen_longer_than_its_lease_writes_nothing_more(
    house: House,
) -> None:
    frozen = house.ready("w1", lease_seconds=2)
    job_id = house.add(steps=150, step_seconds=0.02)
    trainer = house.reached(job_id, 5)
    child = house.pool_child(frozen)
    os.kill(frozen.pid, signal.SIGSTOP)
    os.kill(child, signal.SIGSTOP)
    house.start("w2", lease_seconds=2)
    wait_for(lambda: house.job(job_id).attempt == 2, "the second attempt", PATIENCE)

    os.kill(child, signal.SIGCONT)
    os.kill(frozen.pid, signal.SIGCONT)

    wait_for(lambda: not alive(trainer), "the end of the zombie's trainer", 20)
    house.ended(job_id)
    house.books_are_in_order(job_id, steps=150)
    wait_for(lambda: refused("w1") == 1, "the refusal counted", 20)


def refused(name: str) -> int:
    with reading() as session:
        return workers.get(session, name).refused_writes


def test_a_second_worker_of_a_living_name_refuses_to_start(house: House) -> None:
    house.ready()

    second = house.start()

    assert second.wait(40) == 78
    assert "is running already on" in house.log()
    assert "set FROSTLINE_WORKER_NAME to another name" in house.log()


def test_a_worker_whose_gpu_is_not_there_refuses_to_start(house: House) -> None:
    process = house.start(device="cuda:7")

    assert process.wait(40) != 0
    assert "device 'cuda:7' was asked for" in house.log()


def test_a_job_whose_newest_checkpoint_was_damaged_goes_on_from_the_one_before(
    house: House,
) -> None:
    process = house.ready()
    job_id = house.add(steps=200, step_seconds=0.02, checkpoint_every=10)
    house.reached(job_id, 25)
    process.send_signal(signal.SIGTERM)
    process.wait(40)
    with reading() as session:
        newest, before, *_ = checkpoints.of_job(session, job_id)
    state = house.folder / "data" / newest.folder / "state.json"
    content = bytearray(state.read_bytes())
    content[20] ^= 1
    state.write_bytes(content)

    house.start()

    job = house.ended(job_id)
    (told,) = house.events(job_id, "checkpoint_broken")
    assert f"checkpoint at step {newest.step} is broken" in told["error"]
    assert house.attempt(job_id, job.attempt).resumed_step == before.step
    house.books_are_in_order(job_id, steps=200)


@pytest.mark.parametrize("round_", range(2))
def test_kills_at_any_moment_leave_the_books_in_order(
    house: House, round_: int
) -> None:
    process = house.ready(lease_seconds=300, retry_seconds=0)
    job_id = house.add(steps=300, step_seconds=0.01, checkpoint_every=7)
    goal = 1

    for number in range(4):
        # A checkpoint lies between any two kills: else the job would be to blame.
        wait_for(partial(has_come_to, house, job_id, goal), f"step {goal}")
        time.sleep(0.05 + 0.07 * round_)
        trainers = wait_for(lambda: house.trainers(process), "a trainer")
        victim = house.pool_child(process) if number % 2 else min(trainers)
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        goal = house.job(job_id).step + 15

    house.ended(job_id)
    house.books_are_in_order(job_id, steps=300)


def has_come_to(house: House, job_id: str, step: int) -> bool:
    job = house.job(job_id)
    return job.step >= step or job.finished_at is not None


def test_a_spare_that_is_being_made_is_not_ended_as_a_stray(house: House) -> None:
    late = [sys.executable, str(ROOT / "tests/worker/late_template.py"), "--serve"]
    house.start(trainer_command=json.dumps(late))

    first = house.add(steps=3)
    house.ended(first)
    second = house.add(steps=3)  # runs on the spare that was made during the first
    house.ended(second)

    house.books_are_in_order(first, steps=3)
    house.books_are_in_order(second, steps=3)
    assert "started from nothing" not in house.log()
    assert "that a trainer left behind" not in house.log()
    assert "ChildProcessError" not in house.log()
