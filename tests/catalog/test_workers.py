"""Workers: who is there, who stopped, who fell silent."""

import pytest

from catalog import attempts, events, jobs, workers
from catalog.errors import Fenced, NotFound
from catalog.session import reading, transaction
from catalog.tables import Outcome, Worker
from tests.catalog.books import Books


def test_a_worker_lives_while_it_beats(books: Books) -> None:
    books.work("lab-1")
    books.work("lab-2")
    books.pass_time(50)
    with transaction() as session:
        workers.beat(session, "lab-2", job_id="job_1", draining=True)
    books.pass_time(20)

    with reading() as session:
        live = [(w.name, w.job_id, w.draining) for w in workers.live(session)]
        every = [w.name for w in workers.every(session)]

    assert live == [("lab-2", "job_1", True)]
    assert every == ["lab-1", "lab-2"]


def test_a_worker_that_took_its_leave_holds_nothing(books: Books) -> None:
    books.work("lab-1")
    job_id = books.submit()
    books.claim("lab-1")

    with transaction() as session:
        freed = workers.retire(session, "lab-1")

    with reading() as session:
        every = workers.every(session)
        there = workers.get(session, "lab-1").retired_at
    assert (freed, every) == ([job_id], [])
    assert there is not None


def test_a_worker_that_starts_again_is_one_row(books: Books) -> None:
    books.work("lab-1", device="cpu")
    with transaction() as session:
        workers.refused(session, "lab-1")
        workers.retire(session, "lab-1")

    books.work("lab-1", device="cuda:0")

    with reading() as session:
        worker = workers.get(session, "lab-1")
    assert (worker.device, worker.retired_at, worker.draining) == (
        "cuda:0",
        None,
        False,
    )
    assert worker.refused_writes == 1


def test_an_unknown_worker_cannot_beat(books: Books) -> None:
    with pytest.raises(NotFound, match="worker 'lab-9'"), transaction() as session:
        workers.beat(session, "lab-9")
    with pytest.raises(NotFound), reading() as session:
        workers.get(session, "lab-9")


def test_an_attempt_remembers_where_it_ran(books: Books) -> None:
    books.work("lab-1", device="cpu", host="desk")
    job_id = books.submit()
    claim = books.claim("lab-1")

    with transaction() as session:
        attempts.started(session, claim, pid=7, fingerprint={"torch": "2"}, exact=True)
        jobs.give_back(session, claim, "drain")

    first = books.attempts(job_id)[0]
    assert (first.worker, first.host, first.device) == ("lab-1", "desk", "cpu")
    assert (first.pid, first.fingerprint, first.exact) == (7, {"torch": "2"}, True)
    assert first.outcome is Outcome.DRAINED
    assert first.seconds >= 0


def test_a_dead_attempt_says_nothing_of_its_start(books: Books) -> None:
    books.submit()
    claim = books.claim()
    with transaction() as session:
        jobs.give_back(session, claim, "drain")

    with pytest.raises(Fenced), transaction() as session:
        attempts.started(session, claim, pid=7)


def test_events_are_read_from_where_the_reader_stopped(books: Books) -> None:
    job_id = books.submit()
    other = books.submit()
    with transaction() as session:
        for number in range(3):
            events.add(session, job_id, "log", {"line": number})
            events.add(session, other, "log", {"line": "other"})

    with reading() as session:
        first = events.after(session, job_id, limit=2)
        rest = events.after(session, job_id, first[-1].id)
        newest = events.newest(session, job_id)

    assert [e.type for e in first] == ["status", "log"]
    assert [e.data["line"] for e in rest] == [1, 2]
    assert newest == rest[-1].id


def test_an_unknown_job_has_no_history(books: Books) -> None:
    with pytest.raises(NotFound), transaction() as session:
        events.add(session, "job_0", "log", {})

    with reading() as session:
        assert events.newest(session, "job_0") == 0
        assert session.get(Worker, "nobody") is None
