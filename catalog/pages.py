"""Keyset pages: a cursor remembers where the page before ended, not how far it was.

So a page is as quick at the end of a list as at its start, and rows that come or go
meanwhile neither repeat nor hide others.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, and_, false, or_
from sqlalchemy.orm import InstrumentedAttribute, Session

from catalog.errors import MalformedCursor

Row = TypeVar("Row")


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows of a list, and where the next ones begin."""

    rows: Sequence[Row]
    next_cursor: str | None

    @property
    def has_more(self) -> bool:
        """Say whether rows follow."""
        return self.next_cursor is not None


@dataclass(frozen=True)
class Key:
    """A column that a list is ordered by; the last key of an order is unique."""

    column: InstrumentedAttribute[Any]
    descending: bool = False

    def follows(self, value: Any) -> ColumnElement[bool]:
        """Return the condition of coming after a value; None comes last."""
        if value is None:
            return false()
        beyond = self.column < value if self.descending else self.column > value
        return or_(beyond, self.column.is_(None)) if self._optional else beyond

    def equals(self, value: Any) -> ColumnElement[bool]:
        """Return the condition of having a value."""
        return self.column.is_(None) if value is None else self.column == value

    @property
    def ordering(self) -> list[ColumnElement[Any]]:
        """Return what to order by: None last on both databases."""
        direction = self.column.desc() if self.descending else self.column.asc()
        missing = self.column.is_(None)
        return [missing.asc(), direction] if self._optional else [direction]

    @property
    def _optional(self) -> bool:
        return bool(self.column.expression.nullable)


def page(
    session: Session,
    query: Select[Row],
    keys: Sequence[Key],
    limit: int,
    cursor: str | None = None,
) -> Page[Row]:
    """Return the page of `query` that follows `cursor`, in the order of `keys`.

    Raises:
        MalformedCursor: the cursor was not made for this order.
    """
    if cursor is not None:
        query = query.where(_after(keys, _read(cursor, keys)))
    for key in keys:
        query = query.order_by(*key.ordering)
    rows = session.scalars(query.limit(limit + 1)).all()
    if len(rows) <= limit:
        return Page(rows, None)
    kept = rows[:limit]
    return Page(kept, _write(kept[-1], keys))


def _after(keys: Sequence[Key], values: Sequence[Any]) -> ColumnElement[bool]:
    """Spell out ``(a, b) > (x, y)``, where directions may differ."""
    return or_(
        *(
            and_(
                *(k.equals(v) for k, v in zip(keys[:n], values[:n], strict=True)),
                key.follows(values[n]),
            )
            for n, key in enumerate(keys)
        )
    )


def _signature(keys: Sequence[Key]) -> str:
    return ",".join(f"{'-' if k.descending else ''}{k.column.key}" for k in keys)


def _write(row: Any, keys: Sequence[Key]) -> str:
    values = [getattr(row, key.column.key) for key in keys]
    spelled = [v.isoformat() if isinstance(v, datetime) else v for v in values]
    text = json.dumps([_signature(keys), *spelled], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(cursor: str, keys: Sequence[Key]) -> list[Any]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        raw = base64.b64decode(padded.encode("ascii"), b"-_", validate=True)
        signature, *values = json.loads(raw)
        if signature != _signature(keys) or len(values) != len(keys):
            raise MalformedCursor(cursor)
        return [_typed(k, v) for k, v in zip(keys, values, strict=True)]
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise MalformedCursor(cursor) from error


def _typed(key: Key, value: Any) -> Any:
    """Check a value out of a cursor against its column."""
    if value is None:
        return None
    kind = key.column.type.python_type
    if kind is datetime:
        return datetime.fromisoformat(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind or (kind is str and "\0" in value):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
