"""Dates as features: how long ago, and where in the year, the week and the day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from trainer.preprocessing.encodings import NO_DATE, Array, Standardised
from trainer.spec.base import Spec
from trainer.spec.data.calendar import CYCLES, place
from trainer.spec.data.schema import DatePart  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from trainer.spec.data.encodings import Date
    from trainer.spec.data.schema import Column


class DateFeatures(Spec):
    """The time, standardised, and each cycle's place as sine and cosine.

    A missing date has the mean time and no place in any cycle: 0 and 0, which is no
    point on the circle.
    """

    kind: Literal["date_features"] = "date_features"
    column: str
    parts: tuple[DatePart, ...]
    mean: float
    """Mean of the training rows that have a date, in microseconds since 1970 UTC."""
    deviation: float
    """Their population standard deviation; 0 for a constant."""
    indicator: bool = False
    """Whether a last feature says that the date is missing."""

    @property
    def width(self) -> int:
        """Return the number of features."""
        widths = [2 if part in CYCLES else 1 for part in self.parts]
        return sum(widths) + self.indicator

    @classmethod
    def fit(cls, column: Column, stored: Array, date: Date) -> DateFeatures:
        """Measure the rows that have a date."""
        measured = Standardised.fit(column, stored)
        return cls(
            column=column.name,
            parts=date.parts or ("time",),
            mean=measured.mean,
            deviation=measured.deviation,
            indicator=date.missing == "indicator",
        )

    def write(self, stored: Array, features: Array) -> None:
        """Write the features of dates into (rows, width) `features`."""
        missing = stored == NO_DATE
        moments = np.where(missing, 0, stored)
        at = 0
        for part in self.parts:
            if part == "time":
                away = (stored.astype(np.float64) - self.mean) / (self.deviation or 1)
                known = ~missing & (self.deviation > 0)
                features[:, at] = np.where(known, away, 0)
                at += 1
                continue
            angle = 2 * np.pi * place(part, moments) / CYCLES[part]
            features[:, at] = np.where(missing, 0, np.sin(angle))
            features[:, at + 1] = np.where(missing, 0, np.cos(angle))
            at += 2
        if self.indicator:
            features[:, at] = missing
