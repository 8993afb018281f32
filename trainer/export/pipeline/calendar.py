"""Where a moment lies in the year, the week and the day, in whole numbers.

ONNX knows no dates. Source of the way from days to months: H. Hinnant (2013),
"chrono-compatible low-level date algorithms", civil_from_days. Its years begin in March
and its eras, of 400 years, on 1 March 0000.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.spec.data.calendar import CYCLES, DAY, THURSDAY

if TYPE_CHECKING:
    from trainer.export.pipeline.node_writer import NodeWriter
    from trainer.spec.data.schema import DatePart

BEGINNING = 719_468
"""Days from 1 March 0000 to 1 January 1970."""
ERA = 146_097
"""Days of 400 years."""
JANUARY = 306
"""Days from 1 March to 1 January."""
BEFORE_MARCH = 59
"""Days from 1 January to 1 March but for a leap day."""


def place(scribe: NodeWriter, part: DatePart, moments: str) -> str:
    """Return where in a cycle moments lie, counted from 0: (rows,), double.

    `moments` are int64, microseconds since 1970 UTC.
    """
    within = _mod(scribe, moments, DAY)
    if part == "hour":
        share = scribe.node("Div", scribe.cast(within, "double"), float(DAY))
        return scribe.node("Mul", share, float(CYCLES["hour"]))
    days = _divided(scribe, scribe.node("Sub", moments, within), DAY)
    if part == "weekday":
        found = _mod(scribe, _plus(scribe, days, THURSDAY), 7)
    else:
        found = _of_year(scribe, days, months=part == "month")
    return scribe.cast(found, "double")


def _of_year(scribe: NodeWriter, days: str, *, months: bool) -> str:
    """Return the month, or the day, of the year, counted from 0."""
    since = _plus(scribe, days, BEGINNING)
    day = _mod(scribe, since, ERA)  # of the era
    leaps = scribe.node(
        "Sub", _divided(scribe, day, 36_524), _divided(scribe, day, 1_460)
    )
    fourths, centuries = _divided(scribe, day, 1_460), _divided(scribe, day, 36_524)
    leaps = scribe.node("Sub", centuries, fourths)
    leaps = scribe.node("Sub", leaps, _divided(scribe, day, ERA - 1))
    year = _divided(scribe, scribe.node("Add", day, leaps), 365)  # of the era
    begun = scribe.node("Mul", year, np.int64(365))
    begun = scribe.node("Add", begun, _divided(scribe, year, 4))
    begun = scribe.node("Sub", begun, _divided(scribe, year, 100))
    passed = scribe.node("Sub", day, begun)  # since 1 March
    if months:
        fifths = _plus(scribe, scribe.node("Mul", passed, np.int64(5)), 2)
        return _mod(scribe, _plus(scribe, _divided(scribe, fifths, 153), 2), 12)
    leap = _is_leap(scribe, year)
    spring = _plus(scribe, scribe.node("Add", passed, leap), BEFORE_MARCH)
    winter = _plus(scribe, passed, -JANUARY)
    is_winter = scribe.node("GreaterOrEqual", passed, np.int64(JANUARY))
    return scribe.node("Where", is_winter, winter, spring)


def _is_leap(scribe: NodeWriter, year: str) -> str:
    """Return 1 for a leap year of an era, else 0."""

    def divides(by: int) -> str:
        return scribe.node("Equal", _mod(scribe, year, by), np.int64(0))

    plain = scribe.node("And", divides(4), scribe.node("Not", divides(100)))
    return scribe.cast(scribe.node("Or", plain, divides(400)), "int64")


def _mod(scribe: NodeWriter, value: str, by: int) -> str:
    """Return the rest, which is never negative."""
    return scribe.node("Mod", value, np.int64(by))


def _divided(scribe: NodeWriter, value: str, by: int) -> str:
    """Return a quotient of whole numbers, of which none is negative or left over."""
    return scribe.node("Div", value, np.int64(by))


def _plus(scribe: NodeWriter, value: str, more: int) -> str:
    return scribe.node("Add", value, np.int64(more))
