"""What a worker makes of trainers, good and misbehaving ones; each is a process."""

from __future__ import annotations

import os
import signal

import pytest

from catalog import checkpoints
from catalog.session import reading
from catalog.tables import Model, Outcome, Reason
from tests.worker.conftest import House, named, wait_for
from worker import queue


def test_a_job_is_trained_and_its_books_are_in_order(lodge: House) -> None:
    job_id = lodge.add(steps=7)

    lodge.ended(job_id)

    lodge.books_are_in_order(job_id, steps=7)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("kill_self", "the trainer was ended by SIGKILL"),
        ("exit_zero", "ended with exit code 0 and without a result"),
        ("exit_one", "ended with exit code 1 and without a result"),
        ("hang", "no progress for 4 s after step 3"),
        ("close_stdout", "no progress for 4 s after step 3"),
        ("daemon", "the trainer was ended by SIGKILL"),
    ],
)
def test_a_trainer_that_dies_or_hangs_costs_its_attempt_only(
    lodge: House, fault: str, error: str
) -> None:
    job_id = lodge.add(steps=6, fault=fault, at_step=3, attempts=[1], seed=3)

    lodge.ended(job_id)

    lodge.books_are_in_order(job_id, steps=6, seed=3)
    first = lodge.attempt(job_id, 1)
    assert first.outcome is Outcome.CRASHED
    assert first.error is not None
    assert error in first.error


def test_a_trainer_that_hangs_leaves_the_stacks_of_its_threads_in_its_log(
    lodge: House,
) -> None:
    job_id = lodge.add(steps=6, fault="hang", at_step=3, attempts=[1])

    lodge.ended(job_id)

    assert "most recent call first" in lodge.log_of(job_id)


def test_what_a_dead_trainer_started_in_its_own_session_is_ended(lodge: House) -> None:
    job_id = lodge.add(steps=3, fault="daemon", at_step=1, attempts=[1])

    lodge.ended(job_id)

    wait_for(lambda: "time.sleep(600)" not in _everything(lodge), "no daemon", 5)


def _everything(house: House) -> str:
    return "".join(named(pid) for pid in house.below(house.started[0]))


@pytest.mark.parametrize("fault", ["flood_stdout", "flood_stderr", "strange_events"])
def test_a_trainer_that_babbles_is_not_believed_and_not_ended(
    lodge: House, fault: str
) -> None:
    job_id = lodge.add(steps=4, fault=fault, at_step=1)

    lodge.ended(job_id)

    lodge.books_are_in_order(job_id, steps=4)
    assert lodge.job(job_id).attempt == 1


def test_a_log_is_capped_and_keeps_its_end(lodge: House) -> None:
    job_id = lodge.add(steps=2, fault="flood_stderr", at_step=1)

    lodge.ended(job_id)

    text = wait_for(
        lambda: "the last words" in lodge.log_of(job_id) and lodge.log_of(job_id),
        "the end of the log",
    )
    assert "bytes dropped here" in text
    assert len(text) < 2**18 + 200


def test_control_characters_of_a_trainer_reach_nobody(lodge: House) -> None:
    job_id = lodge.add(steps=2, fault="strange_events", at_step=1)

    lodge.ended(job_id)

    told = lodge.events(job_id, "log")
    assert [e["message"] for e in told] == ["\ufffd[31mred\ufffd[0m and NaN"]
    assert "who_knows" in lodge.log_of(job_id)


def test_a_job_that_cannot_be_done_fails_at_once_with_its_sentence(
    lodge: House,
) -> None:
    job_id = lodge.add(fault="diverge")

    job = lodge.ended(job_id)

    assert (job.status, job.reason, job.attempt) == ("failed", Reason.DIVERGED, 1)
    assert job.error == "the loss is nan at step 1"


def test_out_of_memory_is_tried_once_more_with_half_the_batch(lodge: House) -> None:
    job_id = lodge.add(fault="out_of_memory")

    job = lodge.ended(job_id)

    assert (job.reason, job.attempt) == (Reason.OUT_OF_MEMORY, 2)
    assert job.micro_batch == 4


def test_a_job_that_dies_three_times_at_one_step_is_given_up(lodge: House) -> None:
    job_id = lodge.add(fault="kill_self", at_step=2)

    job = lodge.ended(job_id)

    assert (job.reason, job.attempt) == (Reason.CRASH_LOOP, 3)


def test_a_result_that_is_not_what_was_said_makes_no_model(lodge: House) -> None:
    job_id = lodge.add(steps=2, fault="altered_result")

    job = lodge.ended(job_id)

    assert (job.reason, job.model_id) == (Reason.CRASH_LOOP, None)
    error = lodge.attempt(job_id, 1).error
    assert error is not None
    assert "the trainer's result is not what it said" in error


def test_a_torn_checkpoint_is_refused_and_told(lodge: House) -> None:
    job_id = lodge.add(steps=6, fault="torn_checkpoint", checkpoint_every=3)

    lodge.ended(job_id)

    with reading() as session:
        assert not checkpoints.of_job(session, job_id)
    assert [e["step"] for e in lodge.events(job_id, "checkpoint_failed")] == [3, 6]


def test_old_checkpoints_are_deleted_after_newer_ones_are_committed(
    lodge: House,
) -> None:
    job_id = lodge.add(steps=12, checkpoint_every=2, step_seconds=0.05)

    lodge.ended(job_id)

    folder = lodge.folder / f"data/jobs/{job_id}/a1/checkpoints"
    left = wait_for(
        lambda: (names := sorted(p.name for p in folder.iterdir()))[2:] == [] and names,
        "two checkpoints left",
    )
    assert left == ["step-10", "step-12"]


def test_a_finished_model_gets_its_graph(lodge: House) -> None:
    job_id = lodge.add(steps=2, export_seconds=0.3)
    model_id = lodge.ended(job_id).model_id

    wait_for(lambda: exported(model_id), "the export")


def exported(model_id: str | None) -> bool:
    with reading() as session:
        model = session.get_one(Model, model_id)
        return model.exported_at is not None and "model.onnx" in model.files


def test_a_model_whose_trainer_was_killed_while_exporting_gets_its_graph_later(
    lodge: House,
) -> None:
    job_id = lodge.add(steps=2, export_seconds=30)
    job = lodge.ended(job_id)
    os.kill(lodge.attempt(job_id, 1).pid or 0, signal.SIGKILL)
    wait_for(lambda: "will be tried again" in lodge.log_of(job_id), "the log's word")
    assert not exported(job.model_id)

    wait_for(lambda: queue.send_export(job.model_id or ""), "the hint sent")

    wait_for(lambda: exported(job.model_id), "the export")


def test_the_next_job_does_not_wait_for_the_export_of_the_last(lodge: House) -> None:
    first = lodge.add(steps=2, export_seconds=20)
    second = lodge.add(steps=2)

    lodge.ended(first)
    lodge.ended(second, seconds=15)

    lodge.books_are_in_order(second, steps=2)


def test_no_trainer_serves_two_attempts(lodge: House) -> None:
    first, second = lodge.add(steps=2), lodge.add(steps=2)

    lodge.ended(first)
    lodge.ended(second)

    pids = [lodge.attempt(job_id, 1).pid for job_id in (first, second)]
    assert pids[0] != pids[1]
