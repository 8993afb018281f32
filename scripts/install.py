"""Make the virtual environment `.venv` and install Frostline into it, showing progress.

    python3 scripts/install.py run     what the service needs
    python3 scripts/install.py dev     and what its tests need

A second call returns at once: a stamp in the environment says which project file,
extras and Python it was made for. Only Python itself is needed to run this.
"""

import fcntl
import hashlib
import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
RUN = "api,import,worker,standalone"
EXTRAS = {"run": RUN, "dev": f"{RUN},dev"}
NEWS_SECONDS = 10
NEWS = re.compile(r"\s*(Collecting|Downloading|Installing|Preparing|Building) ")
"""What pip says and a person wants to know."""


class StepFailed(Exception):
    """A step ended with an error; the text is the end of its log."""


class Display:
    """One line that is rewritten on a terminal, a line now and then elsewhere."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._started = self._told = time.monotonic()
        self._live = sys.stdout.isatty()
        if not self._live:
            self._write(f"{title} ...\n")

    def show(self, what: str) -> None:
        """Say what the step is at, and for how long it has been running."""
        elapsed = time.monotonic() - self._started
        room = shutil.get_terminal_size((100, 24)).columns - 1
        text = f"{self._title} {elapsed:4.0f} s  {what}"[:room]
        if self._live:
            self._write(f"\r\033[K{text}")
        elif time.monotonic() - self._told > NEWS_SECONDS:
            self._told = time.monotonic()
            self._write(f"{text}\n")

    def end(self) -> None:
        """Say how long it took."""
        elapsed = time.monotonic() - self._started
        before = "\r\033[K" if self._live else ""
        self._write(f"{before}{self._title} done in {elapsed:.0f} s\n")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def run_step(title: str, command: list[str]) -> None:
    """Run one command, showing what it is at and for how long."""
    display = Display(title)
    lines: list[str] = [""]
    news = ""
    environment = os.environ | {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        while True:
            # Installing is silent for long: the clock goes on without news.
            ready, _, _ = select.select([process.stdout], [], [], 1.0)
            if ready:
                part = os.read(process.stdout.fileno(), 65536)
                if not part:
                    break
                first, *rest = part.decode(errors="replace").split("\n")
                lines[-1] += first
                lines += rest
                told = [line.strip() for line in lines[:-1] if NEWS.match(line)]
                news = told[-1] if told else news
            display.show(news)
    if process.returncode != 0:
        raise StepFailed("\n".join(["", f"{title} failed:", *lines[-30:]]))
    display.end()


def wanted(kind: str) -> str:
    """Return the stamp of an environment made from today's project file."""
    import tomllib  # noqa: PLC0415 - absent before 3.11, where main has already refused

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    # The settings of ruff, mypy and pytest need no new installation.
    parts = [project["build-system"], project["project"], project["tool"]["hatch"]]
    content = repr((parts, EXTRAS[kind], sys.version, str(ROOT)))
    return hashlib.sha256(content.encode()).hexdigest()


def up_to_date(kind: str) -> bool:
    """Tell whether the environment, or one with more in it, is made already."""
    kinds = ["dev"] if kind == "dev" else ["run", "dev"]
    stamps = [(VENV / f".installed-{name}", wanted(name)) for name in kinds]
    return PYTHON.exists() and any(
        file.exists() and file.read_text() == stamp for file, stamp in stamps
    )


def install(kind: str) -> None:
    """Bring the environment up to date."""
    VENV.mkdir(exist_ok=True)
    with (VENV / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if up_to_date(kind):
            return
        if not (VENV / "bin" / "pip").exists():
            make = [sys.executable, "-m", "venv", str(VENV)]
            run_step("[1/2] virtual environment", make)
        pip = [str(PYTHON), "-m", "pip", "install", "--progress-bar", "off"]
        pip += ["-e", f".[{EXTRAS[kind]}]"]
        run_step(f"[2/2] packages for {kind} (PyTorch is large)", pip)
        (VENV / f".installed-{kind}").write_text(wanted(kind))


def main() -> int:
    """Install, or say in one sentence what is missing."""
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python may well run this
        version = ".".join(map(str, sys.version_info[:3]))
        sys.stderr.write(
            "Frostline needs Python 3.11 or newer; this is "
            + version
            + ". Say which to use: make PYTHON=python3.11\n"
        )
        return 1
    kind = sys.argv[1] if len(sys.argv) > 1 else "run"
    if kind not in EXTRAS:
        sys.stderr.write(f"usage: {sys.argv[0]} [{'|'.join(EXTRAS)}]\n")
        return 2
    try:
        if not up_to_date(kind):
            install(kind)
    except StepFailed as failure:
        sys.stderr.write(f"{failure}\n")
        if "ensurepip" in str(failure):
            sys.stderr.write("On Debian and Ubuntu: apt-get install python3-venv\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
