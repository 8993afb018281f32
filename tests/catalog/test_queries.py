"""The ledger stays quick when it is large: its queries use indexes."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, TextClause, event, text

from catalog import checkpoints, events, jobs, metrics, watch
from catalog.session import engine, reading, transaction
from tests.catalog.books import Books, checkpoint

Act = Callable[[Books, jobs.Claim], object]


def _history(_: Books, claim: jobs.Claim) -> None:
    with reading() as session:
        metrics.history(session, claim.job_id, ["train_loss"])
        metrics.history(session, claim.job_id, downsample=5)
        events.after(session, claim.job_id, 3)
        events.newest(session, claim.job_id)
        checkpoints.of_job(session, claim.job_id)
        watch.marks(session, [claim.job_id])


def _pages(books: Books, _: jobs.Claim) -> None:
    with reading() as session:
        first = jobs.page(session, jobs.Filters(), 1)
        jobs.page(session, jobs.Filters(), 1, first.next_cursor)
        jobs.page(session, jobs.Filters(status="running"), 1)
        jobs.page(session, jobs.Filters(name="digits"), 1)


def _save(_: Books, claim: jobs.Claim) -> None:
    with transaction() as session:
        jobs.beat(session, claim, {"step": 2})
        checkpoints.add(session, claim, checkpoint(claim, 2))


def _die(_: Books, claim: jobs.Claim) -> None:
    with transaction() as session:
        jobs.give_back(session, claim, "infrastructure", "boom")


def _claim(books: Books, _: jobs.Claim) -> None:
    books.claim()


def _measure(books: Books, claim: jobs.Claim) -> None:
    books.measure(claim, 7)


def _sweep(books: Books, _: jobs.Claim) -> None:
    books.sweep()


@pytest.fixture
def claimed(books: Books) -> jobs.Claim:
    """Return a claim that measured a little, with another job in the queue."""
    books.work()
    books.submit()
    books.submit()
    claim = books.claim()
    books.measure(claim, *range(1, 6))
    books.sweep()  # with what is done once an hour, over the checkpoints that are kept
    return claim


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "act", [_claim, _measure, _save, _die, _history, _pages, _sweep]
)
def test_no_query_of_the_ledger_reads_a_whole_table(
    books: Books, claimed: jobs.Claim, act: Act
) -> None:
    whole = r"SCAN (jobs|metrics|events|attempts|checkpoints)(?!.* INDEX )"

    plans = _plans(lambda: act(books, claimed))

    assert [plan for plan in plans if re.match(whole, plan)] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_claim_does_not_sort_the_queue(books: Books, claimed: jobs.Claim) -> None:
    plans = _plans(books.claim)

    assert any("USING INDEX jobs_queue" in plan for plan in plans)
    assert not any("TEMP B-TREE" in plan for plan in plans)


def _plans(act: Callable[[], object]) -> list[str]:
    """Return how SQLite, which needs no statistics, goes about what `act` asks."""
    asked: list[tuple[str, Any]] = []

    @event.listens_for(engine(), "before_cursor_execute")
    def note(_: Connection, __: object, statement: str, given: Any, *___: Any) -> None:
        asked.append((statement, given))

    act()
    event.remove(engine(), "before_cursor_execute", note)
    assert asked
    with engine().connect() as connection:
        return [
            row[3]
            for statement, given in asked
            for row in connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {statement}", given
            )
        ]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_heartbeat_touches_no_index(books: Books) -> None:
    books.submit()
    claim = books.claim()
    count = text(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables"
        " WHERE relname = 'jobs'"
    )
    before = _counted(count)

    for step in range(20):
        with transaction() as session:
            jobs.beat(session, claim, {"step": step, "percent": 1.5})

    after = _counted(count)
    updates, hot = (b - a for a, b in zip(before, after, strict=True))
    assert updates >= 20
    assert hot >= 19


def _counted(count: TextClause) -> tuple[int, int]:
    with transaction() as session:
        session.execute(text("SELECT pg_stat_force_next_flush()"))
    with transaction() as session:
        updates, hot = session.execute(count).one()
    return updates, hot
