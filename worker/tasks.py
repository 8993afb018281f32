"""The Celery tasks, and what happens as a worker's processes come and go.

``python -m worker`` starts a worker with the right flags. Its processes:

    main        Celery's consumer; a thread beats and sweeps; forks the pool child
    pool child  runs the tasks below, in its main thread
    trainer     ``python -m trainer --serve``, one per attempt, and a spare

Each dies with the one above it, whatever kills that. SIGTERM to main drains: the
attempt under way writes a checkpoint, its job is given back, everything ends.
"""

import logging
import os
import sys
from typing import Any

from celery import signals

from worker.device import NoSuchDevice, choose
from worker.flags import SharedFlags
from worker.incarnation import Incarnation, NameIsAlive
from worker.names import EXPORT, LOOK
from worker.pool_child import PoolChild
from worker.processes import adopt_orphans, die_with_parent
from worker.pulse import Pulse
from worker.queue import celery_app, send
from worker.settings import settings

log = logging.getLogger(__name__)

EX_CONFIG = 78


class _This:
    """What this process is: set in main before the fork, completed in the child."""

    flags = SharedFlags()
    main = 0
    incarnation: Incarnation | None = None
    pulse: Pulse | None = None
    child: PoolChild | None = None


@celery_app.task(name=LOOK)
def look(job_id: str) -> None:  # noqa: ARG001 - any job may be the best one
    """Look for the best jobs to be done; the id is a hint, the rows are the truth."""
    if _This.child is not None:
        _This.child.look()


@celery_app.task(name=EXPORT)
def export(model_id: str) -> None:
    """Write the graph of a model that lacks it, and forms that were asked for."""
    if _This.child is not None:
        _This.child.export(model_id)


@signals.worker_init.connect
def _enter(**_: Any) -> None:
    """Register in main, before anything is forked; refuse to be a second one."""
    try:
        device = choose(settings().device)
        _This.main = os.getpid()
        _This.incarnation = Incarnation(settings(), device, _This.flags)
        _This.incarnation.enter()
    except (NameIsAlive, NoSuchDevice) as refused:
        print(f"frostline worker: {refused}", file=sys.stderr)  # noqa: T201
        raise SystemExit(EX_CONFIG) from None


@signals.worker_ready.connect
def _begin(**_: Any) -> None:
    """Beat and sweep, and look for what waited while no worker was here."""
    assert _This.incarnation is not None
    _This.pulse = Pulse(_This.incarnation, settings())
    _This.pulse.start()
    send("")


@signals.worker_process_init.connect
def _begin_child(**_: Any) -> None:
    """Bind the pool child's life to main's, and make it ready."""
    die_with_parent(_This.main)
    adopt_orphans()
    _This.child = PoolChild(settings(), choose(settings().device), _This.flags)
    _This.child.begin()


@signals.worker_process_shutdown.connect
def _end_child(**_: Any) -> None:
    if _This.child is not None:
        _This.child.close()


@signals.worker_shutting_down.connect
def _drain(**_: Any) -> None:
    """Tell the pool child; this runs in main, inside a signal handler."""
    _This.flags.drain()


@signals.worker_shutdown.connect
def _leave(**_: Any) -> None:
    if _This.pulse is not None:
        _This.pulse.stop()
    if _This.incarnation is not None:
        _This.incarnation.leave()
