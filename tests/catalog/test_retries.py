"""What follows when attempts die."""

import pytest

from catalog import checkpoints, jobs, retries, workers
from catalog.jobs import Claim
from catalog.session import transaction
from catalog.settings import settings
from catalog.tables import Outcome, Reason, Status
from tests.catalog.books import Books, checkpoint


def test_a_crashed_attempt_is_tried_again_after_a_while(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()

    _crash(claim)

    early = books.try_claim()
    books.pass_time(12.5)
    assert early is None
    assert books.claim().attempt == 2
    assert books.attempts(job_id)[0].exit_code == -9


@pytest.mark.parametrize(
    ("restarts", "seconds"), [(1, 10), (2, 20), (5, 160), (7, 600), (99, 600)]
)
def test_the_wait_doubles_up_to_ten_minutes(restarts: int, seconds: float) -> None:
    waits = [retries.wait_seconds(restarts) for _ in range(200)]

    assert min(waits) >= seconds * 0.8
    assert max(waits) <= seconds * 1.2
    assert max(waits) - min(waits) > seconds * 0.1


def test_half_an_hour_of_progress_starts_the_waits_anew(books: Books) -> None:
    job_id = books.submit()
    for step in (1, 2, 3):
        books.pass_time(1000)
        _crash(books.claim(), step=step)
    books.pass_time(1000)
    claim = books.claim()
    books.pass_time(1801)

    _crash(claim, step=9)

    assert books.job(job_id).restarts == 1


def test_three_deaths_at_one_step_without_a_checkpoint_end_the_job(
    books: Books,
) -> None:
    job_id = books.submit()

    for _ in range(3):
        books.pass_time(1000)
        claim = books.claim()
        books.measure(claim, 7)
        _crash(claim)

    job = books.job(job_id)
    assert (job.status, job.reason) == (Status.FAILED, Reason.CRASH_LOOP)
    assert "died 3 times at step 7" in str(job.error)
    assert books.history(job_id).count("failed") == 1


def test_deaths_at_different_steps_do_not_end_the_job(books: Books) -> None:
    job_id = books.submit()

    for step in (7, 8, 7, 8):
        books.pass_time(1000)
        _crash(books.claim(), step=step)

    assert books.job(job_id).status is Status.QUEUED


def test_a_new_checkpoint_starts_the_count_anew(books: Books) -> None:
    job_id = books.submit()

    for attempt in (1, 2, 3, 4):
        books.pass_time(1000)
        claim = books.claim()
        if attempt == 3:
            with transaction() as session:
                checkpoints.add(session, claim, checkpoint(claim, 5))
        _crash(claim, step=7)

    assert books.job(job_id).deaths == 2


def test_dead_workers_count_for_the_poison_rule(books: Books) -> None:
    job_id = books.submit()

    for _ in range(3):
        books.claim("lab-1")
        with transaction() as session:
            workers.release(session, "lab-1")

    assert books.job(job_id).reason is Reason.CRASH_LOOP


def test_a_dead_workers_job_can_be_claimed_at_once(books: Books) -> None:
    job_id = books.submit()
    books.claim("lab-1")

    with transaction() as session:
        freed = workers.release(session, "lab-1")

    assert freed == [job_id]
    assert books.claim("lab-2").attempt == 2
    assert books.attempts(job_id)[0].outcome is Outcome.LOST


def test_a_worker_that_comes_back_frees_what_it_held_before(books: Books) -> None:
    books.work("lab-1")
    books.submit()
    books.claim("lab-1")

    books.work("lab-1")

    assert books.claim("lab-1").attempt == 2


def test_the_restarts_of_a_day_are_limited(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROSTLINE_RESTARTS_PER_DAY", "4")
    settings.cache_clear()
    job_id = books.submit()

    for step in (1, 2, 3, 4):
        books.pass_time(1000)
        _crash(books.claim(), step=step)
    alive = books.job(job_id).status
    books.pass_time(1000)
    _crash(books.claim(), step=5)

    job = books.job(job_id)
    assert alive is Status.QUEUED
    assert (job.status, job.reason) == (Status.FAILED, Reason.INFRASTRUCTURE)


def test_yesterdays_restarts_are_forgiven(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROSTLINE_RESTARTS_PER_DAY", "1")
    settings.cache_clear()
    job_id = books.submit()

    for step in (1, 2, 3):
        books.pass_time(86_401)
        _crash(books.claim(), step=step)

    assert books.job(job_id).status is Status.QUEUED


def test_a_host_where_a_job_died_twice_is_left_out_while_there_is_another(
    books: Books,
) -> None:
    books.work("lab-1", host="bad")
    books.work("lab-2", host="good")
    books.submit()
    for step in (1, 2):
        _crash(books.claim("lab-1"), step=step)
        books.pass_time(30)
        with transaction() as session:
            workers.beat(session, "lab-2")

    refused = books.try_claim("lab-1")
    books.pass_time(61)  # now nobody else is there

    assert refused is None
    assert books.claim("lab-1").attempt == 3


@pytest.mark.parametrize("cause", ["drain", "pause"])
def test_giving_back_on_purpose_counts_for_nothing(books: Books, cause: str) -> None:
    job_id = books.submit()

    for _ in range(5):
        with transaction() as session:
            jobs.give_back(session, books.claim(), cause)

    job = books.job(job_id)
    assert (job.status, job.deaths, job.restarts) == (Status.QUEUED, 0, 0)


def _crash(claim: Claim, step: int | None = None) -> None:
    with transaction() as session:
        if step is not None:
            jobs.beat(session, claim, {"step": step})
        jobs.give_back(session, claim, "infrastructure", "killed", exit_code=-9)
