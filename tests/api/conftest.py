"""A service on each database, asked over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from catalog import session
from catalog.settings import settings as catalog_settings
from tests.api.lab import Lab, connections_in_use, serving, until
from tests.servers import Redis
from worker.settings import settings as worker_settings


@pytest.fixture
def ledger(
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """Point this process at a fresh ledger; return its folder of files."""
    folder = tmp_path / "files"
    folder.mkdir()
    monkeypatch.setenv("FROSTLINE_DATABASE_URL", database_url)
    monkeypatch.setenv("FROSTLINE_DATA", str(folder))
    _forget()
    yield folder
    until(lambda: connections_in_use() == 0)
    _forget()


@pytest.fixture(scope="module")
def service(redis_server: Redis) -> Iterator[str]:
    """Serve the application to a module's tests, each with its own ledger.

    It keeps nothing of a ledger but what ids name, and ids never come twice. Its
    settings stand in this process's environment: no longer than its module, or the
    processes that later tests start would inherit them.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FROSTLINE_REDIS_URL", redis_server.url)
        environment.setenv("FROSTLINE_SWEEP_SECONDS", "3600")
        worker_settings.cache_clear()
        with serving() as url:
            yield url
    worker_settings.cache_clear()


@pytest.fixture
def lab(ledger: Path, service: str) -> Iterator[Lab]:
    """Return a running service with two data sets."""
    with httpx.Client(base_url=service, timeout=30) as client:
        yield Lab(service, client)


def _forget() -> None:
    session.dispose()
    catalog_settings.cache_clear()
