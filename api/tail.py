"""Following jobs live: one query tells all streams at once whether they have news.

A stream holds no database session while it waits, and a thousand of them ask the
database no more often than one.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from api.errors import Unavailable
from api.telemetry import Telemetry
from catalog import watch
from catalog.errors import CatalogError
from catalog.session import reading

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

POLL_SECONDS = 0.25
PATIENCE_SECONDS = 2.0
"""Between two tries while the database does not answer."""
READERS = 4
"""Threads that read for streams, apart from those that answer requests."""


class Follower:
    """One stream's wish to be woken when its job has something new."""

    def __init__(self) -> None:
        self.news = asyncio.Event()

    async def wait(self) -> None:
        """Return when there is something new since the last call."""
        await self.news.wait()
        self.news.clear()


class Tail:
    """Wakes every stream whose job has moved on."""

    def __init__(self, most: int, telemetry: Telemetry) -> None:
        self._most = most
        self._telemetry = telemetry
        self._followers: dict[str, set[Follower]] = defaultdict(set)
        self._marks: dict[str, watch.Mark] = {}
        self._task: asyncio.Task[None] | None = None
        self._limiter: CapacityLimiter | None = None
        self._open = 0

    def admit(self) -> None:
        """Refuse one more stream where there are enough.

        Raises:
            Unavailable: as many streams are open as the operator allows.
        """
        if self._open >= self._most:
            raise Unavailable(
                f"{self._most:,} event streams are open, which is all there may be;"
                " ask for the list of events instead",
                code="too_many_streams",
                retry_seconds=5,
            )

    @asynccontextmanager
    async def follow(self, job_id: str) -> AsyncIterator[Follower]:
        """Give a follower of a job for as long as a stream is open."""
        follower = Follower()
        self._followers[job_id].add(follower)
        self._open += 1
        self._telemetry.streams.set(self._open)
        if self._task is None:
            self._task = asyncio.create_task(self._watch())
        try:
            yield follower
        finally:
            self._open -= 1
            self._telemetry.streams.set(self._open)
            self._followers[job_id].discard(follower)
            if not self._followers[job_id]:
                del self._followers[job_id]
                self._marks.pop(job_id, None)

    async def read(self, function: Callable[..., Answer], *given: object) -> Answer:
        """Run a short query in one of the threads kept for streams."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(READERS)
        return await to_thread.run_sync(
            partial(function, *given), limiter=self._limiter
        )

    async def _watch(self) -> None:
        while self._followers:
            try:
                await self._look()
                await asyncio.sleep(POLL_SECONDS)
            except CatalogError as error:
                log.warning("event streams wait: %s", error)
                await asyncio.sleep(PATIENCE_SECONDS)
        self._task = None

    async def _look(self) -> None:
        marks = await self.read(_marks, list(self._followers))
        for job_id, mark in marks.items():
            if self._marks.get(job_id) == mark or job_id not in self._followers:
                continue
            self._marks[job_id] = mark
            for follower in self._followers[job_id]:
                follower.news.set()


def _marks(job_ids: list[str]) -> dict[str, watch.Mark]:
    with reading() as session:
        return watch.marks(session, job_ids)
