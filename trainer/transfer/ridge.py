"""Ridge regression on features, and what it answers of rows that it did not see.

Ridge regression on the targets, classes as columns of 0 and 1; each row is answered by
the model that all the other rows make, which the hat matrix gives without fitting
again. Source: Allen (1974), Technometrics 16 (the leave-one-out residual e / (1 - h));
Hoerl and Kennard (1970), Technometrics 12 (ridge regression).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from trainer.transfer.decomposition import Decomposition

Array = np.ndarray[Any, np.dtype[Any]]

STRENGTHS = np.logspace(-6, 3, 19)
"""Penalties that are tried, as multiples of the mean squared singular value."""
SATURATED = 1e-9
"""Least 1 - h that is divided by: a row that only it itself explains."""


@dataclass(frozen=True)
class RidgeAnswers:
    """What the best ridge regression says of rows that it has not seen.

    Shapes:
        own: (rows, outputs), each row answered by all the others; further: (further
        rows, outputs).
    """

    own: Array
    further: Array
    strength: float
    """The penalty that was chosen, as a multiple of the mean squared singular value."""


def answered(found: Decomposition, targets: Array, further: Array) -> RidgeAnswers:
    """Fit, choose the penalty by the left-out errors, and answer further rows.

    Shapes:
        targets: (rows, outputs); further: (further rows, rank), projected.
    """
    numbers = np.asarray(targets, np.float64)
    mean = numbers.mean(axis=0)
    centred = numbers - mean
    along = found.left.T @ centred
    squares = found.singular**2
    scale = float(squares.mean()) if found.rank else 1.0
    leverages = found.left**2
    best, error, kept = centred * 0, np.inf, float(STRENGTHS[-1])
    for strength in STRENGTHS if found.rank else ():
        shrunk = squares / (squares + strength * scale)
        own = _left_out(
            centred, found.left @ (shrunk[:, None] * along), leverages @ shrunk
        )
        wrong = float(((own - centred) ** 2).mean())
        if wrong < error:
            best, error, kept = own, wrong, float(strength)
    shrunk = squares / (squares + kept * scale)
    beyond = further @ (shrunk[:, None] * along)
    return RidgeAnswers(best + mean, beyond + mean, kept)


def _left_out(targets: Array, fitted: Array, leverage: Array) -> Array:
    """Return what each row would be answered by the model of all the others.

    The mean is fitted too, which adds 1 / rows to each leverage.
    """
    rest = np.maximum(1 - leverage - 1 / len(targets), SATURATED)
    answers: Array = targets - (targets - fitted) / rest[:, None]
    return answers
