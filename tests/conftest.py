"""What every test may ask for: real databases, a real Redis, published data.

Tests see none of the caller's Frostline settings. With `FROSTLINE_FORBID_SKIPS=1` a
skip is a failure, and what this machine cannot run (a GPU, data that is not here) is
deselected and named in the header instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import catalog.session
import catalog.settings
from tests.lanes import Lanes, widest_first
from tests.servers import Postgres, Redis, Unavailable
from tests.stack import Stack

if TYPE_CHECKING:
    from xdist.remote import Producer

ROOT = Path(__file__).resolve().parent.parent
FORBID_SKIPS = os.environ.get("FROSTLINE_FORBID_SKIPS") == "1"
TEST_DATA = os.environ.get("FROSTLINE_TEST_DATA")
CUDA = Path("/dev/nvidiactl").exists()
TOLD = "told"
"""The property of a test that the end of the run prints, from whichever process."""
OURS = {"FROSTLINE_FORBID_SKIPS", "FROSTLINE_TEST_DATA"}

for name in [n for n in os.environ if n.startswith("FROSTLINE_") and n not in OURS]:
    del os.environ[name]
os.environ.setdefault("OMP_NUM_THREADS", "1")


def lacking(item: pytest.Item) -> str | None:
    """Return why this machine cannot run a test, or None where it can."""
    if item.get_closest_marker("gpu") and not CUDA:
        return "no CUDA device"
    if "test_data" in getattr(item, "fixturenames", ()) and not TEST_DATA:
        return "FROSTLINE_TEST_DATA names no folder of published data"
    return None


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    """Say which tests may run beside each other when processes share a run."""
    return Lanes(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have to tell beside passing."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == TOLD:
                terminalreporter.write_line(str(text))


def pytest_report_header() -> list[str]:
    """Say what decides which tests run."""
    return [
        f"skips: {'forbidden' if FORBID_SKIPS else 'allowed, listed below'}",
        f"CUDA device: {'yes' if CUDA else 'no'}; published data: {TEST_DATA or 'no'}",
    ]


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Skip, or where skips are forbidden deselect, what cannot run here."""
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        reason = lacking(item)
        if reason and not FORBID_SKIPS:
            item.add_marker(pytest.mark.skip(reason=reason))
        (left_out if reason and FORBID_SKIPS else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
    if hasattr(config, "workerinput"):  # one process of several
        widest_first(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Iterator[None]:
    """Turn a skip into a failure where skips are forbidden."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if FORBID_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where skips are forbidden: {report.longrepr}"
    return report  # type: ignore[return-value]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Iterator[None]:
    """Turn a module that skips itself into a failure where skips are forbidden."""
    report: pytest.CollectReport = yield  # type: ignore[assignment]
    if FORBID_SKIPS and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped where skips are forbidden: {report.longrepr}"
    return report  # type: ignore[return-value]


def migrate(database_url: str, folder: Path) -> None:
    """Bring an empty database to the newest schema, as an operator would."""
    environment = os.environ | {
        "FROSTLINE_DATABASE_URL": database_url,
        "FROSTLINE_DATA": str(folder),
    }
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of published data sets."""
    assert TEST_DATA is not None
    return Path(TEST_DATA)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Return a PostgreSQL server for this test run."""
    try:
        server = Postgres()
        server.start()
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_template(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Return the name of a migrated, empty database to copy."""
    name = postgres.create()
    migrate(postgres.url(name), tmp_path_factory.mktemp("migrated"))
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated, empty database file to copy."""
    file = tmp_path_factory.mktemp("migrated") / "frostline.db"
    migrate(f"sqlite:///{file}", file.parent)
    return file


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Return the address of a fresh, migrated SQLite database."""
    file = tmp_path / "frostline.db"
    shutil.copy(sqlite_template, file)
    return f"sqlite:///{file}"


@pytest.fixture
def postgresql_url(postgres: Postgres, postgres_template: str) -> Iterator[str]:
    """Return the address of a fresh, migrated PostgreSQL database."""
    name = postgres.create(postgres_template)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Return the address of a fresh, migrated database: each test runs on both."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def ledger(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Let this process use an empty ledger; return its data folder."""
    folder = tmp_path / "data"
    monkeypatch.setenv("FROSTLINE_DATA", str(folder))
    monkeypatch.setenv("FROSTLINE_DATABASE_URL", database_url)
    catalog.settings.settings.cache_clear()
    catalog.session.dispose()
    yield folder
    catalog.settings.settings.cache_clear()
    catalog.session.dispose()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Return a Redis server for this test run; tests that break one make their own."""
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """Return the address of an empty Redis."""
    redis_server.empty()
    return redis_server.url


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Return a running stack; tests that break one start their own `Stack`."""
    database_url = ""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        database_url = server.url(server.create())
    running = Stack(
        tmp_path_factory.mktemp(f"stack-{request.param}") / "data",
        database_url=database_url,
    )
    running.start()
    yield running
    running.stop()
