"""How alembic reaches the database: the settings' address, one migration at a time."""

from typing import Any

from alembic import context
from sqlalchemy import Connection, create_engine, event, make_url, pool, text

from catalog.settings import settings
from catalog.tables import Base

LOCK = 0x46726F73
"""Number of the advisory lock under which PostgreSQL is migrated."""


def address() -> str:
    """Return the database's URL: ``-x url=…`` if given, else the settings'."""
    given: str | None = context.get_x_argument(as_dictionary=True).get("url")
    return given or settings().url


def offline() -> None:
    """Print the SQL instead of running it."""
    context.configure(url=address(), target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def online() -> None:
    """Migrate in one transaction: a migration that fails leaves nothing behind."""
    url = make_url(address())
    engine = create_engine(url, poolclass=pool.NullPool)
    if url.get_backend_name() == "sqlite":
        settings().folder.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _sqlite_connected)
        event.listen(engine, "begin", _sqlite_began)
    with engine.begin() as connection:
        if url.get_backend_name() == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=url.get_backend_name() == "sqlite",
            transactional_ddl=True,
        )
        with context.begin_transaction():
            context.run_migrations()


def _sqlite_connected(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would commit before each DDL
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA busy_timeout = 30000")


def _sqlite_began(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


if context.is_offline_mode():
    offline()
else:
    online()
