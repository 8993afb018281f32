"""The whole service as its users start it: `frostline up` on a free port.

For tests that look from outside, through HTTP, at living processes. A stack belongs to
one folder; stopped and started again it finds what it had.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import httpx
import psutil

from frostline import Client
from tests.servers import NotReady, free_port, start

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

READY_SECONDS = 90
STOP_SECONDS = 40


class Stack:
    """One embedded stack: broker, API and workers below one `frostline up`."""

    def __init__(
        self, folder: Path, *, workers: int = 1, database_url: str = "", **settings: str
    ) -> None:
        self.folder = folder
        self.workers = workers
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder.parent / f"{folder.name}.up.log"
        self._settings = {"FROSTLINE_DATABASE_URL": database_url} | settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start everything and wait until the API says that it is ready."""
        command = [sys.executable, "-m", "frostline", "up", "--data", str(self.folder)]
        command += ["--port", str(self.port), "--workers", str(self.workers)]
        # what another fixture set for this process is not meant for a whole stack
        outer = {n: v for n, v in os.environ.items() if not n.startswith("FROSTLINE_")}
        environment = outer | self._settings
        # SIGTERM at our death: the stack ends its own processes then.
        self._process = start(
            command, self.log, environment=environment, death_signal=signal.SIGTERM
        )
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NotReady("frostline up", self.log)
            time.sleep(0.1)

    def stop(self) -> int:
        """Stop it as Ctrl-C does and return its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(STOP_SECONDS)

    def client(self) -> Client:
        """Return a client of this stack; close it after use."""
        return Client(self.url)

    def processes(self, *words: str) -> list[psutil.Process]:
        """Return the stack's living processes whose command line has all the words."""
        assert self._process is not None
        found = []
        for process in psutil.Process(self._process.pid).children(recursive=True):
            try:
                command = process.cmdline()
            except psutil.NoSuchProcess:
                continue
            if set(words) <= set(command) and process.status() != "zombie":
                found.append(process)
        return found

    def _ready(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=2, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK
