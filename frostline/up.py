"""``frostline up``: the whole service on one machine, kept running.

It starts a broker, brings the database up to date, starts the API and the workers as
processes of their own, and restarts whatever dies. It imports none of them: the stack
is known here by its commands only.
"""

import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import IO

import httpx

from frostline.broker import Broker
from frostline.errors import (
    FolderInUse,
    NoServer,
    PortInUse,
    StackStopped,
    Unreadable,
)
from frostline.interruptions import Interruptions
from frostline.processes import Program, Watched, ending, last_lines, start, stop
from frostline.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[1]
"""Where the server's code and its migrations lie beside this package."""
READY_SECONDS = 180.0
"""A first start compiles PyTorch's Python files, which takes a slow disk its time."""
BROKER_SECONDS = 20.0
BROKER_PORTS = 5
"""How many free ports are tried, in case somebody else is faster on one."""
DEATHS_AT_START = 3
"""A process that dies this often before the stack is ready will not get better."""
API_STOP_SECONDS = 8.0
BROKER_STOP_SECONDS = 5.0
DRAIN_SECONDS = 10
"""How long a worker may take to write a checkpoint and give its job back at the end."""


@dataclass(frozen=True)
class Options:
    """What a person may choose."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1


class Stopped(Exception):
    """The person asked to stop while the stack was starting."""


@contextmanager
def owned(folder: Path) -> Iterator[IO[str]]:
    """Own the data folder as long as the block lasts, and however it ends."""
    path = folder / "run" / "up.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a+")
    except OSError as error:
        raise Unreadable(str(folder), error.strerror or str(error)) from None
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise FolderInUse(
                str(folder), lock.read().strip() or "just starting"
            ) from None
        try:
            yield lock
        finally:
            note(lock, "")


def note(lock: IO[str], text: str) -> None:
    """Leave `text` in the lock file, for whoever finds it taken."""
    lock.seek(0)
    lock.truncate()
    lock.write(text)
    lock.flush()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    It is made here and handed to the API, so that the port stays ours and requests
    wait, instead of being refused, while an API process that died is replaced.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortInUse(host, port, error.strerror or str(error)) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        raise PortInUse(
            host, port, getattr(error, "strerror", None) or str(error)
        ) from None
    return listener


def is_loopback(listener: socket.socket) -> bool:
    """Return whether only this machine can reach a listening socket."""
    return ip_address(listener.getsockname()[0]).is_loopback


def spare_device(index: int) -> str:
    """Return the device of a worker beside the first: a GPU of its own, or the CPU."""
    gpus = Path("/proc/driver/nvidia/gpus")
    count = len(list(gpus.iterdir())) if gpus.is_dir() else 0
    return f"cuda:{index}" if index < count else "cpu"


class Stack:
    """The processes of one data folder."""

    def __init__(
        self,
        options: Options,
        settings: Settings,
        listener: socket.socket,
        interruptions: Interruptions,
        say: Callable[[str], None],
    ) -> None:
        self._options = options
        self._listener = listener
        self._interruptions = interruptions
        self._say = say
        self._folder = options.folder
        self._broker = None if settings.redis_url else Broker(options.folder)
        self._environment = {
            "FROSTLINE_DRAIN_SECONDS": str(DRAIN_SECONDS),
            **settings.environment,
            "FROSTLINE_DATA": str(options.folder),
            "PYTHONUNBUFFERED": "1",
        }
        drain = float(self._environment["FROSTLINE_DRAIN_SECONDS"])
        self._worker_stop_seconds = drain + 5
        self._watched: list[Watched] = []

    @property
    def url(self) -> str:
        """Return the address to type into a browser on this machine."""
        host, port = self._listener.getsockname()[:2]
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 — read, not bound
        shown = everywhere.get(host, f"[{host}]" if ":" in host else host)
        return f"http://{shown}:{port}"

    def start(self) -> None:
        """Start everything in order and return when the API says that it is ready."""
        if self._broker:
            self._start_broker(self._broker)
        self._migrate()
        self._watch(self._api())
        for number in range(1, self._options.workers + 1):
            self._watch(self._worker(number))
        self._wait_until_ready()

    def keep(self) -> None:
        """Restart what dies, until somebody asks to stop."""
        while not self._interruptions.wait(0.1 if self._restarting() else 5.0):
            self._look()

    def stop(self) -> None:
        """Stop everything: the broker last, because the others talk to it."""
        asked = self._interruptions.count

        def hurry() -> bool:
            return self._interruptions.count > max(asked, 1)

        first = [one for one in self._watched if one.program.name != "broker"]
        rest = [one for one in self._watched if one.program.name == "broker"]
        late = stop(first, hurry) + stop(rest, hurry)
        if late:
            self._say(f"{' and '.join(late)} did not end in time and had to be killed")

    def _program(self, name: str, command: list[str], stop_seconds: float) -> Program:
        return Program(
            name=name,
            command=command,
            environment=self._environment,
            folder=CHECKOUT,
            log=self._folder / "logs" / f"{name.replace(' ', '-')}.log",
            stop_seconds=stop_seconds,
        )

    def _api(self) -> Program:
        descriptor = self._listener.fileno()
        command = [sys.executable, "-m", "uvicorn", "api.app:app"]
        command += ["--fd", str(descriptor), "--timeout-graceful-shutdown", "3"]
        # A log is cut when its process starts, so it must not grow with each request.
        command += ["--no-access-log"]
        program = self._program("api", command, API_STOP_SECONDS)
        return replace(program, pass_fds=(descriptor,))

    def _worker(self, number: int) -> Program:
        device = "auto" if number == 1 else spare_device(number - 1)
        environment = {
            "FROSTLINE_DEVICE": device,
            **self._environment,
            "FROSTLINE_WORKER_NAME": f"{socket.gethostname()}-{number}",
        }
        command = [sys.executable, "-m", "worker"]
        name, seconds = f"worker {number}", self._worker_stop_seconds
        return replace(self._program(name, command, seconds), environment=environment)

    def _watch(self, program: Program) -> Watched:
        watched = Watched(program)
        self._watched.append(watched)
        return watched

    def _restarting(self) -> bool:
        return any(one.pid is None for one in self._watched)

    def _look(self) -> None:
        for one in self._watched:
            if happened := one.look():
                self._say(happened)

    def _pause(self, seconds: float) -> None:
        if self._interruptions.wait(seconds):
            raise Stopped

    def _start_broker(self, broker: Broker) -> None:
        deadline = time.monotonic() + BROKER_SECONDS
        for _ in range(BROKER_PORTS):
            program = self._program("broker", broker.command(), BROKER_STOP_SECONDS)
            watched = self._watch(program)
            while not watched.stopped() and time.monotonic() < deadline:
                if broker.answers():
                    self._environment["FROSTLINE_REDIS_URL"] = broker.url
                    return
                self._pause(0.02)
            self._watched.remove(watched)
            watched.kill()
            broker.move()  # somebody else may have been faster on this port
        raise self._stopped(program, "does not start")

    def _migrate(self) -> None:
        command = [sys.executable, "-m", "alembic", "upgrade", "head"]
        program = self._program("migrations", command, 0)
        process = start(program)
        while (code := process.poll()) is None:
            self._pause(0.1)
        if code != 0:
            raise self._stopped(program, ending(code))

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        wanting = "does not answer"
        with httpx.Client(base_url=self.url, timeout=2.0, trust_env=False) as client:
            while time.monotonic() < deadline:
                self._pause(0.1)
                self._look()
                for one in self._watched:
                    if one.deaths >= DEATHS_AT_START:
                        raise self._stopped(one.program, f"died {one.deaths} times")
                try:
                    answer = client.get("/readyz")
                except httpx.HTTPError:
                    continue
                if answer.status_code == httpx.codes.OK:
                    return
                wanting = answer.text[:500]
        program = next(o.program for o in self._watched if o.program.name == "api")
        raise self._stopped(
            program, f"is not ready after {READY_SECONDS:g} s: {wanting}"
        )

    def _stopped(self, program: Program, happened: str) -> StackStopped:
        log = program.log
        return StackStopped(program.name, happened, str(log), last_lines(log))


def up(options: Options, settings: Settings, say: Callable[[str], None]) -> None:
    """Run the embedded stack until SIGINT, SIGTERM or SIGHUP; then stop all of it."""
    if not (CHECKOUT / "api" / "app.py").exists():
        raise NoServer(str(CHECKOUT))
    folder = options.folder.resolve()
    options = Options(folder, options.host, options.port, options.workers)
    with (
        Interruptions() as interruptions,
        owned(folder) as lock,
        listen(options.host, options.port) as listener,
    ):
        stack = Stack(options, settings, listener, interruptions, say)
        say(f"starting; the logs are in {folder / 'logs'}")
        if not settings.api_key and not is_loopback(listener):
            say("no FROSTLINE_API_KEY is set: whoever reaches this machine may use it")
        about = {"pid": os.getpid(), "url": stack.url, "ready": False}
        note(lock, json.dumps(about))
        try:
            stack.start()
            note(lock, json.dumps({**about, "ready": True}))
            say(f"Frostline is ready at {stack.url} (everything is kept in {folder})")
            stack.keep()
        except Stopped:
            pass
        finally:
            say("stopping")
            stack.stop()
        say("stopped")
