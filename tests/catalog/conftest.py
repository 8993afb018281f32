"""A ledger on each database, with short patience and an empty data folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog import session
from catalog.settings import settings
from tests.catalog.books import Books


@pytest.fixture
def books(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Books]:
    """Return a fresh ledger: the test runs on SQLite and on PostgreSQL."""
    monkeypatch.setenv("FROSTLINE_DATABASE_URL", database_url)
    monkeypatch.setenv("FROSTLINE_DATA", str(tmp_path / "files"))
    monkeypatch.setenv("FROSTLINE_SWEEP_GRACE_SECONDS", "0")
    settings.cache_clear()
    session.dispose()
    yield Books()
    session.dispose()
    settings.cache_clear()
