"""Mean and deviation of every feature of an image or array, in one place.

In float64 and over chunks, so that neither the number of rows nor their order within
a chunk costs accuracy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

Array = np.ndarray[Any, np.dtype[Any]]


def feature_statistics(
    chunks: Iterable[Array], shape: tuple[int, ...]
) -> tuple[Array, Array]:
    """Return mean and population deviation per feature, exactly 0 for a constant.

    Chunks are merged as they come, so that the rows are read once.

    Source: Chan, Golub and LeVeque (1979), updating formulae for sample variances.

    Shapes:
        each chunk: (rows, *shape); returns two of `shape`.
    """
    count = 0
    mean, squares = np.zeros(shape), np.zeros(shape)
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    for chunk in chunks:
        rows = len(chunk)
        chunk_mean = chunk.mean(axis=0, dtype=np.float64)
        away = chunk - chunk_mean
        shift = chunk_mean - mean
        total = count + rows
        squares += (away * away).sum(axis=0) + shift * shift * (count * rows / total)
        mean += shift * (rows / total)
        low = np.minimum(low, chunk.min(axis=0))
        high = np.maximum(high, chunk.max(axis=0))
        count = total
    constant = low >= high
    deviation = np.sqrt(squares / max(count, 1))
    return np.where(constant, low, mean), np.where(constant, 0.0, deviation)
