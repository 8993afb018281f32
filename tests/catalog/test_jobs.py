"""A job's life, move by move."""

from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from catalog import jobs, moves
from catalog.errors import Conflict, Fenced, NotFound
from catalog.session import reading, transaction
from catalog.tables import Desired, Job, Outcome, Reason, Status
from tests.catalog.books import Books, registration


def test_an_accepted_job_waits_in_the_queue(books: Books) -> None:
    job_id = books.submit()

    job = books.job(job_id)
    assert (job.status, job.desired, job.attempt) == ("queued", "run", 0)
    assert books.history(job_id) == ["queued"]


def test_a_job_needs_its_data_set(books: Books) -> None:
    with pytest.raises(NotFound, match="there is no dataset 'ds_missing'"):
        books.submit(dataset_id="ds_missing")


def test_a_job_needs_the_models_that_it_reuses(books: Books) -> None:
    books.submit()
    claim = books.claim()
    with transaction() as session:
        model = jobs.succeed(session, claim, registration(claim)).model_id
    there = {"id": model, "folder": "models/there"}
    gone = {"id": "mdl_gone", "folder": "models/gone"}

    job_id = books.submit(sources=[there], reuse=[{"layer": "hidden1"}], layers=[])

    assert books.claim().sources == [there]
    assert books.job(job_id).reuse == [{"layer": "hidden1"}]
    with pytest.raises(NotFound, match="there is no model 'mdl_gone'"):
        books.submit(sources=[there, gone])


def test_a_claim_takes_the_highest_priority_then_the_oldest(books: Books) -> None:
    second = books.submit()
    books.submit()
    first = books.submit(priority=1)

    taken = [books.claim().job_id, books.claim().job_id]

    assert taken == [first, second]


def test_nothing_is_claimed_from_an_empty_queue(books: Books) -> None:
    assert books.try_claim() is None


def test_a_job_for_another_kind_of_device_is_left_in_the_queue(books: Books) -> None:
    books.work("lab-1", device="cpu")
    books.work("lab-2", device="cuda:1")
    books.submit(device="cuda")

    assert books.try_claim("lab-1") is None
    assert books.try_claim("lab-2") is not None


def test_each_claim_has_the_next_attempt_number(books: Books) -> None:
    job_id = books.submit()
    first = books.claim()
    with transaction() as session:
        jobs.give_back(session, first, "drain")

    second = books.claim()

    assert (first.attempt, second.attempt) == (1, 2)
    assert books.history(job_id) == ["queued", "running", "queued", "running"]
    assert [a.outcome for a in books.attempts(job_id)] == [Outcome.DRAINED, None]


