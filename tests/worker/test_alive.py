"""Test the probe of health checks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from catalog import workers
from catalog.session import transaction
from catalog.workers import Identity


def probe(name: str) -> subprocess.CompletedProcess[str]:
    """Ask as a container's health check does."""
    return subprocess.run(
        [sys.executable, "-m", "worker.alive"],
        env=os.environ | {"FROSTLINE_WORKER_NAME": name},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("ledger")
def test_only_a_worker_that_beats_is_alive() -> None:
    with transaction() as session:
        workers.register(session, Identity("here", "host", 1, 0.0, "boot", "cpu"))

    assert probe("here").returncode == 0
    assert probe("elsewhere").returncode == 1


@pytest.mark.usefixtures("ledger")
def test_a_worker_that_took_its_leave_is_not_alive() -> None:
    with transaction() as session:
        workers.register(session, Identity("here", "host", 1, 0.0, "boot", "cpu"))
    with transaction() as session:
        workers.retire(session, "here")

    assert "not been heard of" in probe("here").stderr


def test_without_a_database_nobody_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    monkeypatch.setenv("FROSTLINE_DATABASE_URL", address)

    done = probe("here")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
