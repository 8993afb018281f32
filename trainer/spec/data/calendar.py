"""Where a moment lies in the year, the week and the day.

The functions take numpy arrays and need no numpy: the client has none.
"""

from typing import Any

from trainer.spec.data.schema import DatePart

DAY = 86_400_000_000
"""Microseconds of a day."""
THURSDAY = 3
"""The weekday of 1970-01-01, counted from Monday."""
CYCLES: dict[DatePart, float] = {
    "month": 12,
    "weekday": 7,
    "day_of_year": 365.25,
    "hour": 24,
}
"""The parts that come again, and how many steps each cycle has."""


def place(part: DatePart, moments: Any) -> Any:
    """Return where in a cycle moments lie, counted from 0.

    `moments` are microseconds since 1970 UTC; weeks begin on Monday, and the hour has
    its minutes behind the point.
    """
    days = moments // DAY
    dates = days.astype("datetime64[D]")
    if part == "weekday":
        found: Any = (days + THURSDAY) % 7
    elif part == "hour":
        found = (moments % DAY) / DAY * CYCLES["hour"]
    elif part == "month":
        found = (
            days.astype("datetime64[D]").astype("datetime64[M]").astype("int64") % 12
        )
    else:
        found = (dates - dates.astype("datetime64[Y]")).astype("int64")
    return found
