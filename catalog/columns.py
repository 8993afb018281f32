"""Column types and SQL words that mean the same on both databases."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ColumnElement,
    Dialect,
    Double,
    Enum,
    Integer,
    MetaData,
    String,
    Text,
    literal,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Boolean, TypeDecorator

from catalog.clock import Moment

Word = TypeVar("Word", bound=StrEnum)

Document = JSON(none_as_null=True)
"""What people or trainers wrote: kept as text, so that the order of keys and a NUL
inside a string survive, which JSONB would change or refuse."""

Members = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""A list of words that is searched by `has_member`."""

Identity = String(40)
"""An id made by `catalog.ids`."""

Serial = BigInteger().with_variant(Integer(), "sqlite")
"""A number that the database counts up."""


class Prose(TypeDecorator[str]):
    """Text from anywhere: what no database can hold is replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """Replace NUL and lone surrogates."""
        if value is None:
            return None
        return value.replace("\0", "\ufffd").encode(errors="replace").decode()


class Base(DeclarativeBase):
    """What all tables share."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pk",
            "fk": "%(table_name)s_%(column_0_name)s_fk",
            "uq": "%(table_name)s_%(column_0_N_name)s_unique",
            "ix": "%(table_name)s_by_%(column_0_N_name)s",
            "ck": "%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: Moment,
        dict[str, Any]: Document,
        list[dict[str, Any]]: Document,
        list[str]: Members,
        float: Double,
    }


def words(kind: type[Word], name: str) -> Enum:
    """Return the type of a column that holds one of an enumeration's words."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=False,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


def among(column: str, kind: type[StrEnum]) -> CheckConstraint:
    """Return the rule that a column holds one of an enumeration's words."""
    spelled = ", ".join(f"'{word.value}'" for word in kind)
    return CheckConstraint(f"{column} IN ({spelled})", name=f"{column}_known")


def is_word(column: Any, *members: StrEnum) -> ColumnElement[bool]:
    """Compare with words written into the SQL, so that partial indexes are used."""
    spelled = [literal(m, column.type, literal_execute=True) for m in members]
    if len(spelled) == 1:
        return column == spelled[0]  # type: ignore[no-any-return]
    return column.in_(spelled)  # type: ignore[no-any-return]


class has_member(FunctionElement[bool]):  # noqa: N801 - reads as the SQL function it is
    """Say whether a `Members` column holds a word."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: Any, word: str) -> None:
        """Take the column and the word."""
        super().__init__(column, literal(word, String()))


@compiles(has_member, "sqlite")
def _on_sqlite(element: has_member, compiler: SQLCompiler, **options: Any) -> str:
    column, word = (compiler.process(part, **options) for part in element.clauses)
    return f"EXISTS (SELECT 1 FROM json_each({column}) WHERE value = {word})"  # noqa: S608


@compiles(has_member, "postgresql")
def _on_postgresql(element: has_member, compiler: SQLCompiler, **options: Any) -> str:
    column, word = (compiler.process(part, **options) for part in element.clauses)
    return f"({column} @> jsonb_build_array(CAST({word} AS text)))"
