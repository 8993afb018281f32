"""Python expressions as text: on one line where they fit, else an argument a line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 88
STEP = 4
DIGITS = 12
"""Digits of a coefficient that are written: 1 - 0.9 is 0.1."""


@dataclass(frozen=True)
class Called:
    """A call, with arguments that are named or not."""

    name: str
    arguments: tuple[tuple[str, Any], ...] = ()
    """Pairs of a name, empty for one by position, and an expression."""

    def flat(self) -> str:
        """Return the call on one line."""
        told = [_named(name, flat(value)) for name, value in self.arguments]
        inner = ", ".join(told)
        return f"{self.name}({inner})".replace(", )", ",)")


def called(name: str, *arguments: Any, **named: Any) -> Called:
    """Return a call whose arguments are expressions."""
    unnamed = [("", each) for each in arguments]
    return Called(name, (*unnamed, *named.items()))


def flat(expression: Any) -> str:
    """Return an expression on one line."""
    return expression.flat() if isinstance(expression, Called) else str(expression)


def assigned(target: str, expression: Any, indent: int) -> list[str]:
    """Return the lines of an assignment."""
    return _laid(f"{' ' * indent}{target} = ", expression, indent, "")


def literal(value: Any) -> str:
    """Return a plain value as Python writes it, rounded as people would."""
    if isinstance(value, float):
        short = float(f"{value:.{DIGITS}g}")
        return repr(short)
    if isinstance(value, tuple | list):
        inner = ", ".join(literal(each) for each in value)
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, dict):
        pairs = (f"{literal(k)}: {literal(v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text: str) -> str:
    """Return a text as a literal, in double quotes where that needs no escape."""
    plain = re.fullmatch(r"[^\"\\]*", text) and text.isprintable()
    return f'"{text}"' if plain else repr(text)


def rows_of(name: str, values: Sequence[str], ends: str = "[]") -> list[str]:
    """Return the lines of a constant that holds literals, one a line if they are long.

    `ends` are the brackets.
    """
    line = f"{name} = {ends[0]}{', '.join(values)}{ends[1]}"
    if len(line) <= WIDTH:
        return [line]
    return [f"{name} = {ends[0]}", *(f"    {value}," for value in values), ends[1]]


def _laid(lead: str, expression: Any, indent: int, end: str) -> list[str]:
    line = f"{lead}{flat(expression)}{end}"
    if len(line) <= WIDTH or not isinstance(expression, Called):
        return [line]
    inner = " " * (indent + STEP)
    lines = [f"{lead}{expression.name}("]
    for name, value in expression.arguments:
        if value == "":  # it made a tuple of one
            continue
        start = f"{inner}{name}=" if name else inner
        lines += _laid(start, value, indent + STEP, ",")
    return [*lines, f"{' ' * indent}){end}"]


def _named(name: str, text: str) -> str:
    return f"{name}={text}" if name else text
