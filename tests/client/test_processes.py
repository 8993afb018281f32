"""A child of the embedded stack: restarted when it dies, gone when its parent is."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from frostline.processes import Program, Watched, ending, last_lines, stop

SLEEP = "import time; time.sleep(600)"
STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
PARENT = """
import sys, time
from pathlib import Path
from frostline.processes import Program, Watched

log = Path(sys.argv[1])
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
child = Watched(Program("sleeper", sleep, {}, log.parent, log, 1.0))
print(child.pid, flush=True)
time.sleep(600)
"""
SECONDS = 20.0


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


def eventually(holds: object) -> bool:
    """Return whether `holds` becomes true in time."""
    assert callable(holds)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return False


def program(folder: Path, code: str, stop_seconds: float = 10.0) -> Program:
    """Return a Python program with a log in `folder`."""
    command = [sys.executable, "-u", "-c", code]
    log = folder / "logs" / "child.log"
    return Program("child", command, dict(os.environ), folder, log, stop_seconds)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Watched]:
    """Return a child that does nothing for a long time."""
    watched = Watched(program(tmp_path, SLEEP))
    yield watched
    watched.kill()


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "child.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)

        parent.kill()

        assert eventually(lambda: not alive(child))


def test_a_child_that_dies_is_started_again(sleeper: Watched) -> None:
    first = sleeper.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    said: list[str] = []

    def restarted() -> bool:
        said.extend(filter(None, [sleeper.look()]))
        return sleeper.pid not in {None, first}

    assert eventually(restarted)
    assert said == ["child was killed by SIGKILL", "child is started again"]


def test_a_child_that_keeps_dying_is_started_less_and_less_often(
    tmp_path: Path,
) -> None:
    watched = Watched(program(tmp_path, "raise SystemExit(3)"))
    deaths: list[float] = []

    def dies_four_times() -> bool:
        happened = watched.look()
        if happened == "child ended with exit code 3":
            deaths.append(time.monotonic())
        return len(deaths) == 4

    assert eventually(dies_four_times)
    assert deaths[3] - deaths[2] > deaths[1] - deaths[0]
    assert watched.deaths == 4


def test_a_child_that_is_asked_to_stop_is_not_started_again(sleeper: Watched) -> None:
    assert stop([sleeper], lambda: False) == []
    assert sleeper.stopped()
    assert sleeper.pid is None or not alive(sleeper.pid)


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    watched = Watched(program(tmp_path, STUBBORN, stop_seconds=0.3))
    assert eventually(lambda: "deaf" in last_lines(watched.program.log))
    pid = watched.pid
    assert pid is not None

    late = stop([watched], lambda: False)

    assert late == ["child"]
    assert not alive(pid)


def test_a_second_wish_to_stop_waits_for_nobody(tmp_path: Path) -> None:
    watched = Watched(program(tmp_path, STUBBORN, stop_seconds=600))
    assert eventually(lambda: "deaf" in last_lines(watched.program.log))

    assert stop([watched], lambda: True) == ["child"]


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    watched = Watched(program(tmp_path, code))
    log = watched.program.log
    assert eventually(lambda: last_lines(log).strip().isdigit())
    grandchild = int(last_lines(log))

    stop([watched], lambda: False)

    assert eventually(lambda: not alive(grandchild))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with exit code 0"),
        (-9, "was killed by SIGKILL"),
        (-250, "was killed by signal 250"),
    ],
)
def test_an_ending_is_told_in_words(code: int, words: str) -> None:
    assert ending(code) == words


def test_a_long_log_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frostline.processes.LOG_BYTES", 10)
    log = tmp_path / "logs" / "child.log"
    log.parent.mkdir()
    log.write_text("the log of an earlier start\n")

    watched = Watched(program(tmp_path, "print('anew')"))

    assert eventually(watched.stopped)
    assert log.read_text() == "anew\n"
    assert log.with_suffix(".log.1").read_text() == "the log of an earlier start\n"
