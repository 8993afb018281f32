"""How a CSV file is written: found in its first rows, unless it is given."""

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from catalog.ingest.errors import refuse
from catalog.ingest.order import Options

DELIMITERS = (",", "\t", ";", "|")
SAMPLE_ROWS = 200
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*\Z")
DATE = re.compile(r"\s*\d{4}-\d{2}-\d{2}([ T].*)?\Z")

MISSING = (
    *("", "NA", "N/A", "n/a", "#N/A", "#NA", "NaN", "nan", "-nan", "-NaN"),
    *("NULL", "Null", "null", "<NA>", "None"),
)
"""Strings that mean missing in any column."""
MISSING_AMONG_NUMBERS = ("?", "-", "--", ".", "*", "none", "missing", "unknown")
"""Strings that mean missing where all other values of the column are numbers."""


@dataclass(frozen=True)
class Dialect:
    """How to cut a CSV file into named fields."""

    delimiter: str
    quote: str
    names: tuple[str, ...]
    skip: int
    """Rows, blank ones included, before the first row of values."""
    header: bool
    trim: bool
    """Whether blanks stand between the delimiter and the value."""
    missing: tuple[str, ...]
    missing_among_numbers: tuple[str, ...]
    unnamed: tuple[str, ...] = ()
    """Columns that the file gives no name."""

    def described(self) -> dict[str, Any]:
        """Return what the report tells."""
        return {
            "format": "csv" if self.delimiter != "\t" else "tsv",
            "encoding": "utf-8",
            "delimiter": self.delimiter,
            "quote": self.quote,
            "header": "row" if self.header else "none",
            "trim": self.trim,
        }


def find(text: str, options: Options, *, whole: bool) -> Dialect:
    """Find the dialect of a file from its first characters."""
    blank = len(text) - len(text.lstrip("\r\n"))
    leading = len(text[:blank].splitlines())
    text = text[blank:]
    quote = options.quote or _quote(text)
    delimiter = options.delimiter or _delimiter(text, quote, whole=whole)
    rows = _rows(text, delimiter, quote, whole=whole)
    if not rows:
        raise refuse("no_rows", "the file is empty", "send a table with rows")
    header, names = _header(rows, options)
    named = _named(names)
    given = options.missing
    return Dialect(
        delimiter=delimiter,
        quote=quote,
        names=named,
        skip=leading + (1 if header else 0),
        header=header,
        trim=_is_padded(rows),
        missing=MISSING if given is None else given,
        missing_among_numbers=MISSING_AMONG_NUMBERS if given is None else (),
        unnamed=tuple(
            n for n, raw in zip(named, names, strict=True) if not raw.strip()
        ),
    )


def _rows(text: str, delimiter: str, quote: str, *, whole: bool) -> list[list[str]]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote
    )
    rows = []
    for row in reader:
        if row:
            rows.append(row)
        if len(rows) > SAMPLE_ROWS:
            break
    cut = not whole and len(rows) <= SAMPLE_ROWS
    return rows[:-1] if cut and len(rows) > 1 else rows


def _delimiter(text: str, quote: str, *, whole: bool) -> str:
    """Choose the delimiter that cuts the rows most evenly into several fields."""
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        counts = Counter(map(len, _rows(text, delimiter, quote, whole=whole)))
        fields, often = counts.most_common(1)[0] if counts else (1, 0)
        if fields == 1:
            continue
        score = (often / counts.total(), fields)
        # Nearly as even and much wider wins: a comma inside text cuts evenly too.
        if score[0] > best_score[0] + 0.2 or (
            score[0] > best_score[0] - 0.2 and score[1] > best_score[1]
        ):
            best, best_score = delimiter, score
    return best


def _quote(text: str) -> str:
    """Choose the single quote only where fields open and close with it."""
    edges = {
        mark: len(
            re.findall(
                rf"(?:^|[,\t;|]){mark}[^{mark}\n]*{mark}(?=[,\t;|\r\n]|$)",
                text,
                re.MULTILINE,
            )
        )
        for mark in "\"'"
    }
    return "'" if edges["'"] > 0 and edges['"'] == 0 else '"'


def _header(rows: list[list[str]], options: Options) -> tuple[bool, list[str]]:
    first = rows[0]
    if isinstance(options.header, tuple):
        if len(options.header) != len(first):
            raise refuse(
                "header_mismatch",
                f"{len(options.header)} names are given, the first row has "
                f"{len(first)} fields",
                "give one name per column in `header`",
            )
        return False, list(options.header)
    if options.header == "row" or (options.header is None and _names_columns(rows)):
        return True, first
    return False, [f"column_{number}" for number in range(1, len(first) + 1)]


def _names_columns(rows: list[list[str]]) -> bool:
    """Tell whether the first row holds names rather than values."""
    first = rows[0]
    if any(NUMBER.match(field) or DATE.match(field) for field in first):
        return False
    if not any(field.strip() for field in first):
        return False
    # A row of values comes again sooner or later; a row of names does not.
    return len(rows) == 1 or first not in rows[1:]


def _named(names: list[str]) -> tuple[str, ...]:
    named = [name.strip() or f"column_{at}" for at, name in enumerate(names, 1)]
    twice = [name for name, count in Counter(named).items() if count > 1]
    if twice:
        raise refuse(
            "duplicate_column",
            f"the column name {twice[0]!r} occurs {named.count(twice[0])} times",
            "give each column a name of its own, or all names as `header`",
            column=twice[0],
        )
    return tuple(named)


def _is_padded(rows: list[list[str]]) -> bool:
    """Tell whether nearly all fields but the first start with a blank."""
    fields = [field for row in rows[1:] for field in row[1:]]
    padded = sum(field.startswith(" ") for field in fields)
    return len(fields) > 0 and padded >= 0.9 * len(fields)
