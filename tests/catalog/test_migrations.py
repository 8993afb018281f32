"""Migrations lead to exactly the tables that the code believes in."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from catalog.session import make_engine
from catalog.tables import Base
from tests.servers import Postgres

MORE = {
    "sqlite": "SELECT sql FROM sqlite_master WHERE sql LIKE '% INDEX %' ORDER BY 1",
    "postgresql": "SELECT relname, reloptions FROM pg_class "
    "WHERE reloptions NOTNULL ORDER BY 1",
}
"""What SQLAlchemy does not look at: the order inside indexes, room on pages."""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """Return the addresses of two empty databases of a kind."""
    if request.param == "sqlite":
        yield [f"sqlite:///{tmp_path / name}.db" for name in ("one", "two")]
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    names = [postgres.create(), postgres.create()]
    yield [postgres.url(name) for name in names]
    for name in names:
        postgres.drop(name)


def test_upgrade_downgrade_upgrade_leaves_the_tables_of_the_code(
    empty_urls: list[str], tmp_path: Path
) -> None:
    migrated, made = (create_engine(url) for url in empty_urls)
    Base.metadata.create_all(made)

    _alembic(empty_urls[0], tmp_path, "upgrade", "head")
    _alembic(empty_urls[0], tmp_path, "downgrade", "base")
    assert set(inspect(migrated).get_table_names()) == {"alembic_version"}
    _alembic(empty_urls[0], tmp_path, "upgrade", "head")

    assert _picture(migrated) == _picture(made)
    for engine in (migrated, made):
        engine.dispose()


def test_a_failing_migration_leaves_nothing_behind(
    empty_urls: list[str], tmp_path: Path
) -> None:
    engine = make_engine(empty_urls[0])
    with engine.begin() as connection:  # in the way of the last table
        connection.execute(text("CREATE TABLE model_sources (other INTEGER)"))

    done = _run(empty_urls[0], tmp_path, "upgrade", "head")

    assert done.returncode != 0
    assert inspect(engine).get_table_names() == ["model_sources"]
    engine.dispose()


def _alembic(url: str, folder: Path, *arguments: str) -> None:
    done = _run(url, folder, *arguments)
    assert done.returncode == 0, done.stderr


def _run(url: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env=os.environ | {"FROSTLINE_DATABASE_URL": url, "FROSTLINE_DATA": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def _picture(engine: Engine) -> dict[str, Any]:
    """Return everything that the database knows of its tables."""
    seen = inspect(engine)
    tables = sorted(set(seen.get_table_names()) - {"alembic_version"})
    picture: dict[str, Any] = {table: _table(engine, table) for table in tables}
    with engine.connect() as connection:
        rows = connection.execute(text(MORE[engine.dialect.name]))
        picture["more"] = [tuple(row) for row in rows]
    return picture


def _table(engine: Engine, table: str) -> dict[str, Any]:
    seen = inspect(engine)
    return {
        "columns": [
            (c["name"], str(c["type"]), c["nullable"], c["default"])
            for c in seen.get_columns(table)
        ],
        "primary key": seen.get_pk_constraint(table),
        "unique": _sorted(seen.get_unique_constraints(table)),
        "checks": _sorted(seen.get_check_constraints(table)),
        "foreign keys": _sorted(seen.get_foreign_keys(table)),
        "indexes": _sorted(seen.get_indexes(table)),
    }


def _sorted(rows: Any) -> list[Any]:
    """Spell the rows out; objects of SQL text have no equality of their own."""
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in rows)
