"""``python -m worker.alive``: exit 0 if this machine's worker beats in the ledger.

For health checks: the heartbeat in the database is what everybody else believes.
"""

import sys

from catalog import workers
from catalog.errors import DatabaseUnavailable
from catalog.session import reading
from worker.settings import settings


def main() -> None:
    """Look once, and say why not."""
    name = settings().worker_name
    try:
        with reading() as session:
            names = {worker.name for worker in workers.live(session)}
    except DatabaseUnavailable as away:
        sys.exit(str(away))
    if name not in names:
        sys.exit(f"worker {name} has not been heard of within one lease")


if __name__ == "__main__":
    main()
