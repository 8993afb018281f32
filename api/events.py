"""GET /v1/jobs/{id}/events: a job's history as a list, or live as a stream.

The id of a message in the stream is ``<event>-<metric>``: how far both histories had
been told. Whoever reconnects with it as ``Last-Event-ID`` misses nothing and hears
nothing twice; the bare id of an event works too.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.answers import json_answer
from api.deps import Limits
from api.errors import InvalidInput
from api.paging import Cursor, Limit
from api.problems import Fault, problems
from api.tail import Tail
from catalog import events, jobs, watch
from catalog.errors import DatabaseUnavailable, MalformedCursor
from catalog.session import reading
from catalog.tables import TERMINAL, Event, Metric

router = APIRouter(prefix="/jobs/{job_id}/events", tags=["jobs"])

STREAM = "text/event-stream"
BATCH = 500
SEND_SECONDS = 30
"""How long a client may leave a message unread before its stream ends."""
DIGITS = 18
LAST_ID = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")


class EventView(BaseModel):
    """One line of a job's history."""

    model_config = ConfigDict(use_attribute_docstrings=True, from_attributes=True)

    id: int
    """Grows along the history."""
    type: str
    """status, interrupted, checkpoint, diagnostic or log."""
    at: datetime
    """When it happened, by the database's clock."""
    attempt: int | None
    """The attempt it belongs to."""
    data: dict[str, Any]
    """What happened."""


class EventsView(BaseModel):
    """A page of a job's history, oldest first."""

    object: str = "list"
    data: list[EventView]
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True)
class Place:
    """How far a stream has told the two histories of a job."""

    event: int
    metric: int

    def __str__(self) -> str:
        return f"{self.event}-{self.metric}"


@dataclass(frozen=True)
class News:
    """What a stream sends next."""

    messages: Sequence[ServerSentEvent]
    place: Place
    reach: tuple[int, int]
    """The attempt, and the step of its newest value: older ones need no second look."""
    is_all: bool
    """Whether nothing was left for another look."""
    ended: str | None
    """The job's terminal status, once everything has been told."""


@router.get(
    "",
    response_model=EventsView,
    responses=problems(404, 422, 503)
    | {200: {"content": {STREAM: {"schema": {"type": "string"}}}}},
)
async def list_events(
    request: Request,
    job_id: str,
    limits: Limits,
    accept: Annotated[str, Header()] = "",
    last_event_id: Annotated[
        str | None,
        Header(max_length=64, description="Go on after this message of the stream."),
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """List what happened to a job; with `Accept: text/event-stream`, follow it live."""
    tail: Tail = request.app.state.tail
    if STREAM not in accept:
        return await run_in_threadpool(_page, job_id, limit, cursor)
    tail.admit()
    start = await tail.read(_start, job_id, last_event_id)
    return EventSourceResponse(
        _stream(tail, job_id, start),
        ping=limits.keepalive_seconds,
        sep="\n",
        send_timeout=SEND_SECONDS,
    )


def _page(job_id: str, limit: int, cursor: str | None) -> Response:
    if cursor is not None and not (cursor.isdecimal() and len(cursor) <= DIGITS):
        raise MalformedCursor(cursor)
    with reading() as session:
        job = jobs.get(session, job_id)
        rows = events.after(session, job.id, int(cursor or 0), limit + 1)
    kept, has_more = rows[:limit], len(rows) > limit
    return json_answer(
        EventsView(
            data=[EventView.model_validate(row) for row in kept],
            has_more=has_more,
            next_cursor=str(kept[-1].id) if has_more else None,
        )
    )


def _start(job_id: str, last_event_id: str | None) -> Place:
    """Return where a stream begins: after the last message that arrived."""
    found = LAST_ID.fullmatch(last_event_id) if last_event_id else None
    if last_event_id and found is None:
        detail = f"{last_event_id!r} is not the id of a message of this stream"
        pointer = "/header/last-event-id"
        fault = Fault(pointer=pointer, code="malformed_id", detail=detail)
        raise InvalidInput([fault])
    with reading() as session:
        job = jobs.get(session, job_id)
        if found is None:
            return Place(0, 0)
        event = int(found[1])
        if found[2] is not None:
            return Place(event, int(found[2]))
        return Place(event, watch.newest_metric(session, job.id, event))


async def _stream(
    tail: Tail, job_id: str, place: Place
) -> AsyncIterator[ServerSentEvent]:
    """Yield a job's history from a place on until it has ended."""
    reach = (0, 0)
    async with tail.follow(job_id) as follower:
        while True:
            try:
                news = await tail.read(_news, job_id, place, reach)
            except DatabaseUnavailable as error:
                await asyncio.sleep(error.retry_after_seconds)
                continue
            for message in news.messages:
                yield message
            place, reach = news.place, news.reach
            if news.ended is not None:
                yield _message(place, "done", {"status": news.ended})
                return
            if news.is_all:
                await follower.wait()


def _news(job_id: str, place: Place, reach: tuple[int, int]) -> News:
    """Read what follows a place.

    The status is read before the events and the events before the values: whoever
    sees the end of the job then also sees everything that was written before it.
    """
    with reading() as session:
        job = jobs.get(session, job_id)
        has_ended = job.status in TERMINAL
        lines = events.after(session, job_id, place.event, BATCH)
        has_ended = has_ended or any(line.terminal for line in lines)
        lowest = reach[1] if reach[0] == job.attempt and not has_ended else 0
        values = watch.metrics_after(session, job_id, place.metric, lowest, BATCH)
        status, attempt = job.status, job.attempt
    is_all = len(lines) < BATCH and len(values) < BATCH
    messages, place = _merged(lines, values, place)
    ended = next((str(line.data["status"]) for line in lines if line.terminal), None)
    return News(
        messages=messages,
        place=place,
        reach=(attempt, values[-1].step if values else lowest),
        is_all=is_all,
        ended=(ended or status.value) if has_ended and is_all else None,
    )


def _merged(
    lines: Sequence[Event], values: Sequence[Metric], place: Place
) -> tuple[list[ServerSentEvent], Place]:
    """Put two histories into one; what lies beyond a cut one waits for its rest."""
    groups = [list(rows) for _, rows in groupby(values, lambda v: (v.attempt, v.step))]
    if len(lines) == BATCH:
        groups = [rows for rows in groups if rows[-1].at <= lines[-1].at]
    if len(values) == BATCH:
        lines = [line for line in lines if line.at <= values[-1].at]
    messages = []
    for line in lines:
        while groups and (line.terminal or groups[0][0].at <= line.at):
            rows = groups.pop(0)
            place = Place(place.event, rows[-1].id)
            messages.append(_values(place, rows))
        place = Place(line.id, place.metric)
        shown = EventView.model_validate(line).model_dump(mode="json")
        messages.append(_message(place, line.type, shown))
    for rows in groups:
        place = Place(place.event, rows[-1].id)
        messages.append(_values(place, rows))
    return messages, place


def _values(place: Place, rows: Sequence[Metric]) -> ServerSentEvent:
    first = rows[0]
    told = {
        "type": "metrics",
        "at": f"{first.at:%Y-%m-%dT%H:%M:%S.%f}Z",
        "attempt": first.attempt,
        "data": {
            "rows": [
                {"step": v.step, "epoch": v.epoch, "name": v.name, "value": v.value}
                for v in rows
            ]
        },
    }
    return _message(place, "metrics", told)


def _message(place: Place, kind: str, told: dict[str, Any]) -> ServerSentEvent:
    text = json.dumps(told, separators=(",", ":"))
    return ServerSentEvent(data=text, event=kind, id=str(place))
