"""The sweep does what time alone makes necessary."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from catalog import checkpoints, folders, jobs, sweep, workers
from catalog.errors import Fenced
from catalog.session import transaction
from catalog.settings import settings
from catalog.tables import Idempotency, Job, Model, Outcome, Reason, Status
from tests.catalog.books import SPEC, Books, checkpoint, registration


def test_a_silent_workers_job_goes_back_to_the_queue(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    books.pass_time(61)

    swept = books.sweep()

    assert swept.expired == [job_id]
    assert books.job(job_id).status is Status.QUEUED
    assert books.history(job_id) == ["queued", "running", "interrupted", "queued"]
    assert books.attempts(job_id)[0].outcome is Outcome.LOST
    with pytest.raises(Fenced), transaction() as session:
        jobs.beat(session, claim)


def test_a_lease_that_still_runs_is_left_alone(books: Books) -> None:
    books.submit()
    claim = books.claim()
    books.pass_time(50)
    with transaction() as session:
        jobs.beat(session, claim)
    books.pass_time(50)

    assert books.sweep().expired == []


@pytest.mark.parametrize(
    ("ask", "status"),
    [(jobs.cancel, Status.CANCELLED), (jobs.pause, Status.PAUSED)],
)
def test_a_silent_workers_job_goes_where_people_wanted_it(
    books: Books, ask: Callable[[Session, str], Job], status: Status
) -> None:
    job_id = books.submit()
    books.claim()
    with transaction() as session:
        ask(session, job_id)
    books.pass_time(61)

    books.sweep()

    assert books.job(job_id).status is status


def test_an_expired_lease_that_nobody_took_is_renewed_by_a_heartbeat(
    books: Books,
) -> None:
    books.submit()
    claim = books.claim()
    books.pass_time(61)

    with transaction() as session:
        jobs.beat(session, claim)

    assert books.sweep().expired == []


def test_nothing_expires_for_one_lease_after_sweeps_had_stopped(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FROSTLINE_SWEEP_GRACE_SECONDS")
    settings.cache_clear()
    job_id = books.submit()
    books.claim()
    books.sweep()
    books.pass_time(90)  # the database was away: no heartbeats, but no sweeps either

    first = books.sweep()
    for _ in range(3):
        books.pass_time(19)
        inside = books.sweep()
    books.pass_time(19)
    after = books.sweep()

    assert first.expired == inside.expired == []
    assert after.expired == [job_id]


def test_only_one_process_sweeps_at_a_time(books: Books) -> None:
    books.submit()
    books.claim()
    books.pass_time(61)

    with transaction() as session:
        first = sweep.sweep(session, interval_seconds=5)
    with transaction() as session:
        second = sweep.sweep(session, interval_seconds=5)

    assert len(first.expired) == 1
    assert second == sweep.Swept()


def test_a_job_over_its_time_limit_fails(books: Books) -> None:
    job_id = books.submit(resolved_spec={**SPEC, "timeout_seconds": 100})
    claim = books.claim()
    books.pass_time(70)
    with transaction() as session:
        jobs.give_back(session, claim, "drain")
    claim = books.claim()
    books.pass_time(20)
    with transaction() as session:
        jobs.beat(session, claim)
    books.sweep()
    inside = books.job(job_id).status
    books.pass_time(20)

    books.sweep()

    job = books.job(job_id)
    assert inside is Status.RUNNING
    assert (job.status, job.reason) == (Status.FAILED, Reason.TIMEOUT)
    assert "timeout_seconds of 100" in str(job.error)


def test_a_cancelled_job_over_its_time_limit_is_cancelled(books: Books) -> None:
    job_id = books.submit(resolved_spec={**SPEC, "timeout_seconds": 10})
    books.claim()
    with transaction() as session:
        jobs.cancel(session, job_id)
    books.pass_time(11)

    books.sweep()

    assert books.job(job_id).status is Status.CANCELLED


def test_a_hint_is_sent_again_after_half_a_minute_and_not_before(
    books: Books,
) -> None:
    job_id = books.submit()

    first = books.sweep().hints
    books.pass_time(31)
    second, third = books.sweep().hints, books.sweep().hints

    assert (first, second, third) == ([], [job_id], [])


def test_a_job_that_came_back_is_hinted_at_once(books: Books) -> None:
    job_id = books.submit()
    with transaction() as session:
        jobs.give_back(session, books.claim(), "drain")

    assert books.sweep().hints == [job_id]


def test_a_retry_is_hinted_when_its_time_comes(books: Books) -> None:
    job_id = books.submit()
    with transaction() as session:
        jobs.give_back(session, books.claim(), "infrastructure", "exit 1")

    early = books.sweep().hints
    books.pass_time(13)

    assert (early, books.sweep().hints) == ([], [job_id])


def test_a_long_queue_gets_a_few_hints_at_a_time(books: Books) -> None:
    queued = [books.submit() for _ in range(25)]
    books.pass_time(31)

    assert books.sweep().hints == queued[:20]
    assert books.sweep().hints == queued[20:]


def test_a_model_without_its_graph_is_hinted_until_it_has_one(books: Books) -> None:
    books.submit()
    claim = books.claim()
    with transaction() as session:
        model_id = jobs.succeed(session, claim, registration(claim)).model_id

    young = books.sweep().exports
    books.pass_time(61)
    old, again = books.sweep().exports, books.sweep().exports
    books.pass_time(61)
    with transaction() as session:
        model = session.get_one(Model, model_id)
        model.exported_at = model.created_at

    assert (young, old, again) == ([], [model_id], [])
    assert books.sweep().exports == []


def test_an_idempotency_key_is_remembered_for_a_week(books: Books) -> None:
    books.submit(idempotency=jobs.Request("night-1", "0" * 64))
    books.pass_time(6 * 86_400)
    books.sweep()
    with transaction() as session:
        kept = session.get(Idempotency, "night-1")
    books.pass_time(86_401)
    books.sweep()

    with transaction() as session:
        assert kept is not None
        assert session.get(Idempotency, "night-1") is None


def test_a_worker_that_is_silent_for_a_day_is_gone(books: Books) -> None:
    books.work("lab-1")
    books.pass_time(86_401)

    books.sweep()

    with transaction() as session:
        assert workers.every(session) == []


def test_dropped_checkpoints_lose_their_files_and_then_their_rows(
    books: Books,
) -> None:
    books.submit()
    claim = books.claim()
    rows = [checkpoint(claim, step) for step in (1, 2, 3)]
    for row in rows:
        folders.absolute(row["folder"]).mkdir(parents=True)
        with transaction() as session:
            checkpoints.add(session, claim, row)

    swept = sweep.run(interval_seconds=0)

    assert swept.folders == [rows[0]["folder"]]
    assert [folders.absolute(r["folder"]).exists() for r in rows] == [0, 1, 1]
    with transaction() as session:
        assert checkpoints.deleting(session) == []


def test_checkpoints_of_a_job_that_ended_a_week_ago_go(books: Books) -> None:
    books.submit()
    claim = books.claim()
    row = checkpoint(claim, 5, "final")
    folders.absolute(row["folder"]).mkdir(parents=True)
    with transaction() as session:
        checkpoints.add(session, claim, row)
        jobs.succeed(session, claim, registration(claim))
    books.pass_time(6.9 * 86_400)
    before = sweep.run(interval_seconds=0).folders
    books.pass_time(0.2 * 86_400)

    after = sweep.run(interval_seconds=0).folders

    assert (before, after) == ([], [row["folder"]])
    assert not folders.absolute(row["folder"]).exists()


def test_folders_that_no_row_refers_to_go_after_a_day(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    row = checkpoint(claim, 5)
    with transaction() as session:
        checkpoints.add(session, claim, row)
        jobs.succeed(session, claim, registration(claim))
    kept = [row["folder"], f"models/{job_id}-a1", "models/fresh", f"jobs/{job_id}/a9"]
    orphaned = [
        "models/job_0-a1",
        "jobs/job_0",
        f"jobs/{job_id}/a1/checkpoints/.tmp-6-abc",
    ]
    for folder in kept + orphaned:
        folders.absolute(folder).mkdir(parents=True)
    for folder in kept + orphaned:
        if folder != "models/fresh":
            _age(folders.absolute(folder))

    sweep.run(interval_seconds=0)

    assert [f for f in kept + orphaned if folders.absolute(f).exists()] == kept


def _age(folder: Path) -> None:
    day_before = time.time() - 90_000
    os.utime(folder, (day_before, day_before))
