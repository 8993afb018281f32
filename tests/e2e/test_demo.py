"""The demo: real jobs on a stack of its own, twice, and nothing left running."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.timeout(600)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo as `make demo` does."""
    command = [sys.executable, "-m", "frostline", "demo", "--data", str(folder)]
    return subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def survivors(folder: Path) -> list[list[str]]:
    """Return the command lines of processes that still use a data folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FROSTLINE_DATA") == str(folder):
                found.append(process.cmdline())
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def test_the_demo_tells_its_story_twice(tmp_path: Path) -> None:
    folder = tmp_path / "demo"

    first = run(folder)

    assert first.returncode == 0, first.stderr
    assert "digits 0-4" in first.stdout
    assert "from scratch" in first.stdout
    assert "unmoved" in first.stdout
    assert "digits-5-9-few@1" in first.stdout
    assert survivors(folder) == []

    second = run(folder, "--json")

    assert second.returncode == 0, second.stderr
    _, frozen, scratch = json.loads(second.stdout)
    assert frozen["frozen"]
    assert all(one["before"] == one["after"] for one in frozen["frozen"])
    assert frozen["cache"]["result"] in {"hit", "miss"}
    assert scratch["frozen"] == []
    assert survivors(folder) == []
