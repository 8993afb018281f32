"""Which kind a column of strings is, found from all of its values."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from catalog.ingest.columns import NO_BOOLEAN, NO_CATEGORY, NO_DATE, Array
from catalog.ingest.errors import refuse
from catalog.ingest.order import Complaint, TableKind
from trainer.spec.data.schema import ColumnKind

CATEGORIES = 1_000
"""Most distinct strings of a category column."""
FEW = 20
"""Distinct strings that are few however few rows there are."""
NEARLY = 0.9
"""Share of numbers from which the other values look like mistakes."""

NUMERIC = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
DIGITS = re.compile(r"[+-]?[0-9]{1,18}")
LONG = 1_000
"""Bytes from which a string is prose, not the name of a category."""

Cast = Callable[[pa.Array], pa.Array]


def _integers(values: pa.Array) -> pa.Array:
    integers = pc.cast(values, pa.int64())
    _check_zeros(values, r"^0[0-9xX]")
    return integers


def _numbers(values: pa.Array) -> pa.Array:
    numbers = pc.cast(values, pa.float64())
    _check_zeros(values, r"^0[0-9]+$")
    return numbers


def _check_zeros(values: pa.Array, pattern: str) -> None:
    """Refuse codes such as 02134, which would lose their zeros as numbers."""
    zeros = values.filter(pc.starts_with(values, "0"))
    if len(zeros) and pc.any(pc.match_substring_regex(zeros, pattern)).as_py():
        raise pa.ArrowInvalid("codes, not counts")


def _booleans(values: pa.Array) -> pa.Array:
    lower = pc.utf8_lower(values)
    if not _all_in(lower, ["true", "false"]):
        raise pa.ArrowInvalid("neither true nor false")
    return pc.equal(lower, "true")


def _loose_booleans(values: pa.Array) -> pa.Array:
    lower = pc.utf8_lower(values)
    yes, no = ["true", "t", "yes", "y", "1"], ["false", "f", "no", "n", "0"]
    if not _all_in(lower, yes + no):
        raise pa.ArrowInvalid("neither true nor false")
    known = pc.is_in(lower, pa.array(yes))
    return pc.if_else(pc.is_valid(values), known, pa.scalar(None, pa.bool_()))


def _all_in(values: pa.Array, words: list[str]) -> bool:
    return bool(pc.all(pc.is_in(values.drop_null(), pa.array(words))).as_py())


def _dates(values: pa.Array) -> pa.Array:
    try:
        return pc.cast(pc.cast(values, pa.timestamp("us")), pa.int64())
    except pa.ArrowInvalid:
        return pc.cast(pc.cast(values, pa.timestamp("us", "UTC")), pa.int64())


FOUND: dict[TableKind, Cast] = {
    "integer": _integers,
    "number": _numbers,
    "boolean": _booleans,
    "date": _dates,
}
"""The kinds that are looked for, the narrowest first."""

GIVEN: dict[TableKind, Cast] = FOUND | {
    "integer": lambda values: pc.cast(values, pa.int64()),
    "number": lambda values: pc.cast(values, pa.float64()),
    "boolean": _loose_booleans,
}
"""The same where the user says the kind: then 007 is 7."""


def is_castable(values: pa.Array, cast: Cast) -> bool:
    """Tell whether all values can be read by `cast`."""
    try:
        cast(values)
    except pa.ArrowInvalid:
        return False
    return True


@dataclass
class Decision:
    """What became of a column: its kind, and how its strings turn into that."""

    kind: ColumnKind
    missing: pa.Array
    """Strings that mean missing, besides null."""
    categories: tuple[str, ...] = ()
    cast: Cast | None = None

    def convert(self, strings: pa.Array) -> Array | pa.Array:
        """Turn strings into what the column stores."""
        if len(self.missing):
            known = pc.invert(pc.is_in(strings, self.missing))
            strings = pc.if_else(known, strings, pa.scalar(None, strings.type))
        if self.kind == "text":
            return strings
        if self.kind == "category":
            codes = pc.index_in(strings, pa.array(self.categories, pa.utf8()))
            return codes.fill_null(NO_CATEGORY).to_numpy(zero_copy_only=False)
        assert self.cast is not None
        values = self.cast(strings)
        if self.kind == "boolean":
            values = pc.cast(values, pa.uint8()).fill_null(NO_BOOLEAN)
        elif self.kind == "date":
            values = values.fill_null(NO_DATE)
        elif self.kind == "number":
            values = pc.cast(values, pa.float64(), safe=False)
        return values.to_numpy(zero_copy_only=False)


@dataclass
class Strings:
    """What is known of a column of strings after the batches so far."""

    name: str
    given: TableKind | None = None
    literal: bool = False
    """Whether a string is a string, as in JSON: "1" is no number then."""
    among_numbers: tuple[str, ...] = ()
    present: int = 0
    nulls: int = 0
    kind: TableKind | None = None
    """The narrowest kind that fits all values so far; None before the first."""
    distinct: set[str] | None = field(default_factory=set)
    """The different strings, until there are too many."""
    odd: set[str] = field(default_factory=set)
    """Those of `among_numbers` that occur."""
    strays: list[Complaint] = field(default_factory=list)
    stray_count: int = 0
    hopeless: bool = False

    def see(self, strings: pa.Array, first_row: int) -> None:
        """Learn from the next batch, which starts at `first_row`."""
        values = strings.drop_null()
        self.nulls += strings.null_count
        if not len(values):
            return
        self.present += len(values)
        self._count(values)
        if self.given is not None:
            self._check_given(strings, values, first_row)
        elif not self.literal:
            self._narrow(strings, values, first_row)

    def decide(self) -> Decision:
        """Settle the kind once all values were seen."""
        odd = sorted(self.odd) if self.kind in FOUND else []
        missing = pa.array(odd, pa.utf8())
        kind = self.given or ("text" if self.literal else self.kind)
        if kind in FOUND:
            if kind == "integer" and (self.nulls or odd):
                kind = "number"  # integers have no value that means missing
            return Decision(kind, missing, cast=GIVEN[kind])  # all values fit
        if self.given is None and not self.present and not self.literal:
            return Decision("number", missing, cast=_numbers)  # nothing but missing
        if kind == "category" or (self.given is None and self._is_category()):
            return Decision("category", missing, self._categories())
        return Decision("text", missing)

    def stray_problems(self) -> list[Complaint]:
        """Return the values that spoil a column of numbers, if they are few."""
        return [] if self.hopeless or self.given else self.strays

    def _narrow(self, strings: pa.Array, values: pa.Array, first_row: int) -> None:
        if self.kind in {None, *FOUND}:
            found = self._kind_of(values)
            joined = found if self.kind is None else _join(self.kind, found)
            if joined in FOUND:
                self.kind = joined
                return
            self.hopeless |= self.kind not in {None, "integer", "number"}
            self.kind = "text"
        if not self.hopeless:
            self._note_strays(strings, values, first_row)

    def _kind_of(self, values: pa.Array) -> TableKind:
        wanted = [self.kind] if self.kind in FOUND else []
        for kind in [*wanted, *FOUND]:
            if is_castable(values, FOUND[kind]):
                return kind
        odd = pa.array(self.among_numbers, pa.utf8())
        mask = pc.is_in(values, odd)
        kept = values.filter(pc.invert(mask))
        if 0 < len(kept) < len(values):
            for kind in ("integer", "number", "date"):
                if is_castable(kept, FOUND[kind]):
                    self.odd |= set(pc.unique(values.filter(mask)).to_pylist())
                    return kind
        return "text"

    def _note_strays(self, strings: pa.Array, values: pa.Array, first_row: int) -> None:
        numeric = pc.match_substring_regex(values, NUMERIC)
        good = pc.sum(numeric).as_py()
        self.stray_count += len(values) - good
        if (
            good < NEARLY * len(values)
            or self.stray_count > (1 - NEARLY) * self.present
        ):
            self.hopeless = True
            return
        rows = pc.fill_null(pc.match_substring_regex(strings, NUMERIC), True)
        for at in pc.indices_nonzero(pc.invert(rows)).to_pylist()[
            : 5 - len(self.strays)
        ]:
            row, value = first_row + at, strings[at].as_py()
            self.strays.append(
                Complaint(
                    code="not_a_number",
                    detail=f"row {row}: {self.name!r} is {value[:80]!r}, where nearly "
                    "all other values are numbers",
                    remedy=f"correct it, or add {value[:80]!r} to `missing`",
                    row=row,
                    column=self.name,
                )
            )

    def _check_given(self, strings: pa.Array, values: pa.Array, first_row: int) -> None:
        cast = GIVEN.get(self.given) if self.given else None
        if cast is None or is_castable(values, cast):
            return
        at = next(
            at
            for at in range(len(strings))
            if strings[at].is_valid and not is_castable(strings.slice(at, 1), cast)
        )
        row, value = first_row + at, strings[at].as_py()
        raise refuse(
            "wrong_kind",
            f"row {row}: {self.name!r} is given as {self.given}, but its value is "
            f"{value[:80]!r}",
            "correct the value, add it to `missing`, or give another kind",
            row=row,
            column=self.name,
        )

    def _count(self, values: pa.Array) -> None:
        if (
            self.distinct is not None
            and pc.max(pc.binary_length(values)).as_py() > LONG
        ):
            self.distinct = None
        if self.distinct is not None:
            self.distinct |= set(pc.unique(values).to_pylist())
            if len(self.distinct) > CATEGORIES:
                self.distinct = None

    def _is_category(self) -> bool:
        if self.distinct is None or not self.distinct:
            return False
        count = len(self.distinct)
        return 2 * count <= self.present or (count <= FEW and count < self.present)

    def _categories(self) -> tuple[str, ...]:
        if self.distinct is None:
            raise refuse(
                "too_many_categories",
                f"{self.name!r} is given as category, but has more than "
                f"{CATEGORIES:,} different values",
                f"give {self.name!r} the kind text",
                column=self.name,
            )
        found = list(self.distinct)
        if all(DIGITS.fullmatch(value) for value in found):
            return tuple(sorted(found, key=lambda value: (int(value), value)))
        return tuple(sorted(found))


def _join(one: TableKind, other: TableKind) -> TableKind:
    """Return the narrowest kind that holds both."""
    if one == other:
        return one
    return "number" if {one, other} == {"integer", "number"} else "text"
