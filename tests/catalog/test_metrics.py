"""Measured values: each counts once, and a rollback takes back what it measured."""

import math

import pytest

from catalog import checkpoints, jobs, metrics
from catalog.errors import Fenced
from catalog.session import reading, transaction
from tests.catalog.books import Books, checkpoint


def test_values_come_in_the_order_of_steps(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    books.measure(claim, 3, 1, 2)
    books.measure(claim, 2, name="validation_loss")

    with reading() as session:
        both = metrics.history(session, job_id)
        one = metrics.history(session, job_id, ["validation_loss"])
        first = metrics.history(session, job_id, limit=1)

    assert [(m.step, m.name) for m in both] == [
        (1, "train_loss"),
        (2, "train_loss"),
        (2, "validation_loss"),
        (3, "train_loss"),
    ]
    assert [m.step for m in one] == [2]
    assert [m.step for m in first] == [1]


def test_rows_that_are_sent_twice_count_once(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()

    books.measure(claim, 1, 2)
    books.measure(claim, 2, 3)

    assert books.steps(job_id) == [1, 2, 3]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_kept_as_missing(
    books: Books, value: float
) -> None:
    job_id = books.submit()
    row = {"step": 1, "epoch": 1, "name": "train_loss", "value": value}

    claim = books.claim()
    with transaction() as session:
        metrics.add(session, claim, [row])

    with reading() as session:
        assert metrics.history(session, job_id)[0].value is None


def test_a_thousand_rows_are_written_at_once(books: Books) -> None:
    job_id = books.submit()

    books.measure(books.claim(), *range(1, 1202))

    assert books.steps(job_id) == list(range(1, 1202))


def test_a_dead_attempt_measures_nothing(books: Books) -> None:
    job_id = books.submit()
    dead = books.claim()
    with transaction() as session:
        jobs.give_back(session, dead, "drain")
    books.claim()

    with pytest.raises(Fenced, match=f"attempt 1 no longer holds job {job_id}"):
        books.measure(dead, 1)

    assert books.steps(job_id) == []


def test_a_claim_takes_back_what_lies_beyond_its_checkpoint(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    books.measure(claim, 1, 2, 3, 4)
    with transaction() as session:
        checkpoints.add(session, claim, checkpoint(claim, 2))
        jobs.give_back(session, claim, "drain")
    before = books.steps(job_id)

    second = books.claim()
    resumed = books.steps(job_id)
    books.measure(second, 3, 4)

    assert before == [1, 2, 3, 4]
    assert (second.checkpoint_step, resumed) == (2, [1, 2])
    assert books.steps(job_id) == [1, 2, 3, 4]


def test_a_claim_without_a_checkpoint_starts_from_nothing(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    row = {"step": 0, "epoch": 1, "name": "train_loss", "value": 1.0}
    with transaction() as session:
        metrics.add(session, claim, [row])
        jobs.give_back(session, claim, "drain")

    books.claim()

    assert books.steps(job_id) == []


@pytest.mark.parametrize(
    ("wanted", "steps"),
    [
        (1, [10]),
        (2, [1, 10]),
        (4, [1, 4, 7, 10]),
        (10, list(range(1, 11))),
        (99, list(range(1, 11))),
    ],
)
def test_downsampling_keeps_the_ends_and_spreads_the_rest(
    books: Books, wanted: int, steps: list[int]
) -> None:
    job_id = books.submit()
    claim = books.claim()
    books.measure(claim, *range(1, 11))
    books.measure(claim, 5, name="test_loss")

    with reading() as session:
        rows = metrics.history(session, job_id, downsample=wanted)

    assert [m.step for m in rows if m.name == "train_loss"] == steps
    assert [m.step for m in rows if m.name == "test_loss"] == [5]
