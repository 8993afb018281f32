"""Pages: every row once, also while others come, in any order of the list."""

import base64
import json

import pytest
from sqlalchemy import select

from catalog import jobs
from catalog.errors import MalformedCursor
from catalog.jobs import Filters
from catalog.pages import Key, Page, page
from catalog.session import reading, transaction
from catalog.tables import Job, JobSource
from tests.catalog.books import Books, registration


def test_pages_show_every_job_once_newest_first(books: Books) -> None:
    made = [books.submit() for _ in range(7)]

    pages = _walk(limit=3)

    assert [len(p.rows) for p in pages] == [3, 3, 1]
    assert [p.has_more for p in pages] == [True, True, False]
    assert [job.id for p in pages for job in p.rows] == made[::-1]


def test_a_list_that_just_fills_its_page_has_no_next_one(books: Books) -> None:
    for _ in range(3):
        books.submit()

    assert [p.has_more for p in _walk(limit=3)] == [False]


def test_rows_that_come_meanwhile_neither_repeat_nor_hide_others(books: Books) -> None:
    made = [books.submit() for _ in range(4)]
    with reading() as session:
        first = jobs.page(session, Filters(), 2)

    books.submit()

    with reading() as session:
        second = jobs.page(session, Filters(), 2, first.next_cursor)
    assert [job.id for job in second.rows] == made[1::-1]


@pytest.mark.parametrize("descending", [True, False])
def test_missing_values_come_last_in_either_direction(
    books: Books, descending: bool
) -> None:
    for timeout in (3.5, None, 1.0, None, 2.0):
        books.submit(resolved_spec={"timeout_seconds": timeout})
    keys = [Key(Job.timeout_seconds, descending=descending), Key(Job.id)]

    seen: list[float | None] = []
    cursor: str | None = None
    for _ in range(5):
        with reading() as session:
            part = page(session, select(Job), keys, 1, cursor)
        seen += [job.timeout_seconds for job in part.rows]
        cursor = part.next_cursor

    values = sorted([3.5, 1.0, 2.0], reverse=descending)
    assert seen == [*values, None, None]
    assert cursor is None


def test_a_whole_number_is_a_place_in_a_list_of_fractions(books: Books) -> None:
    for timeout in (1.5, 2.5):
        books.submit(resolved_spec={"timeout_seconds": timeout})
    keys = [Key(Job.timeout_seconds), Key(Job.id)]

    with reading() as session:
        rows = page(
            session, select(Job), keys, 9, _cursor("timeout_seconds,id", 2, "")
        ).rows

    assert [job.timeout_seconds for job in rows] == [2.5]


def test_times_can_be_the_order_of_a_list(books: Books) -> None:
    made = [books.submit() for _ in range(3)]
    keys = [Key(Job.created_at), Key(Job.id)]

    with reading() as session:
        first = page(session, select(Job), keys, 2)
        second = page(session, select(Job), keys, 2, first.next_cursor)

    assert [job.id for job in [*first.rows, *second.rows]] == made


def _cursor(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "AAAA",
        "bnVsbA",
        _cursor(),
        _cursor("-id"),
        _cursor("-id", 7),
        _cursor("-id", True),
        _cursor("-id", "a\0b"),
        _cursor("-id", ["job"]),
        _cursor("-id", "job_1", "more"),
        _cursor("name", "job_1"),
        _cursor({"-id": 1}, "job_1"),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    ],
)
def test_a_cursor_that_was_not_made_here_is_refused(books: Books, cursor: str) -> None:
    with pytest.raises(MalformedCursor, match="next_cursor"), reading() as session:
        jobs.page(session, Filters(), 2, cursor)


def test_filters_choose_jobs(books: Books) -> None:
    waiting = books.submit("alpha", tags=["night", "blue"])
    ended = books.submit("beta", tags=["blue"], priority=9)
    claim = books.claim()
    with transaction() as session:
        model = jobs.succeed(session, claim, registration(claim)).model_id
    with transaction() as session:
        session.add(JobSource(job_id=waiting, model_id=str(model)))
    created = books.job(waiting).created_at

    assert _found(name="alpha") == [waiting]
    assert _found(status="succeeded") == [ended]
    assert _found(tag="blue") == [ended, waiting]
    assert _found(tag="nigh") == []
    assert _found(model=model) == [ended, waiting]
    assert _found(created_after=created) == [ended]
    assert _found(dataset=books.dataset, status="queued") == [waiting]


def test_the_status_to_filter_by_is_the_one_that_users_see(books: Books) -> None:
    asked = {
        "running": books.submit(),
        "pausing": books.submit(),
        "cancelling": books.submit(),
    }
    for _ in asked:
        books.claim()
    with transaction() as session:
        jobs.pause(session, asked["pausing"])
        jobs.cancel(session, asked["cancelling"])

    assert {status: _found(status=status) for status in asked} == {
        status: [job_id] for status, job_id in asked.items()
    }
    with reading() as session:
        counts = jobs.counts(session)
    assert {status: counts[status] for status in asked} == dict.fromkeys(asked, 1)


def test_the_place_in_the_queue_follows_priority_and_age(books: Books) -> None:
    second, running, third = books.submit(), books.submit(priority=9), books.submit()
    books.claim()
    first = books.submit(priority=1)

    with reading() as session:
        rows = [jobs.get(session, j) for j in (first, second, third, running)]
        places = jobs.positions(session, rows)
        none = jobs.positions(session, rows[3:])

    assert (places, none) == ({first: 1, second: 2, third: 3}, {})


def _found(**filters: object) -> list[str]:
    with reading() as session:
        rows = jobs.page(session, Filters(**filters), 10).rows  # type: ignore[arg-type]
    return [job.id for job in rows]


def _walk(limit: int) -> list[Page[Job]]:
    pages: list[Page[Job]] = []
    cursor: str | None = None
    while cursor is not None or not pages:
        with reading() as session:
            pages.append(jobs.page(session, Filters(), limit, cursor))
        cursor = pages[-1].next_cursor
    return pages
