"""Numbers on a scale of one's choice, with a choice of what a missing one becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trainer.preprocessing.encodings import Array, as_numbers
from trainer.spec.base import Spec
from trainer.spec.data.encodings import (
    Logarithm,
    MinMax,
    Standardized,
    Unscaled,
)

if TYPE_CHECKING:
    from trainer.spec.data.schema import Column

Scale = Standardized | Unscaled | MinMax | Logarithm


class Scaled(Spec):
    """(z - shift) · factor, where z is the number or sign(x) log(1 + |x|).

    A missing value becomes `fill`, and a 1 in a feature of its own if there is one.
    """

    kind: Literal["scaled"] = "scaled"
    column: str
    form: Literal["number", "integer"]
    """How the column is stored."""
    logarithm: bool = False
    shift: float
    factor: float
    """0 for a constant."""
    fill: float
    """What stands for a missing z: its mean or its median over the training rows."""
    indicator: bool = False
    """Whether a second feature says that the value is missing."""

    @property
    def width(self) -> int:
        """Return the number of features."""
        return 1 + self.indicator

    @classmethod
    def fit(cls, column: Column, stored: Array, scale: Scale) -> Scaled:
        """Measure the rows that have a value."""
        form: Any = column.kind
        logarithm = isinstance(scale, Logarithm)
        z = _curved(as_numbers(form, stored), logarithm=logarithm)
        present = z[~np.isnan(z)]
        if not present.size:
            present = np.zeros(1)
        shift, spread = 0.0, 1.0
        if isinstance(scale, MinMax):
            shift, spread = float(present.min()), float(np.ptp(present))
        elif not isinstance(scale, Unscaled):
            shift, spread = float(present.mean()), float(present.std())
        if present.min() == present.max() and not isinstance(scale, Unscaled):
            shift, spread = float(present[0]), 0.0
        middle = np.median if scale.missing == "median" else np.mean
        return cls(
            column=column.name,
            form=form,
            logarithm=logarithm,
            shift=shift,
            factor=1 / spread if spread else 0.0,
            fill=float(middle(present)),
            indicator=scale.missing == "indicator",
        )

    def write(self, stored: Array, features: Array) -> None:
        """Write scaled values, and ones where they are missing, into `features`."""
        z = _curved(as_numbers(self.form, stored), logarithm=self.logarithm)
        missing = np.isnan(z)
        scaled = (np.where(missing, self.fill, z) - self.shift) * self.factor
        features[:, 0] = scaled if self.factor else 0
        if self.indicator:
            features[:, 1] = missing


def _curved(numbers: Array, *, logarithm: bool) -> Array:
    if not logarithm:
        return numbers
    curved: Array = np.sign(numbers) * np.log1p(np.abs(numbers))
    return curved
