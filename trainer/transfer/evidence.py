"""LogME: the logarithm of the maximum evidence of a linear model of features.

Source: You, Liu, Wang and Long (2021), ICML, "LogME: Practical Assessment of
Pre-trained Models for Transfer Learning", equations 2 to 4 and algorithm 1; the fixed
point is MacKay's (1992), in the form of Bishop (2006), equations 3.86 to 3.98.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from trainer.transfer.decomposition import Decomposition

Array = np.ndarray[Any, np.dtype[Any]]

ROUNDS = 200
SETTLED = 1e-5
"""Relative change of α / β at which the fixed point is reached."""
LARGEST = 1e12
"""Bound of α and of β: features that say nothing have α → ∞, perfect ones β → ∞, and
where there are no features α is nothing at all."""


def log_maximum_evidence(found: Decomposition, targets: Array) -> float:
    """Return the evidence per row but one, the mean over the columns of the targets.

    With y one centred column of targets and F the centred features, it is max over α, β
    of log p(y | F, α, β) / (rows - 1), where w ~ N(0, α⁻¹ I) and y ~ N(F w, β⁻¹ I) in
    the directions that centring leaves. The paper does not centre; a bias that costs
    nothing is what an output layer has. Larger is better; only differences between
    features of the same rows mean anything.

    Shapes:
        targets: (rows, outputs), classes as one column of 0 and 1 each.
    """
    numbers = np.asarray(targets, np.float64)
    numbers = numbers - numbers.mean(axis=0)
    along = (found.left.T @ numbers) ** 2
    outside = np.maximum((numbers**2).sum(axis=0) - along.sum(axis=0), 0)
    squares = found.singular[:, None] ** 2
    rows = len(numbers) - 1  # the mean took one
    alpha, beta = _settled(squares, along, outside, rows)
    each = evidence(alpha, beta, squares, along, outside, rows=rows)
    return float(each.mean()) / rows


def _settled(
    squares: Array, along: Array, outside: Array, rows: int
) -> tuple[Array, Array]:
    """Return the α and β of each column at which its evidence is largest.

    Shapes:
        squares: (rank, 1) s²; along: (rank, outputs) (uᵀy)²; outside: (outputs,).
    """
    alpha, beta = np.ones_like(outside), np.ones_like(outside)
    for _ in range(ROUNDS):
        ratio = alpha / beta
        shrunk = squares / (squares + ratio)
        gamma = shrunk.sum(axis=0)
        weights = (shrunk**2 * along / squares).sum(axis=0)
        left = outside + ((1 - shrunk) ** 2 * along).sum(axis=0)
        alpha = _bounded(gamma / np.maximum(weights, 1 / LARGEST))
        beta = _bounded((rows - gamma) / np.maximum(left, 1 / LARGEST))
        if (np.abs(alpha / beta - ratio) <= SETTLED * ratio).all():
            break
    return alpha, beta


def _bounded(values: Array) -> Array:
    found: Array = np.clip(values, 1 / LARGEST, LARGEST)
    return found


def evidence(
    alpha: Array,
    beta: Array,
    squares: Array,
    along: Array,
    outside: Array,
    *,
    rows: int,
) -> Array:
    """Return log p(y | F, α, β) of each column (You et al. 2021, equation 2).

    `outside` is the part of yᵀy that no direction of the features reaches.

    Shapes:
        returns (outputs,).
    """
    shrunk = squares / (squares + alpha / beta)
    left = outside + ((1 - shrunk) ** 2 * along).sum(axis=0)
    weights = (shrunk**2 * along / squares).sum(axis=0)
    found: Array = 0.5 * (
        len(squares) * np.log(alpha)
        + rows * np.log(beta / (2 * np.pi))
        - beta * left
        - alpha * weights
        - np.log(alpha + beta * squares).sum(axis=0)
    )
    return found
