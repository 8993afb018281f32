"""How well a linear model of some features answers rows that it has not seen.

Two scores that cost one decomposition, for every cut point; and a probe that costs
fits, for the cut point that was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.transfer.decomposition import decomposed
from trainer.transfer.evidence import log_maximum_evidence
from trainer.transfer.logistic import right_answers
from trainer.transfer.ridge import answered

if TYPE_CHECKING:
    from trainer.transfer.decomposition import Decomposition
    from trainer.transfer.samples import DrawnRows

Array = np.ndarray[Any, np.dtype[Any]]

LIKELY = 0.5


@dataclass(frozen=True)
class Judged:
    """A share of right answers, or R², and its standard error over the rows."""

    value: float
    error: float


@dataclass(frozen=True)
class Scored:
    """Some features of a sample's rows, decomposed, with what that tells."""

    found: Decomposition
    further: Array
    """The rows held back, in the coordinates of the decomposition."""
    logme: float
    """Log of the maximum evidence per training row (You et al. 2021)."""
    ridge: Judged
    """What ridge regression answers."""

    def probe(self, sample: DrawnRows) -> Judged:
        """Return what a logistic regression answers; of other tasks, a ridge one."""
        if sample.task != "classification":
            return self.ridge
        right = right_answers(
            self.found, self.further, sample.targets.argmax(axis=1), sample.train
        )
        return _share(right)


def scored(features: Array, sample: DrawnRows) -> Scored:
    """Score the features (rows, width) of a sample's rows."""
    found = decomposed(features[: sample.train])
    own = sample.targets[: sample.train]
    further = found.projected(features[sample.train :])
    answers = answered(found, own, further)
    unseen = np.concatenate([answers.own, answers.further])
    ridge = judged(unseen, sample.targets, sample.task)
    return Scored(found, further, log_maximum_evidence(found, own), ridge)


def judged(answers: Array, targets: Array, task: str) -> Judged:
    """Judge answers by the share that is right, or by R².

    Shapes:
        both (rows, outputs).
    """
    if task == "regression":
        wrong = ((answers - targets) ** 2).mean(axis=1)
        spread = max(float(targets.var(axis=0).mean()), np.finfo(float).tiny)
        error = float(wrong.std()) / spread / sqrt(len(targets))
        return Judged(1 - float(wrong.mean()) / spread, error)
    if task == "classification":
        return _share(answers.argmax(axis=1) == targets.argmax(axis=1))
    return _share(((answers >= LIKELY) == (targets >= LIKELY)).mean(axis=1))


def _share(right: Array) -> Judged:
    """Return a share and its standard error, which is not 0 where all are right.

    Source: Agresti and Coull (1998), The American Statistician 52: two more that are
    right, and two that are wrong.
    """
    share, rows = float(right.mean()), len(right)
    likely = (share * rows + 2) / (rows + 4)
    return Judged(share, sqrt(likely * (1 - likely) / (rows + 4)))
