"""A template of toy trainers that is late to say which copy it has made.

What a busy machine does to a template now and then, this one does each time: the copy
is the worker's child already, and the worker has not heard of it yet.
"""

import os
import socket
import sys
import time
from types import ModuleType

import toy_trainer  # type: ignore[import-not-found]  # beside this script

LATE_SECONDS = 2.0


def serve() -> int:
    """Serve one order as a toy trainer."""
    toy_trainer.FRAMES = os.dup(1)
    os.dup2(2, 1)
    toy_trainer.main()
    return 0


def template() -> int:
    """Serve copies of the toy, each announced late."""
    toy = ModuleType("trainer.process.serve")  # nothing to import, so copies are cheap
    vars(toy).update(serve=serve, die_with_parent=lambda _: None)
    sys.modules["trainer.process.serve"] = toy
    from trainer.process import template as real  # noqa: PLC0415 - after its serve is there

    copied = real.copied

    def copied_late(
        worker: int, streams: list[int], channel: socket.socket
    ) -> int | None:
        pid = copied(worker, streams, channel)
        if pid is not None:
            time.sleep(LATE_SECONDS)
        return pid

    real.copied = copied_late
    return real.template()


if __name__ == "__main__":
    sys.exit(template() if sys.argv[1] == "--template" else serve())
