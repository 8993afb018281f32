"""The sweep, as a thread of any process that wants to keep the ledger in order.

It expires leases, promotes retries and sends hints again. Each pass is one transaction
that lets one process through, so any number of processes may run it.
"""

import logging
import threading

from catalog import sweep
from catalog.errors import DatabaseUnavailable
from worker.queue import send, send_export
from worker.settings import settings

log = logging.getLogger(__name__)


def sweep_forever(stop_event: threading.Event) -> None:
    """Sweep every few seconds until the event is set."""
    while not stop_event.wait(settings().sweep_seconds):
        sweep_once()


def sweep_once() -> None:
    """Make one pass, and send the hints that it asks for."""
    try:
        swept = sweep.run(settings().sweep_seconds)
    except DatabaseUnavailable as away:
        log.warning("no sweep: %s", away)
        return
    if swept.expired:
        log.warning("leases ran out, jobs go on elsewhere: %s", swept.expired)
    sent = all(send(job_id) for job_id in swept.hints)
    sent = sent and all(send_export(model_id) for model_id in swept.exports)
    if not sent:
        log.warning("hints were not sent: Redis does not answer")
