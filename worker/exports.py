"""Trainers that have done their job and still write the graph that predictions use.

The worker asks ``{"command": "export"}`` of the trainer that made the model, or
``{"export": {"model": folder}}`` of any other; both answer ``exported``. The job is
over by then and its worker looks for the next one, so this happens in threads. A graph
that nobody finished is asked for once more by the sweep.
"""

import json
import logging
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog import models
from catalog.errors import DatabaseUnavailable
from catalog.session import transaction
from worker import frames
from worker.attempt_log import AttemptLog
from worker.death import signal_name
from worker.queue import send_export
from worker.trainer_process import TrainerProcess
from worker.verify import sha256_of

log = logging.getLogger(__name__)

GRAPH = "model.onnx"
GRAPH_FILES = (GRAPH, f"{GRAPH}.data", "model.sampled.onnx")
"""The graph, beside it what does not fit into one file, and the graph with dropout."""


@dataclass(frozen=True)
class Export:
    """One model whose graph is being written."""

    model_id: str
    folder: Path
    trainer: TrainerProcess
    log: AttemptLog
    seconds: float
    """How long it may take."""
    is_last_try: bool = False
    """Whether nobody should ask again if the trainer dies of it."""


class Exports:
    """The exports that this process has under way."""

    def __init__(self) -> None:
        self._threads: dict[int, threading.Thread] = {}
        """The threads that wait, by the process ids of their trainers."""

    def start(self, export: Export) -> None:
        """Wait for the graph in a thread, and go on."""
        self.watch(lambda: finish(export), export.model_id, export.trainer.pid)

    def watch(self, finishing: Callable[[], None], model_id: str, pid: int) -> None:
        """Wait in a thread for what the trainer `pid` writes, and go on.

        Then a hint is sent: forms may wait for the graph, or for their turn.
        """

        def run() -> None:
            try:
                finishing()
            finally:
                self._threads.pop(pid, None)
                send_export(model_id)

        thread = threading.Thread(target=run, name=f"export-{model_id}", daemon=True)
        self._threads[pid] = thread
        thread.start()

    @property
    def pids(self) -> set[int]:
        """Return the process ids of the trainers that export."""
        return set(self._threads)

    def wait(self, seconds: float) -> None:
        """Give the exports under way some time to end."""
        until = time.monotonic() + seconds
        for thread in list(self._threads.values()):
            thread.join(max(0.0, until - time.monotonic()))


def finish(export: Export) -> None:
    """Wait for the graph, reap the trainer, and write down what came of it."""
    told = listen(export.trainer, export.seconds, export.log)
    exit_code = export.trainer.end()
    graph = export.folder / GRAPH
    if isinstance(told, frames.Exported) and graph.is_file():
        report = told.model_dump(exclude={"event", "report"})
        _write(export, report, _facts(export.folder))
    elif isinstance(told, frames.Failed):
        _write(export, {"error": frames.printable(told.error)}, None)
    elif export.trainer.killed_by_us:
        error = f"the export took longer than {export.seconds:g} s"
        _write(export, {"error": error}, None)
    elif export.is_last_try:
        error = f"the export ended twice without a graph, with exit code {exit_code}"
        _write(export, {"error": error}, None)
    else:
        end = signal_name(-exit_code) if exit_code < 0 else f"exit code {exit_code}"
        export.log.say(f"the export ended with {end}; it will be tried again")
    export.log.close()


def listen(
    trainer: TrainerProcess, seconds: float, notes: AttemptLog
) -> frames.Frame | None:
    """Return the event that ends an export; None if the trainer died or took long."""
    until = time.monotonic() + seconds
    log_ended = False
    while (left := until - time.monotonic()) > 0:
        pipes = [trainer.stdout] if log_ended else [trainer.stdout, trainer.stderr]
        waits = [trainer.stdin] if trainer.has_outgoing else []
        select.select(pipes, waits, [], min(left, 1.0))
        trainer.flush()
        piece = b"" if log_ended else trainer.read_log()
        log_ended = log_ended or piece is None
        notes.write(piece or b"")
        told = trainer.read_frames()
        for frame in told or []:
            if isinstance(frame, frames.Exported | frames.Failed):
                return frame
        if told is None:
            _await_exit(trainer)
            return None
    return None


def _facts(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and hash of the graph's file, and of its constants' if it has one."""
    files = [path for name in GRAPH_FILES if (path := folder / name).is_file()]
    return {
        path.name: {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        for path in files
    }


def _await_exit(trainer: TrainerProcess) -> None:
    until = time.monotonic() + 1
    while not trainer.has_exited and time.monotonic() < until:
        time.sleep(0.01)


def _write(
    export: Export,
    report: dict[str, Any],
    files: dict[str, dict[str, Any]] | None,
) -> None:
    try:
        with transaction() as session:
            if files is None:
                error = str(report["error"])
                models.export_failed(session, export.model_id, error)
            else:
                models.exported(session, export.model_id, report, files)
    except DatabaseUnavailable as away:  # the sweep finds the model without its graph
        log.warning("the export of %s is not written down: %s", export.model_id, away)
        return
    log.info("export of %s: %s", export.model_id, json.dumps(report))
