"""Transactions, and what happens when the database is not there."""

import math
import multiprocessing
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from catalog import jobs, session
from catalog.errors import DatabaseUnavailable, NotFound, Unstorable
from catalog.session import engine, reading, transaction
from catalog.settings import settings
from catalog.tables import Job
from tests.catalog.books import SPEC, Books
from tests.catalog.relay import Relay
from tests.servers import Postgres


def test_what_fails_half_way_leaves_nothing(books: Books) -> None:
    def submit_and_fail() -> None:
        with transaction() as writing:
            jobs.add(writing, jobs.Submission("half", SPEC, SPEC, books.dataset))
            jobs.cancel(writing, "job_0")

    with pytest.raises(NotFound):
        submit_and_fail()

    with reading() as looking:
        assert looking.query(Job).count() == 0


def test_a_reader_changes_nothing(books: Books) -> None:
    job_id = books.submit()

    with reading() as looking:
        looking.get_one(Job, job_id).name = "changed"
        looking.flush()

    assert books.job(job_id).name == "digits"


def test_rows_can_be_used_after_their_transaction(books: Books) -> None:
    with transaction() as writing:
        job = jobs.add(writing, jobs.Submission("kept", SPEC, SPEC, books.dataset))

    assert (job.name, job.created_at.year > 2000) == ("kept", True)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_value_that_no_database_holds_is_refused_as_such(
    books: Books, name: str
) -> None:
    if engine().dialect.name == "sqlite" and name == "a\0b":
        books.submit(name=name)  # SQLite holds it
        return

    with pytest.raises(Unstorable):
        books.submit(name=name)


def test_a_forked_child_uses_connections_of_its_own(books: Books) -> None:
    job_id = books.submit()
    fork = multiprocessing.get_context("fork")
    answers: Any = fork.SimpleQueue()
    before = engine()

    children = [
        fork.Process(target=_read_in_child, args=(books, job_id, before, answers))
        for _ in range(3)
    ]
    for child in children:
        child.start()
    heard = [answers.get() for _ in children]
    for child in children:
        child.join()

    assert heard == [("digits", False)] * 3
    assert engine() is before
    assert books.job(job_id).name == "digits"


def _read_in_child(books: Books, job_id: str, before: Any, answers: Any) -> None:
    name = books.job(job_id).name
    answers.put((name, engine() is before))


def test_readers_are_not_held_up_by_a_writer(books: Books) -> None:
    job_id = books.submit()

    with transaction() as writing:
        jobs.cancel(writing, job_id)
        seen = books.job(job_id).status

    assert seen == "queued"


def test_a_second_writer_waits_for_its_turn(books: Books) -> None:
    job_id = books.submit()
    entered, done = threading.Event(), threading.Event()

    def cancel() -> None:
        entered.set()
        with transaction() as writing:
            jobs.cancel(writing, job_id)
        done.set()

    with transaction() as writing:
        jobs.pause(writing, job_id)
        other = threading.Thread(target=cancel)
        other.start()
        entered.wait()
        early = done.wait(0.2)
    other.join()

    assert not early
    assert books.history(job_id) == ["queued", "paused", "cancelled"]


def test_a_writer_that_never_gets_its_turn_hears_that_the_database_is_busy(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "WAIT_SECONDS", 0.1)
    made = session.make_engine(sqlite_url)
    frozen = sqlite3.connect(tmp_path / "frostline.db", isolation_level=None)
    frozen.execute("BEGIN IMMEDIATE")

    with pytest.raises(DatabaseUnavailable, match="locked"), made.connect() as writing:
        writing.execute(text("SELECT 1"))

    frozen.close()
    made.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_server_that_takes_no_writes_is_not_there_for_writers(books: Books) -> None:
    job_id = books.submit()

    def cancel_on_a_standby() -> None:
        with transaction() as writing:
            writing.execute(text("SET TRANSACTION READ ONLY"))
            writing.execute(update(Job).values(name="changed"))

    with pytest.raises(DatabaseUnavailable, match="read-only"):
        cancel_on_a_standby()

    assert books.job(job_id).name == "digits"


def test_numbers_that_json_does_not_know_become_null(books: Books) -> None:
    books.submit()
    claim = books.claim()
    progress = {"eta_seconds": math.inf, "rates": [1.5, (math.nan, 2)], "step": 1}

    with transaction() as writing:
        jobs.beat(writing, claim, progress)

    assert books.job(claim.job_id).progress == {
        "eta_seconds": None,
        "rates": [1.5, [None, 2]],
        "step": 1,
    }


def test_more_users_than_connections_are_told_to_try_again(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = session.make_engine(sqlite_url)
    monkeypatch.setattr(made.pool, "_timeout", 0.1)
    monkeypatch.setattr(session, "engine", lambda: made)
    taken = [made.connect() for _ in range(60)]

    with pytest.raises(DatabaseUnavailable, match="try again"), reading() as looking:
        looking.execute(text("SELECT 1"))

    for connection in taken:
        connection.close()
    made.dispose()


def test_wrong_sql_is_no_absent_database(books: Books) -> None:
    with pytest.raises(DBAPIError, match="no_such_table"), reading() as looking:
        looking.execute(text("SELECT * FROM no_such_table"))


def test_a_server_that_is_away_is_one_kind_of_error_and_comes_back_by_itself(
    postgres: Postgres, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cable = Relay(postgres.port)
    cable.mend()
    url = postgresql_url.replace(f":{postgres.port}/", f":{cable.port}/")
    monkeypatch.setenv("FROSTLINE_DATABASE_URL", url)
    settings.cache_clear()
    session.dispose()
    books = Books()
    job_id = books.submit()

    def cancel_over_a_cut_cable() -> None:
        with transaction() as writing:
            jobs.pause(writing, job_id)
            cable.cut()
            jobs.cancel(writing, job_id)

    with pytest.raises(DatabaseUnavailable):
        cancel_over_a_cut_cable()
    with pytest.raises(DatabaseUnavailable, match="try again"):
        books.submit()
    with pytest.raises(DatabaseUnavailable):
        books.history(job_id)
    cable.mend()

    assert books.history(job_id) == ["queued"]
    cable.cut()
    session.dispose()
    settings.cache_clear()
