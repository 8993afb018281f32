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
"""Bound of α and of β: features that say nothing have α → ∞, perfect ones β → ∞."""


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
    along = found.left.T @ numbers  # (rank, outputs)
    total = (numbers**2).sum(axis=0)
    squares = found.singular**2
    rows = len(numbers) - 1  # the mean took one
    each = [
        _maximum(squares, along[:, column] ** 2, float(total[column]), rows)
        for column in range(numbers.shape[1])
    ]
    return float(np.mean(each))


def _maximum(squares: Array, along: Array, total: float, rows: int) -> float:
    """Find α and β for one column, and return the evidence per row.

    Shapes:
        squares: (rank,) s²; along: (rank,) (uᵀy)²; total is yᵀy.
    """
    outside = max(total - float(along.sum()), 0.0)
    alpha = beta = 1.0
    for _ in range(ROUNDS):
        ratio = alpha / beta
        gamma = float((squares / (squares + ratio)).sum())
        weights = float((squares * along / (squares + ratio) ** 2).sum())
        left = outside + float((along * (ratio / (squares + ratio)) ** 2).sum())
        alpha = min(gamma / max(weights, 1 / LARGEST), LARGEST)
        beta = min((rows - gamma) / max(left, 1 / LARGEST), LARGEST)
        if abs(alpha / beta - ratio) <= SETTLED * ratio:
            break
    return evidence(alpha, beta, squares, along, outside, rows=rows) / rows


def evidence(
    alpha: float,
    beta: float,
    squares: Array,
    along: Array,
    outside: float,
    *,
    rows: int,
) -> float:
    """Return log p(y | F, α, β) from the decomposition (You et al. 2021, equation 2).

    `outside` is the part of yᵀy that no direction of the features reaches.
    """
    ratio = alpha / beta
    left = outside + float((along * (ratio / (squares + ratio)) ** 2).sum())
    weights = float((squares * along / (squares + ratio) ** 2).sum())
    determinant = float(np.log(alpha + beta * squares).sum())
    return 0.5 * float(
        len(squares) * np.log(alpha)
        + rows * np.log(beta)
        - rows * np.log(2 * np.pi)
        - beta * left
        - alpha * weights
        - determinant
    )
