"""One attempt, from order to end: a loop over the trainer's pipes and the clock.

The loop never waits long for anything: not for the trainer (its pipes do not block),
not for hashing (a thread reads files back), not for the database (short timeouts; what
waits is kept). It decides; `Record` writes, `Hearing` listens, `endings` words the end.
"""

import logging
import select
import shutil
import time
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from catalog import checkpoints, events, folders
from catalog.claims import Claim
from catalog.tables import Desired
from worker import endings, frames
from worker.attempt_log import AttemptLog
from worker.death import out_of_memory_kills
from worker.device import Device
from worker.flags import SharedFlags
from worker.hearing import Hearing
from worker.order import order_for
from worker.pace import Pace
from worker.readback import Readback
from worker.record import Record
from worker.settings import WorkerSettings
from worker.trainer_process import TrainerProcess
from worker.verify import FileFact, NotAsTold, checkpoint_is, files_are

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.25
LAST_WORDS_SECONDS: Final = 1.0
"""How long pipes are read after the trainer's death: a grandchild may hold them."""
BUSY_SECONDS: Final = 3.0
"""How long a starting trainer has the processor for itself."""
STACK_SECONDS: Final = 3.0
"""How long a hung trainer may take to write its stacks down."""


class Wish(StrEnum):
    """What the trainer was asked to do before its end."""

    STOP = "stop"
    """Write a checkpoint and end."""
    CANCEL = "cancel"
    ABORT = "abort"
    """Write the stacks down and die: it hangs."""


