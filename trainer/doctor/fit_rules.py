"""Rules on how well a network fits: too closely, or not even what it was shown.

Thresholds are written here with their reason; none is fitted to a set of networks.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from trainer.doctor.brakes import brakes as held_by
from trainer.doctor.curve_rules import (
    FEW_STEPS,
    GAP,
    LASTING,
    NOTHING,
    stands_still,
    stays,
)
from trainer.doctor.findings import Sign

if TYPE_CHECKING:
    from trainer.doctor.course import Course, Evaluation

GENERALIZATION_LOSS = 0.2
"""Validation loss over its minimum, less 1, after Prechelt (1998), "Early stopping -
but when?", section 2: the largest threshold of the class GL that the paper tries is
5 %; here the fault shall be plain."""
ERRORS = 3.0
"""Standard errors that the difference must have beside."""
FITTED = 0.5
"""Share of the baseline below which the training rows are fitted badly."""
TIGHT = 0.75
"""The same where a layer narrower than the classes need explains it."""
LITTLE = 0.2
"""Share of the baseline below which a training that ended too soon is of no use."""
DOUBT = 0.3
"""Share of the baseline below which a network may have found noise and nothing else."""


def overfitting(course: Course) -> Sign | None:
    """See training rows fitted far better than rows held back."""
    settled = course.situation.settled_after
    both = [
        evaluation
        for evaluation in course.evaluations
        if evaluation.step > settled and _gap(course, evaluation) is not None
    ]
    if len(both) < LASTING:
        return None
    gaps = [_gap(course, e) for e in both[-LASTING:]]
    if course.explained() < NOTHING:
        return None
    plain = all(gap is not None and gap[0] > max(GAP, ERRORS * gap[1]) for gap in gaps)
    risen = _generalization_loss(course)
    if not plain and (risen is None or risen < GENERALIZATION_LOSS):
        return None
    score = "accuracy" if course.situation.task == "classification" else "r2"
    figures = both[-1].figures
    evidence = {
        name: figures[name]
        for part in ("train", "validation")
        for metric in ("loss", score)
        if (name := f"{part}_{metric}") in figures
    } | {"validation_loss_over_its_minimum": risen}
    if plain:
        train, held = figures[f"train_{score}"], figures[f"validation_{score}"]
        detail = (
            f"{score} is {train:.3f} on the training rows and {held:.3f} on rows held "
            "back: use more rows, dropout, a penalty on the weights or augmentation"
        )
    else:
        detail = (
            f"the validation loss is {risen:.0%} above its minimum while the training "
            "loss falls; early stopping keeps the best weights"
        )
    return Sign(
        "overfitting",
        "warning" if plain else "info",
        detail,
        evidence,
        # while the best weights are kept nothing is lost, so nothing is made harder
        ("regularize", "stop_early", "augment", "more_rows")
        if plain
        else ("stop_early",),
    )


def _gap(course: Course, evaluation: Evaluation) -> tuple[float, float] | None:
    """Return how much better the training rows are, and the standard error of that."""
    rows = course.situation.validation_rows
    figures = evaluation.figures
    if course.situation.task == "classification":
        one, other = figures.get("train_accuracy"), figures.get("validation_accuracy")
        if one is None or other is None or not rows:
            return None
        share = (other * rows + 1) / (rows + 2)  # Laplace: never exactly 0 or 1
        return one - other, sqrt(share * (1 - share) / rows)
    one, other = figures.get("train_r2"), figures.get("validation_r2")
    if one is None or other is None or not rows:
        return None
    # R² is 1 - a mean of squares, whose relative error is about √(2 / n)
    return one - other, (1 - other) * sqrt(2 / rows)


def _generalization_loss(course: Course) -> float | None:
    """Return the validation loss over its minimum, less 1.

    None unless it has lasted, and the training loss went on falling.
    """
    losses = course.series("validation_loss")
    training = course.series("train_loss")
    if len(losses) < 2 * LASTING or min(losses) <= 0:
        return None
    best = losses.index(min(losses))
    if best >= len(losses) - LASTING or training[-1] >= training[best]:
        return None
    return min(losses[-LASTING:]) / losses[best] - 1


def underfitting(course: Course) -> Sign | None:
    """See training rows fitted badly at the end, and what holds the network back.

    A large loss alone may be noise in the data that no network could explain.
    """
    if len(course.evaluations) < 2 or course.step < FEW_STEPS:  # noqa: PLR2004
        return None
    brakes = held_by(course)
    still = stands_still(course) or stays(course)
    if not course.ended and not (brakes and still):
        return None
    explained = course.kept_explained()
    if course.ended and (late := _unfinished(course)) is not None:
        brakes["unfinished"] = late
    limit = TIGHT if "narrow" in brakes else FITTED
    if explained >= limit or (not brakes and explained >= DOUBT):
        return None
    plainly = set(brakes) - {"unfinished"} or (brakes and explained < LITTLE)
    sentences = [sentence for sentence, _ in brakes.values()]
    cures = tuple(cure for _, cure in brakes.values())
    return Sign(
        "underfitting",
        "warning" if plainly else "info",
        f"the network explains {max(0.0, explained):.0%} of what a constant answer "
        "leaves open: "
        + ("; ".join(sentences) or "the data may be noise, or the network too small"),
        {
            "explained": explained,
            "baseline": course.situation.baseline,
            "brakes": sorted(brakes),
        },
        cures or ("widen",),
    )


def _unfinished(course: Course) -> tuple[str, str] | None:
    losses = course.series("train_loss")
    if len(losses) < 2 * LASTING:
        return None
    fall = course.pace() * course.situation.recipe.epochs / 3
    if course.epoch < course.situation.recipe.epochs or fall < NOTHING:
        return None
    return "the loss was still falling when the epochs were over", "longer"
