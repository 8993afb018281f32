"""``python -m worker``: a Celery worker that owns one device, with the right flags."""

import os
import sys

from worker.device import NoSuchDevice, choose
from worker.names import EXPORT, LOOK_QUEUES
from worker.settings import settings


def main() -> None:
    """Become the worker: the process id stays, so its parent can watch it."""
    try:
        device = choose(settings().device)
    except NoSuchDevice as refused:
        sys.exit(f"frostline worker: {refused}")
    flags = [
        "--pool=prefork",
        "--concurrency=1",
        f"--queues={LOOK_QUEUES[device.kind]},{EXPORT}",
        f"--hostname={settings().worker_name}@%h",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
        "--loglevel=INFO",
    ]
    command = [sys.executable, "-m", "celery", "-A", "worker.tasks", "worker", *flags]
    os.execv(sys.executable, command)  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    main()
