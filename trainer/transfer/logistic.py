"""A logistic regression on features, judged on rows that it has not seen.

It is what a job with everything below frozen trains: a softmax on the features. Its
penalty is fixed, on features whose mean square is one, and it sees the leading
principal components only, so that a hundred sources take seconds. The fits of all
folds are one computation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from trainer.transfer.decomposition import Decomposition

Array = np.ndarray[Any, np.dtype[Any]]

COMPONENTS = 100
"""Principal components that are looked at."""
FOLDS = 5
PENALTY = 8.0
"""Weight of half the sum of squared weights against the sum of the rows' losses. It was
chosen on sources and targets of its own (decisions/0023); 4 to 16 do as well."""
ITERATIONS = 100
SETTLED = 1e-2
"""Size of a step, in the metric of the bound and per row, at which fits are over."""
SHUFFLE = 23
"""Keeps the draw of the folds apart from others."""
AT_ONCE = 4_000_000
"""Numbers that the outputs of fits under way may have together."""


def right_answers(
    found: Decomposition, further: Array, classes: Array, train: int
) -> Array:
    """Say of each row whether a model that has not seen it answers it rightly.

    Training rows are answered by the model of the other four fifths of them, the rows
    held back by the model of all training rows.

    Shapes:
        further: (held rows, rank), projected; classes: (train + held rows,); returns
        one truth value for each of them.
    """
    features = components(found, further)
    there, numbers = np.unique(classes[:train], return_inverse=True)
    fold = folds_of(numbers)
    uses = np.stack([*(fold != number for number in range(FOLDS)), fold >= 0])
    weights = fitted(features[:train], numbers, len(there), uses)
    right = np.zeros(len(classes), bool)
    for number in range(FOLDS):
        mine = np.flatnonzero(fold == number)
        right[mine] = there[answers(weights[number], features[mine])] == classes[mine]
    right[train:] = there[answers(weights[-1], features[train:])] == classes[train:]
    return right


def components(found: Decomposition, further: Array) -> Array:
    """Return the leading components of all rows, their mean square one, then a one.

    Shapes:
        returns (rows + further rows, components + 1).
    """
    rank = min(found.rank, COMPONENTS)
    size = found.singular[:rank]
    turned = np.concatenate([found.left, further])[:, :rank] * size
    own = turned[: len(found.left)]
    length = np.sqrt((own**2).mean()) if own.any() else 1.0
    return np.hstack([turned / length, np.ones((len(turned), 1))]).astype(np.float32)


def folds_of(classes: Array) -> Array:
    """Return a fold for each row; those of a class are spread over all folds."""
    order = np.random.default_rng(SHUFFLE).permutation(len(classes))
    sequence = order[np.argsort(classes[order], kind="stable")]
    fold = np.empty(len(classes), np.int64)
    fold[sequence] = np.arange(len(classes)) % FOLDS
    return fold


def answers(weights: Array, features: Array) -> Array:
    """Return the number of the likeliest class of each row."""
    best: Array = (features @ weights).argmax(axis=1)
    return best


def fitted(features: Array, numbers: Array, classes: int, uses: Array) -> Array:
    """Return the weights of one logistic regression for each choice of rows.

    Minimises Σ -log softmax(x W)_y + penalty |W|² / 2 without the last row of W, the
    bias, by gradient steps in the metric of an upper bound of the Hessian, XᵀX / 2
    (Böhning 1992, Annals of the Institute of Statistical Mathematics 44), which is
    diagonal for principal components; accelerated after Nesterov (1983), begun anew
    where that overshoots (O'Donoghue and Candès 2015).

    Shapes:
        features: (rows, width), orthogonal columns, the last of ones; numbers: (rows,);
        uses: (fits, rows) truth values; returns (fits, width, classes).
    """
    each = max(1, AT_ONCE // max(1, len(features) * classes))
    parts = [
        _minimised(features, numbers, classes, uses[start : start + each])
        for start in range(0, len(uses), each)
    ]
    return np.concatenate(parts)


def _minimised(features: Array, numbers: Array, classes: int, uses: Array) -> Array:
    """Fit a few of them; the classes come first, which sums over them quickly."""
    (rows, width), fits = features.shape, len(uses)
    used = uses.astype(np.float32)
    wanted = np.zeros((classes, 1, rows), np.float32)
    wanted[numbers, 0, np.arange(rows)] = 1
    penalty = np.full(width, PENALTY, np.float32)
    penalty[-1] = 0
    bound = (features**2).sum(axis=0) / 2 + penalty
    weights = np.zeros((classes * fits, width), np.float32)
    ahead, momentum = weights, 1.0
    for _ in range(ITERATIONS):
        sums = (ahead @ features.T).reshape(classes, fits, rows)
        sums -= sums.max(axis=0)
        np.exp(sums, out=sums)
        sums /= sums.sum(axis=0)
        sums -= wanted
        sums *= used
        slope = sums.reshape(-1, rows) @ features + penalty * ahead
        following = ahead - slope / bound
        step = following - weights
        if float((slope * step).sum()) > 0:
            momentum = 1.0
        larger = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + np.float32((momentum - 1) / larger) * step
        weights, momentum = following, larger
        if float((bound * step * step).sum()) < SETTLED**2 * rows * fits:
            break
    found: Array = weights.reshape(classes, fits, width).transpose(1, 2, 0)
    return found