class Supervision:
    """Carries one claimed attempt to its end."""

    def __init__(
        self,
        claim: Claim,
        trainer: TrainerProcess,
        *,
        settings: WorkerSettings,
        device: Device,
        flags: SharedFlags,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        self.claim, self.trainer = claim, trainer
        self.record = Record(claim, settings)
        self.log = AttemptLog(
            folders.absolute(folders.log(claim.job_id, claim.attempt)),
            settings.log_bytes,
        )
        self.model_id: str | None = None
        """The model that was made, if one was: its trainer may export it."""
        self._settings, self._device, self._flags = settings, device, flags
        self._pace = Pace(settings.stall_seconds)
        self._hearing = Hearing(trainer, self.record, self._pace, self.log)
        self._readback = Readback()
        self._is_ordered = False
        self._began_at = time.monotonic()
        self._memory_kills = out_of_memory_kills()
        self._meanwhile: Callable[[], None] | None = meanwhile
        """What to do once while the trainer is at work: warm the next one."""
        self._wish: Wish | None = None
        self._deadline: float | None = None
        self._dead_since: float | None = None
        self._result_told = self._result_good = False
        self._refused: str | None = None
        """Why what the trainer told is not believed."""

    def run(self) -> str | None:
        """Supervise until the attempt has ended; return the id of the model made.

        The trainer is alive afterwards only if it made a model, which it can export.
        """
        try:
            self._open()
            while not self._is_over():
                self._wait()
                self._hearing.listen()
                self._check_what_was_told()
                self._readback.collect()
                self.record.keep_up()
                self._obey()
                self._use_the_time()
            self._end()
        finally:
            if self.model_id is None:
                self.trainer.end()
                self.log.close()
            self._readback.close()
        return self.model_id

    def _open(self) -> None:
        """Give the order, once the checkpoint that it starts from was read back."""
        start = self.claim.checkpoint
        if start is None:
            self._give_order(None)
            return
        place = folders.absolute(start)
        told = self.claim.checkpoint_sha256 or ""
        self._readback.check(
            partial(checkpoint_is, place, place.parent, told),
            lambda found: (
                self._give_order(start) if found is None else self._break(found)
            ),
        )

    def _give_order(self, checkpoint: str | None) -> None:
        if self._wish is None:
            self._is_ordered = True
            order = order_for(self.claim, checkpoint, self._settings, self._device)
            self.trainer.say(order)

    def _break(self, found: Exception) -> None:
        """Give up on the checkpoint: the next claim starts from the one before it."""
        folder = self.claim.checkpoint
        assert folder is not None
        error = f"checkpoint at step {self.claim.checkpoint_step} is broken: {found}"

        def write(session: Session) -> None:
            checkpoints.mark_broken(session, self.claim.job_id, folder)
            told = {"folder": Path(folder).name, "error": error}
            events.add(
                session,
                self.claim.job_id,
                "checkpoint_broken",
                told,
                self.claim.attempt,
            )

        self.record.act(write)
        self._refused = error
        self._wish = self._wish or Wish.STOP

    def _wait(self) -> None:
        writes = [self.trainer.stdin] if self.trainer.has_outgoing else []
        reads = [*self._hearing.descriptors(), self._readback.descriptor]
        seconds = min(TICK_SECONDS, self.record.seconds_to_next())
        if self._dead_since is not None or self._hearing.stream_ended:
            seconds = min(seconds, 0.02)
        select.select(reads, writes, [], seconds)
        if writes:
            self.trainer.flush()

    def _check_what_was_told(self) -> None:
        while self._hearing.checkpoints:
            told = self._hearing.checkpoints.popleft()
            mine = folders.checkpoints(self.claim.job_id, self.claim.attempt)
            check = partial(
                checkpoint_is,
                Path(told.folder),
                folders.absolute(mine),
                told.manifest_sha256,
            )
            self._readback.check(check, partial(self._checkpoint_checked, told))
        result = self._hearing.result
        if result is not None and not self._result_told:
            self._result_told = True
            mine = folders.model(self.claim.job_id, self.claim.attempt)
            facts = {n: FileFact(f.bytes, f.sha256) for n, f in result.files.items()}
            place = folders.absolute(mine)
            self._readback.check(
                partial(files_are, Path(result.folder), place, facts),
                self._result_checked,
            )

    def _checkpoint_checked(
        self, told: frames.Checkpoint, found: NotAsTold | OSError | None
    ) -> None:
        if found is not None:
            self.record.event(
                "checkpoint_failed", {"step": told.step, "error": str(found)}
            )
            return
        folder = (
            Path(told.folder).resolve().relative_to(folders.absolute(".").resolve())
        )
        row = told.model_dump(exclude={"event"}) | {"folder": str(folder)}
        dropped: list[str] = []

        def write(session: Session) -> None:
            known = checkpoints.of_job(session, self.claim.job_id)
            if str(folder) not in {one.folder for one in known}:
                dropped[:] = checkpoints.add(session, self.claim, row)

        self.record.act(write, lambda: self._delete(dropped))

    def _delete(self, dropped: list[str]) -> None:
        """Delete checkpoints that a committed newer one replaces, beside the loop."""
        gone = list(dropped)

        def delete() -> None:
            for folder in gone:
                shutil.rmtree(folders.absolute(folder), ignore_errors=True)

        if gone:
            self._readback.check(
                delete, lambda _: self.record.act(partial(_forget, gone))
            )

    def _result_checked(self, found: NotAsTold | OSError | None) -> None:
        self._result_good = found is None
        if found is not None:
            self._refused = f"the trainer's result is not what it said: {found}"

    def _obey(self) -> None:
        """Act on what people, the operator and the clock want."""
        now = time.monotonic()
        if self._deadline is not None and now > self._deadline:
            self.trainer.kill()
        wants_stop = self.record.desired is Desired.PAUSE or self._flags.draining
        if self.record.desired is Desired.CANCEL:
            if self._wish is not Wish.CANCEL:
                self._ask(Wish.CANCEL, self._settings.cancel_seconds)
                self.trainer.terminate()
        elif self._wish is not None or self._hearing.result is not None:
            return
        elif wants_stop:
            self._ask(Wish.STOP, self._settings.drain_seconds)
            self._stop()
        elif self._pace.has_stalled:
            self._ask(Wish.ABORT, STACK_SECONDS)
            self.trainer.abort()
        elif self.record.wants_checkpoint:
            self.record.wants_checkpoint = False
            self.trainer.say({"command": "checkpoint"})

    def _stop(self) -> None:
        """Have the trainer write a checkpoint and end; without an order just end it."""
        if self._is_ordered:
            self.trainer.say({"command": "stop"})
        else:
            self.trainer.kill()

    def _use_the_time(self) -> None:
        """Warm the next trainer once this one needs no more help to get going."""
        if self._meanwhile is None:
            return
        if self._hearing.step or time.monotonic() - self._began_at > BUSY_SECONDS:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()

    def _ask(self, wish: Wish, seconds: float) -> None:
        self._wish, self._deadline = wish, time.monotonic() + seconds
        self.log.say(f"asked the trainer to {wish}, it has {seconds:g} s")

    def _is_over(self) -> bool:
        decided = self.record.fenced or self._refused is not None or self._result_good
        if decided:
            return True
        if not self.trainer.has_exited:
            return False
        now = time.monotonic()
        self._dead_since = self._dead_since or now
        silent = self._hearing.stream_ended and self._hearing.log_ended
        heard = silent or now - self._dead_since > LAST_WORDS_SECONDS
        return heard and not self._readback.busy and not self._hearing.checkpoints

    def _end(self) -> None:
        if self.record.fenced:
            self._count_refusal()
        elif self._result_good:
            self._succeed()
        else:
            self._give_up()

    def _succeed(self) -> None:
        result = self._hearing.result
        assert result is not None
        made: list[str | None] = []

        def write(session: Session) -> None:
            made[:] = [endings.succeed(session, self.claim, result)]

        if self.record.settle(write, self._must_leave):
            self.model_id = made[0]
        elif self.record.fenced:
            self._count_refusal()

    def _give_up(self) -> None:
        """End the trainer, and say truthfully why there is no result."""
        exit_code = self.trainer.end()
        told = endings.Told(
            failed=self._hearing.failed,
            refused=self._refused,
            stopped=self._hearing.stopped,
            cancelling=self._wish is Wish.CANCEL,
            stopping=self._wish is Wish.STOP,
            stalled_seconds=self._pace.allowed_seconds
            if self._wish is Wish.ABORT
            else None,
            step=self._hearing.step,
            exit_code=exit_code,
            killed_by_us=self.trainer.killed_by_us,
            killed_for_memory=out_of_memory_kills() > self._memory_kills,
        )
        ending = endings.word(told)
        self.log.say(str(ending.error or ending.cause))
        if not self.record.settle(
            partial(endings.write, claim=self.claim, ending=ending), self._must_leave
        ):
            self._count_refusal()

    def _must_leave(self) -> bool:
        """Tell whether the worker stops and can wait for the database no longer."""
        return self._flags.draining and (
            self._deadline is None or time.monotonic() > self._deadline
        )

    def _count_refusal(self) -> None:
        if not self.record.fenced:
            return
        log.warning(
            "attempt %d of %s was fenced", self.claim.attempt, self.claim.job_id
        )
        self.trainer.end()
        endings.count_refusal(self._settings.worker_name)


def _forget(gone: list[str], session: Session) -> None:
    checkpoints.forget(session, gone)
