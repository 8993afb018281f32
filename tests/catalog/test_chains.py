"""Jobs that wait for others: what is claimed, what ends with what, what is kept."""

from typing import Any

import pytest

from catalog import jobs, models
from catalog.errors import Conflict
from catalog.jobs import Claim, Prerequisite, Request
from catalog.session import reading, transaction
from catalog.tables import Status
from tests.catalog.books import Books, registration


def finish(claim: Claim) -> str:
    with transaction() as session:
        model_id = jobs.succeed(session, claim, registration(claim)).model_id
    assert model_id is not None
    return model_id


def fail(claim: Claim) -> None:
    with transaction() as session:
        jobs.fail(session, claim, "diverged", "the loss is no number")


def retry(job_id: str, key: str | None = None) -> str:
    with transaction() as session:
        asked = None if key is None else Request(key, "0" * 64)
        return jobs.again(session, job_id, asked).id


def statuses(books: Books, made: list[str]) -> list[str]:
    return [str(books.job(job_id).status) for job_id in made]


def sources_of(claim: Claim) -> list[Any]:
    return [source["id"] for source in claim.sources]


def test_only_the_job_whose_prerequisites_succeeded_is_taken(books: Books) -> None:
    lowest, upper, last = books.submit_chain()

    first = books.claim()

    assert first.job_id == lowest
    assert books.try_claim("lab-2") is None
    finish(first)
    second = books.claim()
    assert second.job_id == upper
    finish(second)
    assert books.claim().job_id == last


def test_a_waiting_job_gets_the_model_of_its_prerequisite(books: Books) -> None:
    _, upper, _ = books.submit_chain()

    made = finish(books.claim())

    claim = books.claim()
    assert sources_of(claim) == [made]
    assert claim.sources[0]["folder"].startswith("models/")
    assert claim.spec["reuse"][0]["from"] == made
    assert books.job(upper).reuse == [{"layer": "hidden1", "source": made}]
    with reading() as session:
        assert models.waiting_jobs(session, made) == [upper]


def test_a_job_that_waits_has_no_place_in_the_queue_and_takes_none(
    books: Books,
) -> None:
    made = books.submit_chain()
    plain = books.submit()

    with reading() as session:
        rows = [jobs.get(session, job_id) for job_id in (*made, plain)]
        together = jobs.positions(session, rows)
        alone = [jobs.positions(session, [row]) for row in rows]

    assert together == {made[0]: 1, plain: 2}
    assert alone == [{made[0]: 1}, {}, {}, {plain: 2}]


def test_the_sweep_hints_no_job_that_waits(books: Books) -> None:
    made = books.submit_chain()
    books.pass_time(1000)

    assert books.sweep().hints == made[:1]
    finish(books.claim())
    assert books.sweep().hints == made[1:2]


def test_a_failure_ends_all_that_wait_with_a_sentence(books: Books) -> None:
    made = books.submit_chain()

    fail(books.claim())

    assert statuses(books, made) == ["failed"] * 3
    last = books.job(made[-1])
    assert last.reason == "prerequisite"
    assert "the loss is no number" in str(last.error)
    assert "retry this job" in str(last.error)


def test_what_waits_for_a_cancelled_job_is_cancelled(books: Books) -> None:
    made = books.submit_chain()

    with transaction() as session:
        jobs.cancel(session, made[1])

    assert statuses(books, made) == ["queued", "cancelled", "cancelled"]


def test_a_cancel_of_the_last_job_stops_its_stages(books: Books) -> None:
    made = books.submit_chain()
    books.claim()

    with transaction() as session:
        jobs.cancel(session, made[-1])

    assert statuses(books, made) == ["running", "cancelled", "cancelled"]
    assert books.job(made[0]).shown_status == "cancelling"


def test_a_stage_that_another_job_waits_for_is_not_cancelled(books: Books) -> None:
    made = books.submit_chain(1)
    other = books.submit(
        sources=[{"job": made[0]}], prerequisites=[Prerequisite(made[0])]
    )

    with transaction() as session:
        jobs.cancel(session, made[-1])

    assert statuses(books, [*made, other]) == ["queued", "cancelled", "queued"]


def test_a_job_that_reuses_another_leaves_it_alone_when_cancelled(
    books: Books,
) -> None:
    first = books.submit()
    other = books.submit(sources=[{"job": first}], prerequisites=[Prerequisite(first)])

    with transaction() as session:
        jobs.cancel(session, other)

    assert books.job(first).status is Status.QUEUED


def test_a_retry_makes_what_failed_anew_and_keeps_what_succeeded(
    books: Books,
) -> None:
    made = books.submit_chain()
    kept = finish(books.claim())
    fail(books.claim())

    last = retry(made[-1])

    upper = books.claim()
    assert upper.job_id not in made
    assert sources_of(upper) == [kept]
    assert books.job(upper.job_id).parent == made[1]
    above = finish(upper)
    again = books.claim()
    assert again.job_id == last
    assert sources_of(again) == [above]
    assert again.spec["reuse"][0]["from"] == above
    assert books.try_claim() is None


def test_a_retry_makes_a_stage_anew_whose_model_is_gone(books: Books) -> None:
    made = books.submit_chain(1)
    gone = finish(books.claim())
    fail(books.claim())
    with transaction() as session:
        models.remove(session, gone)

    last = retry(made[-1])

    stage = books.claim()
    assert stage.job_id not in {*made, last}
    anew = finish(stage)
    assert sources_of(books.claim()) == [anew]


def test_a_key_makes_one_chain_and_one_retry_of_it(books: Books) -> None:
    asked = Request("once", "0" * 64)
    made = books.submit_chain(idempotency=asked)
    with transaction() as session:
        earlier = jobs.repeated(session, asked)
    assert earlier is not None
    assert earlier.id == made[-1]
    fail(books.claim())

    again = [retry(made[-1], "again"), retry(made[-1], "again")]

    assert again[0] == again[1]
    books.claim()
    assert books.try_claim("lab-2") is None


def test_a_chain_that_cannot_be_entered_leaves_nothing(books: Books) -> None:
    lost = books.submit()
    with transaction() as session:
        jobs.cancel(session, lost)

    with pytest.raises(Conflict, match="made no model"):
        books.submit(sources=[{"job": lost}], prerequisites=[Prerequisite(lost)])

    with reading() as session:
        assert [job.id for job in jobs.page(session, jobs.Filters(), 9).rows] == [lost]


def test_what_has_succeeded_is_a_source_at_once(books: Books) -> None:
    first = books.submit()
    model = finish(books.claim())

    books.submit(sources=[{"job": first}], prerequisites=[Prerequisite(first)])

    assert sources_of(books.claim()) == [model]
