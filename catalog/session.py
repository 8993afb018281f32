"""Sessions: `transaction()` writes and is the only commit of the project.

On SQLite a transaction starts with BEGIN IMMEDIATE, because one that reads first and
then writes would fail at once when another writer was quicker. The engine is made at
the first use, once per process; a forked child makes its own.
"""

import json
import math
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import SQLITE_BUSY, SQLITE_ERROR, OperationalError
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy import exc as sql
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.orm import Session

from catalog.errors import DatabaseUnavailable, Unstorable
from catalog.settings import settings

WAIT_SECONDS = 10.0
"""How long a writer waits for its turn on SQLite."""
BUSY_MILLISECONDS = 5000
"""How long SQLite itself waits for a lock."""
_POSTGRESQL_OPTIONS = (
    "-c timezone=UTC -c lock_timeout=2000 -c statement_timeout=30000 "
    "-c idle_in_transaction_session_timeout=30000"
)
_engine: Engine | None = None
_making = threading.Lock()


@contextmanager
def transaction() -> Iterator[Session]:
    """Give a session whose work is committed at the end, or not at all.

    Raises:
        DatabaseUnavailable: the database is down, full or too busy.
        Unstorable: a value does not fit into the database.
    """
    with _session(engine()) as session:
        yield session
        session.commit()


@contextmanager
def reading() -> Iterator[Session]:
    """Give a session for queries: one snapshot on SQLite, never a commit."""
    with _session(engine().execution_options(reading=True)) as session:
        yield session


def engine() -> Engine:
    """Return this process's engine, making it at the first call."""
    global _engine  # noqa: PLW0603 - one per process, remade after a fork
    if _engine is None:
        with _making:
            if _engine is None:
                _engine = make_engine(settings().url)
    return _engine


def dispose() -> None:
    """Close the connections; the next use reads the settings and makes new ones."""
    global _engine  # noqa: PLW0603 - see engine()
    if _engine is not None:
        _engine.dispose()
    _engine = None


def make_engine(url: str) -> Engine:
    """Make an engine with the rules of this project for either database."""
    if make_url(url).get_backend_name() == "sqlite":
        made = _sqlite(url)
    else:
        made = _postgresql(url)
    event.listen(made, "handle_error", _translate)
    return made


@contextmanager
def _session(bind: Engine) -> Iterator[Session]:
    session = Session(bind, expire_on_commit=False)
    try:
        yield session
    except sql.TimeoutError as error:  # all connections of the pool are taken
        raise DatabaseUnavailable(error) from error
    finally:
        session.close()  # rolls back whatever was not committed


def _sqlite(url: str) -> Engine:
    place = make_url(url).database
    if place and place != ":memory:":
        Path(place).absolute().parent.mkdir(parents=True, exist_ok=True)
    made = create_engine(
        url,
        json_serializer=to_json,
        pool_size=10,
        max_overflow=50,
        pool_timeout=WAIT_SECONDS,
    )

    @event.listens_for(made, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "foreign_keys = ON",
            f"busy_timeout = {BUSY_MILLISECONDS}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(made, "reset")
    def _on_reset(connection: Any, *_given: object) -> None:
        if connection.in_transaction:  # a commit failed: its lock must not stay behind
            connection.rollback()

    @event.listens_for(made, "begin")
    def _on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get("reading", False):
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_writing(connection)

    return made


def _begin_writing(connection: Connection) -> None:
    """Become SQLite's one writer, or give up after a while.

    SQLite itself would sleep up to 0.1 s between two looks, and a writer that comes
    back at once would never let it in; short random waits are fair enough.
    """
    driver: Any = connection.connection.dbapi_connection
    deadline = time.monotonic() + WAIT_SECONDS
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise DatabaseUnavailable(error) from error
                time.sleep(random.uniform(0.0005, 0.005))
            else:
                return
    finally:
        driver.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")


def _postgresql(url: str) -> Engine:
    return create_engine(
        url,
        json_serializer=to_json,
        pool_size=5,
        max_overflow=25,
        pool_timeout=5,
        pool_pre_ping=True,  # a restarted server costs no failed request
        connect_args={
            "connect_timeout": 3,
            "options": _POSTGRESQL_OPTIONS,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
        },
    )


def _translate(context: ExceptionContext) -> None:
    """Replace a driver's error by a fact that callers can act on."""
    if context.is_pre_ping:
        return  # the pool itself answers with a new connection
    raised = context.sqlalchemy_exception or context.original_exception
    if getattr(context.original_exception, "sqlite_errorcode", 0) == SQLITE_ERROR:
        return  # SQLite's word for wrong SQL, hence a fault of ours
    if isinstance(raised, sql.OperationalError | sql.InterfaceError):
        raise DatabaseUnavailable(context.original_exception) from raised
    if isinstance(raised, sql.InternalError) and "read-only" in str(raised):
        raise DatabaseUnavailable(context.original_exception) from raised
    if isinstance(raised, sql.DataError | OverflowError | UnicodeEncodeError):
        raise Unstorable(context.original_exception) from raised


def to_json(value: object) -> str:
    """Write JSON that both databases accept: numbers that are none become null."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _after_fork() -> None:
    """Leave the parent's connections alone and start with none."""
    global _engine, _making  # noqa: PLW0603 - see engine()
    _making = threading.Lock()
    if _engine is not None:
        _engine.dispose(close=False)
    _engine = None


os.register_at_fork(after_in_child=_after_fork)