def test_a_heartbeat_answers_what_people_want(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()

    answers = []
    for ask in (jobs.pause, jobs.resume, jobs.cancel):
        with transaction() as session:
            ask(session, job_id)
        with transaction() as session:
            answers.append(jobs.beat(session, claim, {"step": 3}))

    assert answers == [Desired.PAUSE, Desired.RUN, Desired.CANCEL]
    assert books.job(job_id).step == 3
    assert books.history(job_id)[2:] == ["pausing", "running", "cancelling"]


def test_success_ends_the_job_with_its_model(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    frozen = [{"tensor": "hidden1.weight", "before": "a", "after": "a"}]

    with transaction() as session:
        jobs.succeed(
            session, claim, registration(claim), frozen=frozen, cache={"hit": True}
        )

    job = books.job(job_id)
    assert job.status is Status.SUCCEEDED
    assert job.model_id is not None
    assert (job.frozen, job.cache) == (frozen, {"hit": True})
    assert job.finished_at is not None
    assert books.history(job_id) == ["queued", "running", "succeeded"]


def test_failure_tells_the_reason_and_a_sentence(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()

    with transaction() as session:
        jobs.fail(session, claim, "diverged", "the loss left the real numbers\0")

    job = books.job(job_id)
    assert (job.status, job.reason) == (Status.FAILED, Reason.DIVERGED)
    assert job.error == "the loss left the real numbers\ufffd"


@pytest.mark.parametrize("ask", [jobs.cancel, jobs.pause, jobs.resume])
def test_an_ended_job_refuses_every_wish_and_says_how_it_ended(
    books: Books, ask: Callable[[Session, str], Job]
) -> None:
    job_id = books.submit()
    claim = books.claim()
    with transaction() as session:
        jobs.succeed(session, claim, registration(claim))
    before = books.job(job_id)

    with (
        pytest.raises(Conflict, match="is succeeded already"),
        transaction() as session,
    ):
        ask(session, job_id)

    after = books.job(job_id)
    assert (after.status, after.desired, after.finished_at) == (
        before.status,
        before.desired,
        before.finished_at,
    )


@pytest.mark.parametrize("first", [None, jobs.pause])
def test_a_waiting_job_is_cancelled_at_once(books: Books, first: object) -> None:
    job_id = books.submit()
    if callable(first):
        with transaction() as session:
            first(session, job_id)

    with transaction() as session:
        jobs.cancel(session, job_id)

    assert books.job(job_id).status is Status.CANCELLED
    assert books.try_claim() is None


def test_a_running_job_is_cancelling_until_its_worker_lets_go(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()

    with transaction() as session:
        shown = jobs.cancel(session, job_id).shown_status
    with transaction() as session:
        jobs.give_back(session, claim, "cancel")

    assert shown == "cancelling"
    assert books.job(job_id).status is Status.CANCELLED
    assert books.attempts(job_id)[0].outcome is Outcome.CANCELLED


def test_a_cancel_that_came_before_the_finish_wins(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    with transaction() as session:
        jobs.cancel(session, job_id)

    with transaction() as session:
        job = jobs.succeed(session, claim, registration(claim))

    assert job.status is Status.CANCELLED
    assert job.model_id is None


def test_a_job_being_cancelled_cannot_be_paused(books: Books) -> None:
    job_id = books.submit()
    books.claim()
    with transaction() as session:
        jobs.cancel(session, job_id)

    with pytest.raises(Conflict, match="being cancelled"), transaction() as session:
        jobs.pause(session, job_id)


def test_a_paused_job_is_not_claimed_until_it_is_resumed(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    with transaction() as session:
        jobs.pause(session, job_id)
    with transaction() as session:
        jobs.give_back(session, claim, "pause")

    paused = books.try_claim()
    with transaction() as session:
        jobs.resume(session, job_id)

    assert paused is None
    assert books.claim().attempt == 2
    assert books.history(job_id)[2:] == ["pausing", "paused", "queued", "running"]


def test_a_pause_that_was_taken_back_puts_the_job_into_the_queue(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    with transaction() as session:
        jobs.pause(session, job_id)
        jobs.resume(session, job_id)

    with transaction() as session:
        jobs.give_back(session, claim, "pause")

    assert books.job(job_id).status is Status.QUEUED


def test_wishes_may_be_repeated(books: Books) -> None:
    job_id = books.submit()
    for ask in (jobs.pause, jobs.pause, jobs.resume, jobs.resume):
        with transaction() as session:
            ask(session, job_id)

    books.claim()
    for _ in range(2):
        with transaction() as session:
            jobs.cancel(session, job_id)

    assert books.history(job_id) == [
        "queued",
        "paused",
        "queued",
        "running",
        "cancelling",
    ]


def test_out_of_memory_is_tried_once_more_with_half_the_examples(books: Books) -> None:
    job_id = books.submit()
    with transaction() as session:
        jobs.fail(session, books.claim(), "out_of_memory", "needs 3 GiB")
    second = books.claim()
    with transaction() as session:
        jobs.fail(session, second, "out_of_memory", "needs 2 GiB; 16 examples fit")

    job = books.job(job_id)
    assert second.micro_batch == 32
    assert (job.status, job.reason) == (Status.FAILED, Reason.OUT_OF_MEMORY)
    assert job.error == "needs 2 GiB; 16 examples fit"
    assert "diagnostic" in books.history(job_id)


def test_a_job_that_is_being_paused_waits_before_its_smaller_try(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    with transaction() as session:
        jobs.pause(session, job_id)
        jobs.fail(session, claim, "out_of_memory", "needs 3 GiB")

    job = books.job(job_id)
    assert (job.status, job.micro_batch) == (Status.PAUSED, 32)


def test_a_failure_of_a_job_that_was_cancelled_is_a_cancel(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    with transaction() as session:
        jobs.cancel(session, job_id)
        jobs.fail(session, claim, "diverged", "boom")

    assert books.job(job_id).status is Status.CANCELLED
    assert books.attempts(job_id)[0].error == "boom"


def test_what_people_want_can_be_read_without_writing(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    with transaction() as session:
        jobs.pause(session, job_id)

    with reading() as session:
        wanted = jobs.desired(session, claim)
    with transaction() as session:
        jobs.give_back(session, claim, "pause")

    assert wanted is Desired.PAUSE
    with pytest.raises(Fenced), reading() as session:
        jobs.desired(session, claim)


def test_a_job_that_moved_since_it_was_read_is_not_written(books: Books) -> None:
    job_id = books.submit()
    stale = books.job(job_id)
    books.claim()

    with pytest.raises(Fenced), transaction() as session:
        moves.set_aside(session, stale)

    assert books.job(job_id).status is Status.RUNNING


def test_no_move_leads_out_of_an_end(books: Books) -> None:
    job_id = books.submit()
    with transaction() as session:
        jobs.cancel(session, job_id)

    with pytest.raises(Fenced), transaction() as session:
        moves.requeue(session, jobs.get(session, job_id))


def test_a_batch_of_one_that_does_not_fit_fails_at_once(books: Books) -> None:
    job_id = books.submit(resolved_spec={"training": {"batch_size": 1}})

    with transaction() as session:
        jobs.fail(session, books.claim(), "out_of_memory", "one example is too much")

    assert books.job(job_id).reason is Reason.OUT_OF_MEMORY


def test_a_retry_is_a_new_job_with_a_parent(books: Books) -> None:
    job_id = books.submit(tags=["night", "night"])
    with transaction() as session:
        jobs.fail(session, books.claim(), "diverged", "boom")

    with transaction() as session:
        again = jobs.again(session, job_id)

    assert again.id != job_id
    assert (again.parent, again.status) == (job_id, Status.QUEUED)
    assert again.tags == ["night"]
    assert books.job(job_id).status is Status.FAILED


def test_a_job_that_has_not_ended_cannot_be_retried(books: Books) -> None:
    job_id = books.submit()

    with pytest.raises(Conflict, match="is queued; only"), transaction() as session:
        jobs.again(session, job_id)
    with pytest.raises(NotFound), transaction() as session:
        jobs.again(session, "job_0")


def test_nothing_is_known_of_an_unknown_job(books: Books) -> None:
    with pytest.raises(NotFound, match="there is no job 'job_0'"):
        books.job("job_0")


def test_a_spec_is_kept_exactly_as_written(books: Books) -> None:
    spec = {"zulu": 1, "alpha": {"b": "\0\ud800", "a": [1.0, 2]}, "ünï": "é"}
    job_id = books.submit(spec=spec)

    kept = books.job(job_id).spec

    assert kept == spec
    assert list(kept) == ["zulu", "alpha", "ünï"]


def test_times_are_in_utc_and_from_one_clock(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    with transaction() as session:
        jobs.fail(session, claim, Reason.DIVERGED, "boom")

    job = books.job(job_id)
    assert job.created_at.utcoffset() is not None
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at


def test_a_claim_that_was_given_back_may_write_no_more(books: Books) -> None:
    books.submit()
    claim = books.claim()
    with transaction() as session:
        jobs.give_back(session, claim, "drain")

    with pytest.raises(Fenced), transaction() as session:
        jobs.beat(session, claim)
