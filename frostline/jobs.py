"""The verbs for jobs, and how to follow one."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from httpx_sse import EventSource, ServerSentEvent

from frostline.answers import Event, Job, Page
from frostline.connection import CONNECT_SECONDS, Connection
from frostline.errors import NotSucceeded, TooSlow, Unavailable, Unreachable
from frostline.paths import segment, wanted
from frostline.specs import SpecText
from frostline.submitting import handed_in, tried

SILENCE = httpx.Timeout(60.0, connect=CONNECT_SECONDS)
"""The server says at least a comment several times a minute on a living stream."""
PATIENCE_SECONDS = 60.0
"""How long a broken stream is tried again before the follower gives up."""
FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 5.0
LOOK_SECONDS = (0.05, 1.0)
"""How often a waiting client looks: at first, and after a while."""


class Jobs:
    """``/v1/jobs``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def submit(
        self, spec: Mapping[str, Any] | SpecText, idempotency_key: str | None = None
    ) -> Job:
        """Hand a spec in; the job that is returned will be trained, or say why not.

        Without a key of the caller's own one is made up, so that a request whose answer
        was lost is repeated without making a second job.
        """
        found = handed_in(self._connection, "/v1/jobs", spec, idempotency_key)
        return Job.model_validate(found)

    def dry_run(self, spec: Mapping[str, Any] | SpecText) -> Mapping[str, Any]:
        """Return what a spec comes to: defaults, layers, memory, warnings."""
        return tried(self._connection, "/v1/jobs", spec)

    def get(self, job: str) -> Job:
        """Return a job as it is now."""
        return Job.model_validate(self._connection.json("GET", self._path(job)))

    def cancel(self, job: str) -> Job:
        """Stop a job for good: at once if it is queued, else at its next step."""
        return self._ask(job, "cancel")

    def pause(self, job: str) -> Job:
        """Stop a job at its next step, keeping everything it needs to go on."""
        return self._ask(job, "pause")

    def resume(self, job: str) -> Job:
        """Let a paused job go on where it was."""
        return self._ask(job, "resume")

    def checkpoint(self, job: str) -> Job:
        """Ask a running job to write a checkpoint now."""
        return self._ask(job, "checkpoint")

    def retry(self, job: str) -> Job:
        """Make a new job with the spec of one that ended."""
        return self._ask(job, "retry")

    def clone(self, job: str, patch: Mapping[str, Any]) -> Job:
        """Make a new job whose spec differs by a JSON Merge Patch."""
        path = f"{self._path(job)}/clone"
        return Job.model_validate(self._connection.json("POST", path, json=patch))

    def metrics(self, job: str, **options: Any) -> list[Mapping[str, Any]]:
        """Return the rows of a job's history: step, epoch, name, value, at."""
        path = f"{self._path(job)}/metrics"
        found = self._connection.json("GET", path, params=wanted(**options))
        rows: list[Mapping[str, Any]] = found["data"]
        return rows

    def layers(self, job: str, history: int | None = None) -> list[Mapping[str, Any]]:
        """Return the layers with the health of each, and on request its history."""
        path = f"{self._path(job)}/layers"
        found = self._connection.json("GET", path, params=wanted(history=history))
        rows: list[Mapping[str, Any]] = found["data"]
        return rows

    def logs(self, job: str) -> str:
        """Return what the training process wrote."""
        headers = {"Accept": "text/plain"}
        path = f"{self._path(job)}/logs"
        return self._connection.request("GET", path, headers=headers).text

    def page(
        self, limit: int | None = None, cursor: str | None = None, **filters: Any
    ) -> Page[Job]:
        """Return one page of the list, newest first."""
        asked = wanted(limit=limit, cursor=cursor, **filters)
        found = self._connection.json("GET", "/v1/jobs", params=asked)
        return Page[Job].model_validate(found)

    def each(self, **filters: Any) -> Iterator[Job]:
        """Go through all jobs, newest first."""
        cursor = None
        while True:
            page = self.page(cursor=cursor, **filters)
            yield from page.data
            if not page.has_more:
                return
            cursor = page.next_cursor

    def follow(self, job: str, after: int | str | None = None) -> Iterator[Event]:
        """Go through a job's events, those to come as well, until the job has ended.

        A connection that breaks is made again, and goes on after the last event that
        arrived, so none is missed and none comes twice.
        """
        delay = FIRST_DELAY_SECONDS
        broken_at: float | None = None
        while True:
            try:
                for event in self._stream(job, after):
                    broken_at, delay = None, FIRST_DELAY_SECONDS
                    after = event.id if event.id is not None else after
                    yield event
                    if event.type == "done":
                        return
            except (Unreachable, Unavailable):
                broken_at = broken_at or time.monotonic()
                if time.monotonic() - broken_at > PATIENCE_SECONDS:
                    raise
            time.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY_SECONDS)

    def wait(self, job: str, seconds: float | None = None) -> Job:
        """Return a job once it has succeeded; raise if it ends otherwise."""
        started = time.monotonic()
        pause, longest = LOOK_SECONDS
        while not (found := self.get(job)).ended:
            if seconds is not None and time.monotonic() - started > seconds:
                raise TooSlow(job, found.status, seconds)
            time.sleep(pause)
            pause = min(1.2 * pause, longest)
        if found.status != "succeeded":
            raise NotSucceeded(job, found.status, found.reason, found.error)
        return found

    def _path(self, job: str) -> str:
        return f"/v1/jobs/{segment(job)}"

    def _ask(self, job: str, verb: str) -> Job:
        path = f"{self._path(job)}/{verb}"
        return Job.model_validate(self._connection.json("POST", path))

    def _stream(self, job: str, after: int | str | None) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        path = f"{self._path(job)}/events"
        with self._connection.stream(path, headers=headers, timeout=SILENCE) as answer:
            for sent in EventSource(answer).iter_sse():
                yield event_of(sent)


def event_of(sent: ServerSentEvent) -> Event:
    """Read one event of the stream."""
    found = json.loads(sent.data) if sent.data else {}
    whole = isinstance(found, dict) and "type" in found and "data" in found
    fields = found if whole else {"type": sent.event, "data": found}
    return Event.model_validate({**fields, "id": sent.id or None, "type": sent.event})
