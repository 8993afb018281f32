"""One life of a named worker: it enters the ledger, beats there, and takes its leave.

A name belongs to one living process. Whoever starts under the name of a dead one ends
what that one left running and frees the jobs it held, at once instead of a lease later.
"""

import logging
import os
import platform
import time
from pathlib import Path

from catalog import folders, workers
from catalog.errors import DatabaseUnavailable, NotFound
from catalog.session import reading, transaction
from catalog.tables import Worker
from worker.device import Device
from worker.flags import SharedFlags
from worker.leftovers import Leftovers
from worker.processes import boot_id, is_alive, start_time
from worker.queue import send
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0


class NameIsAlive(Exception):
    """Another worker of that name lives."""

    def __init__(self, name: str, host: str, pid: int) -> None:
        super().__init__(
            f"a worker named {name!r} is running already on {host} as process {pid}; "
            "stop it, or set FROSTLINE_WORKER_NAME to another name"
        )
        self.name, self.host, self.pid = name, host, pid


class Incarnation:
    """This process, as the worker of its name."""

    def __init__(
        self, settings: WorkerSettings, device: Device, flags: SharedFlags
    ) -> None:
        self._settings, self._flags = settings, flags
        pid = os.getpid()
        self.identity = workers.Identity(
            name=settings.worker_name,
            host=platform.node(),
            pid=pid,
            pid_started=float(start_time(pid) or 0),
            boot_id=boot_id(),
            device=str(device),
            capacity={"threads": settings.threads, "gpu": device.gpu},
        )

    def enter(self) -> None:
        """Register, once the database answers; free what the dead one held.

        Raises:
            NameIsAlive: the name's process lives.
        """
        while True:
            try:
                self._refuse_if_alive()
                killed = Leftovers(notes_of(self.identity.name)).kill()
                with transaction() as session:
                    freed = workers.register(session, self.identity)
                break
            except DatabaseUnavailable as away:
                log.warning("the worker waits: %s", away)
                time.sleep(RETRY_SECONDS)
        if killed or freed:
            log.warning("ended %d trainers, freed %s", killed, freed or "no job")
        for job_id in freed:
            send(job_id)

    def beat(self) -> None:
        """Say that this worker lives and what it runs."""
        try:
            with transaction() as session:
                workers.beat(
                    session,
                    self.identity.name,
                    job_id=self._flags.job_id,
                    draining=self._flags.draining,
                )
        except NotFound:  # somebody removed the row; the next beat finds it again
            with transaction() as session:
                workers.register(session, self.identity)

    def leave(self) -> None:
        """Take leave, as far as the database answers."""
        try:
            with transaction() as session:
                freed = workers.retire(session, self.identity.name)
        except DatabaseUnavailable as away:
            log.warning("left without a word: %s", away)
            return
        for job_id in freed:
            send(job_id)

    def _refuse_if_alive(self) -> None:
        with reading() as session:
            known = session.get(Worker, self.identity.name)
            beats = {worker.name for worker in workers.live(session)}
        if known is None or known.retired_at is not None:
            return
        if known.host == self.identity.host:
            same_boot = known.boot_id == self.identity.boot_id
            lives = same_boot and is_alive(known.pid, int(known.pid_started))
            lives = lives and known.pid != self.identity.pid
        else:
            lives = known.name in beats
        if lives:
            raise NameIsAlive(known.name, known.host, known.pid)


def notes_of(name: str) -> Path:
    """Return the file in which a worker notes the trainers that it starts."""
    return folders.absolute("run") / f"trainers-{name}.json"
