"""Time as the database sees it: the one clock that all processes share.

Leases, retries and time limits compare and store ``now()`` only; no process's own
clock decides anything, so a worker with a wrong clock does no harm.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Double, String, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

_TEXT = "%Y-%m-%d %H:%M:%S.%f"


class Moment(TypeDecorator[datetime]):
    """A time-zone aware UTC time; text of fixed width on SQLite, so that it sorts."""

    impl = DateTime
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """Return what values of this type are."""
        return datetime

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the stored type: text on SQLite, timestamptz elsewhere."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(26))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Write a time; one without a zone is refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the time {value} has no time zone")
        value = value.astimezone(UTC)
        return value.strftime(_TEXT) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Read a time as UTC."""
        if value is None:
            return None
        if isinstance(value, str):
            return datetime.strptime(value, _TEXT).replace(tzinfo=UTC)
        moment: datetime = value
        return moment.astimezone(UTC)


class now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """The database's time of this statement, `plus_seconds` later."""

    type = Moment()
    inherit_cache = True

    def __init__(self, plus_seconds: float = 0) -> None:
        """Take a number of seconds to add, which may be negative."""
        super().__init__(literal(float(plus_seconds), Double()))


@compiles(now, "sqlite")
def _on_sqlite(element: now, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    shift = f"printf('%+.3f seconds', {seconds})"
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {shift}) || '000')"


@compiles(now, "postgresql")
def _on_postgresql(element: now, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    shift = f"make_interval(secs => CAST({seconds} AS double precision))"
    return f"(statement_timestamp() + {shift})"
