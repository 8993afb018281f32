"""What a worker's pool child does: it takes jobs, supervises them, keeps a spare warm.

All of it happens in the child's main thread, because trainers die with the thread that
started them. Its death costs the attempt under way; the child that replaces it frees
that job before it takes another.
"""

import logging
import time

from catalog import folders, jobs, models, workers
from catalog.claims import Claim
from catalog.errors import DatabaseUnavailable, NotFound
from catalog.session import reading, transaction
from worker.attempt_log import AttemptLog
from worker.device import Device
from worker.exports import Export, Exports
from worker.flags import SharedFlags
from worker.incarnation import notes_of
from worker.processes import end_strays
from worker.queue import send
from worker.requested_exports import AT_ONCE, RequestedExport, take
from worker.settings import WorkerSettings
from worker.spare import Spare
from worker.supervise import Supervision
from worker.template import PATIENCE_SECONDS

log = logging.getLogger(__name__)

CLAIM_SECONDS = 60.0
"""How long one hint is tried while the database is away; the sweep sends another."""
LAST_EXPORT_SECONDS = 5.0
"""How long a draining worker waits for graphs: the sweep asks for them again."""
STRAY_SECONDS = 1.0
"""How long the next spare is waited for before strays are told from it."""


class PoolChild:
    """The one process of a worker that supervises trainers."""

    def __init__(
        self, settings: WorkerSettings, device: Device, flags: SharedFlags
    ) -> None:
        self._settings, self._device, self._flags = settings, device, flags
        self._spare = Spare(settings, device, notes_of(settings.worker_name))
        self._exports = Exports()
        self._has_released = False

    def begin(self) -> None:
        """Free what a killed predecessor held, and warm a spare."""
        self._flags.hold(None)
        self._spare.warm()
        self._release()

    def look(self) -> None:
        """Take and carry out the best jobs, one by one, until there is none."""
        while not self._flags.draining and self._release():
            self._await_spare()
            claim = self._claim()
            if claim is None:
                break
            self._flags.hold(claim.job_id)
            try:
                self._carry_out(claim)
            finally:
                self._flags.hold(None)
                self._end_strays()
        if self._flags.draining:
            self._exports.wait(LAST_EXPORT_SECONDS)
        else:
            self._spare.warm()

    def export(self, model_id: str) -> None:
        """Have the graph of a model written that nobody finished.

        Then the forms that people asked for, of this model or any other.
        """
        self._export_graph(model_id)
        while not self._flags.draining and len(self._exports.pids) < AT_ONCE:
            seconds = self._settings.export_seconds
            taken = take(self._settings.worker_name, seconds)
            if taken is None:
                return
            form = RequestedExport(taken, self._spare.take(), seconds)
            form.begin()
            self._exports.watch(form.finish, taken.model_id, form.trainer.pid)
            self._spare.warm()

    def _export_graph(self, model_id: str) -> None:
        with reading() as session:
            try:
                model = models.get(session, model_id)
            except NotFound:
                return
        if model.exported_at is None and not self._flags.draining:
            folder = folders.absolute(model.folder)
            trainer = self._spare.take()
            trainer.say({"export": {"model": str(folder)}})
            beside, seconds = AttemptLog.beside(folder), self._settings.export_seconds
            self._exports.start(
                Export(model_id, folder, trainer, beside, seconds, is_last_try=True)
            )
            self._spare.warm()

    def close(self) -> None:
        """End the spare."""
        self._spare.end()

    def _carry_out(self, claim: Claim) -> None:
        trainer = self._spare.take()
        supervision = Supervision(
            claim,
            trainer,
            settings=self._settings,
            device=self._device,
            flags=self._flags,
            meanwhile=self._spare.warm,
        )
        model_id = supervision.run()
        if model_id is not None:
            trainer.say({"command": "export"})
            made = folders.absolute(folders.model(claim.job_id, claim.attempt))
            seconds = self._settings.export_seconds
            self._exports.start(
                Export(model_id, made, trainer, supervision.log, seconds)
            )

    def _await_spare(self) -> None:
        """Let the first spare arrive before a claim: no lease runs meanwhile."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self._spare.is_coming(0.5):
            if self._flags.draining or time.monotonic() > until:
                return

    def _claim(self) -> Claim | None:
        """Take the best job; wait a while for a database that does not answer."""
        until = time.monotonic() + CLAIM_SECONDS
        while not self._flags.draining and time.monotonic() < until:
            try:
                with transaction() as session:
                    return jobs.claim(session, self._settings.worker_name)
            except DatabaseUnavailable as away:
                log.warning("cannot look: %s", away)
                time.sleep(1)
        return None

    def _release(self) -> bool:
        """Free the jobs of the child before this one, once; False if it must wait."""
        if self._has_released:
            return True
        try:
            with transaction() as session:
                freed = workers.release(session, self._settings.worker_name)
        except DatabaseUnavailable as away:
            log.warning("cannot free what was held: %s", away)
            return False
        self._has_released = True
        for job_id in freed:
            log.warning("freed %s, whose supervisor died", job_id)
            send(job_id)
        return True

    def _end_strays(self) -> None:
        # A copy that is being made is our child before we hear of it.
        if not self._spare.has_settled(STRAY_SECONDS):
            return  # after the next attempt, then
        ended = end_strays(self._spare.pids | self._exports.pids)
        if ended:
            log.warning("ended %d processes that a trainer left behind", ended)
