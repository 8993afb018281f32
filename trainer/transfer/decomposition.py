"""Features of a few rows, centred and decomposed once for every score that follows.

A score needs the features F (rows, width) only through the left singular vectors of the
centred F, its singular values, and, to answer for further rows, the way back to a
linear map. Whichever of FᵀF and FFᵀ is smaller is decomposed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

NEGLIGIBLE = 1e-7
"""Singular values below this share of the largest are rounding: squares of float64
carry half its digits."""


@dataclass(frozen=True)
class Decomposition:
    """F - mean = U diag(s) Vᵀ without its null space.

    Shapes:
        left: (rows, rank); singular: (rank,), falling; mean: (width,); centred: (rows,
        width).
    """

    left: Array
    singular: Array
    mean: Array
    centred: Array

    @property
    def rank(self) -> int:
        """Return how many directions there are."""
        return len(self.singular)

    def projected(self, rows: Array) -> Array:
        """Return further rows in the coordinates of `left`: (F - mean) V / s.

        V = Fᵀ U / s is never formed where the features are wider than the rows.
        """
        away = np.asarray(rows, np.float64) - self.mean
        width, count = away.shape[1], len(self.centred)
        if width <= count:
            right = self.centred.T @ (self.left / self.singular)
            turned: Array = away @ right
        else:
            turned = (away @ self.centred.T) @ (self.left / self.singular)
        return np.asarray(turned / self.singular)


def decomposed(features: Array) -> Decomposition:
    """Decompose features (rows, width), whatever finite numbers they are."""
    centred = np.asarray(features, np.float64)
    mean = centred.mean(axis=0)
    centred = centred - mean
    rows, width = centred.shape
    if width <= rows:
        squares, vectors = np.linalg.eigh(centred.T @ centred)
    else:
        squares, vectors = np.linalg.eigh(centred @ centred.T)
    singular = np.sqrt(np.maximum(squares[::-1], 0))
    vectors = vectors[:, ::-1]
    kept = singular > NEGLIGIBLE * max(float(singular[0]), np.finfo(float).tiny)
    singular, vectors = singular[kept], vectors[:, kept]
    left = centred @ vectors / singular if width <= rows else vectors
    return Decomposition(left, singular, mean, centred)
