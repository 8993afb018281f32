"""What one attempt writes into the ledger, always under its fence.

Entries go in batches, at most a second old; the same transaction renews the lease and
brings back what people want of the job. While the database is out of reach the attempt
goes on and its entries wait on the disk.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from catalog import claims, events, folders, jobs, metrics, samples, wishes
from catalog.claims import Claim
from catalog.errors import DatabaseUnavailable, Fenced
from catalog.session import reading, transaction
from catalog.tables import Desired
from worker.journal import BATCH, Batch, Journal
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)

Act = Callable[[Session], None]


class Record:
    """One attempt's side of the ledger."""

    def __init__(self, claim: Claim, settings: WorkerSettings) -> None:
        self.claim = claim
        self.desired = Desired.RUN
        self.fenced = False
        """Whether a write was refused: the job is somebody else's."""
        self.wants_checkpoint = False
        """Whether somebody asked for a checkpoint that nobody has passed on yet."""
        self._heard_wish = 0
        attempt = folders.attempt(claim.job_id, claim.attempt)
        spool = folders.absolute(attempt) / "spool.jsonl"
        self.journal = Journal(spool, settings.spool_bytes)
        self._settings = settings
        self._progress: Mapping[str, Any] | None = None
        self._has_told_progress = False
        self._acts: deque[tuple[Act, Callable[[], None]]] = deque()
        self._look_at = 0.0
        self._beat_at = time.monotonic() + settings.heartbeat_seconds
        self._pause = settings.desired_seconds
        self._longest_pause = max(settings.heartbeat_seconds, 2 * self._pause)

    def progress(self, told: Mapping[str, Any]) -> None:
        """Note how far the attempt is; the first is written at once."""
        if not self._has_told_progress:
            self._has_told_progress, self._look_at = True, 0.0
        self._progress = told

    def event(self, kind: str, content: dict[str, Any]) -> None:
        """Note an event of the job's history."""
        self.journal.event(kind, content)

    def seconds_to_next(self) -> float:
        """Return how long nothing is due."""
        if len(self.journal) >= BATCH and self._pause <= self._settings.desired_seconds:
            return 0.0
        return max(0.0, self._look_at - time.monotonic())

    def keep_up(self) -> None:
        """Write what waits and learn what people want, if the time for it has come."""
        if self.seconds_to_next() > 0:
            return
        self._reach(self._write_or_look)

    def act(self, act: Act, then: Callable[[], None] = lambda: None) -> None:
        """Write something after all that waits, and do `then` once it is committed."""
        self._acts.append((act, then))
        self._look_at = min(self._look_at, time.monotonic() + self._pause_left())

    def settle(self, act: Act, give_up: Callable[[], bool]) -> bool:
        """Write how the attempt ended, however long the database is away.

        Returns False if the fence refused it or `give_up` said so: then the lease
        runs out and the sweep frees the job.
        """
        self._acts.append((act, lambda: None))
        while not self._reach(self._write):
            if self.fenced or give_up():
                return False
            time.sleep(min(self._pause, 1.0))
        return True

    def _pause_left(self) -> float:
        return self._pause if self._pause > self._settings.desired_seconds else 0.0

    def _write_or_look(self) -> None:
        waits = self.journal or self._acts or self._progress is not None
        if waits or time.monotonic() >= self._beat_at:
            self._write()
        else:
            with reading() as session:
                self.desired = claims.desired(session, self.claim)
                self._hear_wishes(session)

    def _write(self) -> None:
        is_last = False
        while not is_last:
            batch = self.journal.batch()
            is_last = batch.entries == len(self.journal)
            progress, acts = self._progress, list(self._acts) if is_last else []
            with transaction() as session:
                self.desired = jobs.beat(session, self.claim, progress)
                self._hear_wishes(session)
                self._enter(session, batch)
                for act, _ in acts:
                    act(session)
            self.journal.forget(batch)
            if self._progress is progress:
                self._progress = None
            self._beat_at = time.monotonic() + self._settings.heartbeat_seconds
            for _, then in acts:
                self._acts.popleft()
                then()

    def _hear_wishes(self, session: Session) -> None:
        newest = wishes.newest(session, self.claim, self._heard_wish)
        if newest is not None:
            self._heard_wish, self.wants_checkpoint = newest, True

    def _enter(self, session: Session, batch: Batch) -> None:
        if batch.metrics:
            metrics.add(session, self.claim, batch.metrics)
        for figures in batch.samples:
            samples.add(session, self.claim, figures)
        for kind, content in batch.events:
            events.add(session, self.claim.job_id, kind, content, self.claim.attempt)

    def _reach(self, attempt: Callable[[], None]) -> bool:
        try:
            attempt()
        except Fenced as refused:
            log.warning("write refused: %s", refused)
            self.fenced = True
            return False
        except DatabaseUnavailable as away:
            if self._pause <= self._settings.desired_seconds:
                log.warning("job %s goes on without: %s", self.claim.job_id, away)
            self.journal.spill()
            self._pause = min(2 * self._pause, self._longest_pause)
            return False
        else:
            self._pause = self._settings.desired_seconds
            return True
        finally:
            self._look_at = time.monotonic() + self._pause
