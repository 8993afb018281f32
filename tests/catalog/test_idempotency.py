"""The same request makes one job, however often it is sent."""

import pytest

from catalog import jobs
from catalog.errors import IdempotencyKeyReused, NotFound
from catalog.session import reading, transaction
from tests.catalog.books import Books

FIRST = jobs.Request("night-1", "a" * 64)


def test_the_same_key_and_body_return_the_same_job(books: Books) -> None:
    first = books.submit(idempotency=FIRST)

    assert books.submit(idempotency=FIRST) == first
    assert len(books.history(first)) == 1


def test_the_same_key_with_another_body_is_refused(books: Books) -> None:
    books.submit(idempotency=FIRST)

    with pytest.raises(IdempotencyKeyReused, match="send a new key"):
        books.submit(idempotency=jobs.Request("night-1", "b" * 64))


def test_a_repeated_request_is_known_before_anything_is_looked_up(
    books: Books,
) -> None:
    first = books.submit(idempotency=FIRST)

    with reading() as session:
        known = jobs.repeated(session, FIRST)
        unknown = jobs.repeated(session, jobs.Request("night-2", "a" * 64))

    assert known is not None
    assert (known.id, unknown) == (first, None)


def test_a_refused_submission_does_not_use_up_its_key(books: Books) -> None:
    with pytest.raises(NotFound):
        books.submit(idempotency=FIRST, dataset_id="ds_missing")

    assert books.submit(idempotency=FIRST)


def test_a_retry_can_be_repeated_safely(books: Books) -> None:
    job_id = books.submit()
    with transaction() as session:
        jobs.cancel(session, job_id)

    again = []
    for _ in range(2):
        with transaction() as session:
            again.append(jobs.again(session, job_id, FIRST).id)

    assert again[0] == again[1] != job_id
