"""``python -m worker.alive``: exit 0 if this worker's heartbeat is fresh, else 1.

For health checks: what counts is what the ledger believes, not whether a process is
there. It reads the same settings as the worker beside it, and imports no torch.
"""

import sys

from catalog import workers
from catalog.errors import DatabaseUnavailable
from catalog.session import reading
from worker.settings import settings


def alive(name: str) -> bool:
    """Tell whether a worker was heard of within one lease."""
    with reading() as session:
        return any(worker.name == name for worker in workers.live(session))


def main() -> int:
    """Look up this worker; say why where it is not alive."""
    name = settings().worker_name
    try:
        if alive(name):
            return 0
    except DatabaseUnavailable as away:
        sys.stderr.write(f"{away}\n")
        return 1
    sys.stderr.write(f"the worker {name} has no fresh heartbeat\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
