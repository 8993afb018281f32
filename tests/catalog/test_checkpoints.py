"""Checkpoints: the newest committed one counts, and few are kept."""

import pytest

from catalog import checkpoints, jobs
from catalog.errors import Fenced
from catalog.jobs import Claim
from catalog.session import reading, transaction
from tests.catalog.books import Books, checkpoint


def test_the_next_attempt_goes_on_from_the_newest_checkpoint(books: Books) -> None:
    books.submit()
    claim = books.claim()
    _save(claim, 5, 10)
    with transaction() as session:
        jobs.give_back(session, claim, "drain")

    second = books.claim()

    assert second.checkpoint == checkpoint(claim, 10)["folder"]
    assert (second.checkpoint_step, second.checkpoint_sha256) == (10, "1" * 64)


def test_a_checkpoint_whose_files_are_broken_is_passed_over(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    _save(claim, 5, 10)
    with transaction() as session:
        checkpoints.mark_broken(session, job_id, checkpoint(claim, 10)["folder"])
        jobs.give_back(session, claim, "drain")

    assert books.claim().checkpoint_step == 5


def test_the_last_two_the_best_and_the_final_one_stay(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    _save(claim, 1, kind="best")
    _save(claim, 2, kind="best")
    _save(claim, 3, kind="final")

    dropped = _save(claim, 4, 5, 6)

    with reading() as session:
        kept = [row.step for row in checkpoints.of_job(session, job_id)]
        going = checkpoints.deleting(session)
    assert kept == [6, 5, 3, 2]
    assert dropped == [checkpoint(claim, 4)["folder"]]
    assert going == [checkpoint(claim, step)["folder"] for step in (1, 4)]


def test_only_rows_that_are_being_deleted_are_forgotten(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    _save(claim, 1, 2, 3)

    with transaction() as session:
        folders = [checkpoint(claim, step)["folder"] for step in (1, 2, 3)]
        checkpoints.forget(session, folders)

    with reading() as session:
        assert len(checkpoints.of_job(session, job_id)) == 2
        assert checkpoints.deleting(session) == []


def test_a_dead_attempt_saves_nothing(books: Books) -> None:
    job_id = books.submit()
    claim = books.claim()
    with transaction() as session:
        jobs.cancel(session, job_id)
        jobs.give_back(session, claim, "cancel")

    with pytest.raises(Fenced):
        _save(claim, 1)

    with reading() as session:
        assert checkpoints.newest(session, job_id) is None


def test_each_checkpoint_is_told(books: Books) -> None:
    job_id = books.submit()

    _save(books.claim(), 1, 2)

    assert books.history(job_id)[2:] == ["checkpoint", "checkpoint"]


def _save(claim: Claim, *steps: int, kind: str = "last") -> list[str]:
    dropped: list[str] = []
    for step in steps:
        with transaction() as session:
            dropped = checkpoints.add(session, claim, checkpoint(claim, step, kind))
    return dropped
