"""How results and problems look on a terminal, and as JSON."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

WIDE = 240
"""Columns of what is no terminal: nothing is cut there."""

results = Console(
    highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE
)
"""For what was asked for."""
remarks = Console(stderr=True, highlight=False, soft_wrap=True)
"""For everything else."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

ID_WIDTH = 30
"""An id is for copying: it is never cut."""
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def problem(text: str) -> None:
    """Say what went wrong."""
    remarks.print(f"[bold red]error:[/] {escape(text)}")


def remark(text: str) -> None:
    """Say something that is not the result."""
    remarks.print(escape(text))


def say(text: str) -> None:
    """Print one line of the result."""
    results.print(escape(text))


def emit(found: object) -> None:
    """Print JSON values, for scripts."""
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False))


def emit_line(found: object) -> None:
    """Print JSON values on one line, for scripts that read line by line."""
    typer.echo(json.dumps(found, ensure_ascii=False))


def table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None
) -> None:
    """Print a table; a head that begins with ``>`` is set to the right."""
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for head in heads:
        right = head.startswith(">")
        drawn.add_column(
            head.removeprefix(">"),
            justify="right" if right else "left",
            no_wrap=right or head == "id",
            min_width=ID_WIDTH if head == "id" else None,
        )
    for row in rows:
        drawn.add_row(*(escape(shown(cell)) for cell in row))
    results.print(drawn, soft_wrap=False)


def facts(found: Mapping[str, object]) -> None:
    """Print names and values, those that have one."""
    grid = Table.grid(padding=(0, 2))
    for name, value in found.items():
        if value is not None:
            grid.add_row(escape(name), escape(shown(value)))
    results.print(grid, soft_wrap=False)


def shown(value: object) -> str:
    """Return a value as a person writes it.

    >>> shown(0.98251), shown(None), shown(12345), shown([1, 2])
    ('0.9825', '', '12,345', '1, 2')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(one)}" for name, one in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(shown, value))
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return str(value)


def shape(found: Sequence[Any] | None) -> str:
    """Return a shape as it is spoken.

    >>> shape([28, 28, 1])
    '28 x 28 x 1'
    """
    return " x ".join(f"{size}" for size in found or ())


def size(count: float) -> str:
    """Return a number of bytes with its unit.

    >>> size(512), size(3 * 1024 * 1024)
    ('512 B', '3.0 MiB')
    """
    if count < 1024:  # noqa: PLR2004 — bytes per KiB
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:  # noqa: PLR2004
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"


def lasting(seconds: float) -> str:
    """Return a duration in the units that fit.

    >>> lasting(2.34), lasting(75), lasting(7300)
    ('2.3 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min {seconds % MINUTE:.0f} s"
    return f"{seconds // HOUR:.0f} h {seconds % HOUR // MINUTE:.0f} min"


def ago(at: datetime | None) -> str:
    """Return how long ago something was."""
    if at is None:
        return ""
    seconds = max(0.0, (datetime.now(UTC) - at).total_seconds())
    if seconds < MINUTE:
        return "just now"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min ago"
    if seconds < DAY:
        return f"{seconds // HOUR:.0f} h ago"
    return f"{seconds // DAY:.0f} d ago"
