"""Rules on the curves: losses, metrics, predictions. Each returns its fault, if any.

Thresholds are written here with their reason; none is fitted to a set of networks.
"""

from __future__ import annotations

from itertools import pairwise
from math import log
from statistics import median
from typing import TYPE_CHECKING

from trainer.doctor.brakes import brakes
from trainer.doctor.findings import Sign

if TYPE_CHECKING:
    from trainer.doctor.course import Course
    from trainer.doctor.findings import Severity

RISEN = 2.0
"""Loss over the larger of its first value and the baseline: a network that answered by
chance, with outputs of ordinary size, would not do so badly."""
NOTHING = 0.05
"""Share of the baseline explained that does not tell a network from a constant."""
SOMETHING = 0.01
"""The same, if more than chance: noise in the data may leave no more to explain."""
CERTAIN = 10.0
"""Likelihood ratio, in nats, that chance gives in less than one case of 100,000."""
HOPE = 0.1
"""Share of the baseline that a loss on a good way will have explained at the end."""
STEADY = 5
"""Evaluations of which each is better than the one before: by chance one in 120."""
SLOWLY = 0.02
"""Share of the baseline that a loss which falls slowly, but steadily, has ahead of it
at its pace; learning gathers speed once it has left the plateau of the start."""
STEPS = 50
"""Steps before which a loss that has not fallen says nothing."""
STEPS_TO_MEAN = 10
"""Steps whose mean loss is no accident of one batch."""
FEW_STEPS = 20
"""The same at the end of a short training."""
AIM = 1e-3
"""Update-to-weight ratio to aim at: Karpathy, CS231n, "Neural Networks Organ 3"."""
SLOW, FAST = AIM / 30, AIM * 30
"""Half way, in orders of magnitude, to ratios that are wrong by a thousand."""
GAP = 0.1
"""Difference of a score between training rows and rows held back."""
LASTING = 3
"""Evaluations in a row that a fault of the curves must last."""
RARELY = 0.2
"""Predictions of a class over its rows that are as good as none."""
SEEN = 5
"""Rows of a class that must have been seen before its absence among the answers says
something: by chance a fair guesser would miss all of them in less than one of 30."""


def diverging(course: Course) -> Sign | None:
    """See a loss that rises above where it began, and stays there."""
    if not course.last:
        return None
    limit = RISEN * course.start_loss
    newest = course.last[-3:]
    gone = newest[-1].loss is None
    high = len(newest) == 3 and all(  # noqa: PLR2004 - one batch may be an accident
        s.step > 1 and (s.loss is None or s.loss > limit) for s in newest
    )
    seen = gone or high or _rose(course) or _relapsed(course)
    return _diverged(course, gone=gone) if seen else None


def lost(course: Course) -> Sign:
    """Tell of a loss that is no number any more."""
    return _diverged(course, gone=True)


def _diverged(course: Course, *, gone: bool) -> Sign:
    newest = course.last[-3:]
    ratios = course.update_ratios()
    norms = {
        str(s.step): max(
            (f.get("gradient_norm") or 0.0 for f in s.layers.values()), default=0.0
        )
        for s in (*course.first[:3], *newest)
    }
    loss = None if gone else newest[-1].loss
    rate = course.now.learning_rate
    return Sign(
        "diverging",
        "critical",
        "the loss "
        + ("is no longer a finite number" if loss is None else f"rose to {loss:.3g}")
        + f" from {course.start_loss:.3g} at learning rate {rate:g}: lower it, and "
        "clip the gradients",
        {
            "loss": loss,
            "loss_at_the_start": course.start_loss,
            "learning_rate": rate,
            "largest_gradient_norms": norms,
            "largest_update_ratio": max(ratios.values(), default=None),
        },
        ("slow_down", "clip", "initialize", "standardize"),
    )


def _rose(course: Course) -> bool:
    """Return whether the loss of all training rows is far above where it began."""
    newest = course.evaluations[-2:]
    limit = RISEN * course.start_loss
    if not all(e.figures.get("train_loss", 0.0) > limit for e in newest):
        return False
    long = bool(newest) and newest[-1].step >= STEPS_TO_MEAN
    return course.from_the_start and (len(newest) == 2 or long)  # noqa: PLR2004


def _relapsed(course: Course) -> bool:
    """Return whether most of what was learned is lost again, for good."""
    losses = course.series("train_loss")
    if len(losses) <= LASTING:
        return False
    best = min(losses[:-LASTING])
    lost = 0.5 * course.situation.baseline
    return all(loss > max(RISEN * best, best + lost) for loss in losses[-LASTING:])


def not_falling(course: Course) -> Sign | None:
    """See a loss that is, and will stay, that of a constant answer."""
    explained = course.explained()
    if not stays(course):
        return None
    ratios = course.update_ratios()
    typical = median(ratios.values()) if ratios else AIM
    rate, written = course.now.learning_rate, course.situation.recipe.optimizer
    decayed = rate < 0.01 * getattr(written, "learning_rate", rate)
    why, cure = _pace_of_steps(typical, decayed=decayed)
    more = ("initialize", "rectify", "normalize", "standardize", "loosen")
    held = brakes(course)
    return Sign(
        "loss_not_falling",
        _how_bad(course),
        f"after {course.step} steps the training loss is {course.recent_loss():.4g}, "
        f"that of a constant answer is {course.situation.baseline:.4g}; "
        + ("; ".join(sentence for sentence, _ in held.values()) or why),
        {
            "loss": course.recent_loss(),
            "baseline": course.situation.baseline,
            "explained": explained,
            "update_ratio": typical,
            "learning_rate": rate,
        },
        tuple(cure for _, cure in held.values())
        or (("weigh_classes", *more) if cure == "rebuild" else (cure,)),
    )


def stays(course: Course) -> bool:
    """Return whether the loss is, and will stay, that of a constant answer."""
    if course.explained() >= NOTHING or not course.evaluations:
        return False
    early = course.step < STEPS or len(course.evaluations) < STEADY
    if early and not (course.ended and course.step >= FEW_STEPS):
        return False
    return not _learns(course) and (course.ended or not _on_its_way(course))


def _learns(course: Course) -> bool:
    """Return whether what little was learned is more than chance.

    The likelihood ratio of the network to the constant answer, over the training rows,
    in nats: n (H - loss) for cross entropies, n / 2 log(variance / loss) for squares.
    """
    loss, baseline = course.recent_loss(), course.situation.baseline
    if not loss or course.explained() < SOMETHING:
        return False
    likely = log(baseline / loss) / 2
    if course.situation.task in {"classification", "multi_label"}:
        likely = baseline - loss
    return course.situation.train_rows * likely > CERTAIN


def _pace_of_steps(ratio: float, *, decayed: bool) -> tuple[str, str]:
    """Return what the size of the steps says, and the treatment."""
    moves = (
        f"a step changes the weights by {ratio:.1e} of their size, about 1e-3 is right"
    )
    if decayed:
        return "the schedule has let the learning rate die out", "drop_schedule"
    if ratio < SLOW:
        return f"{moves}: the steps are too small", "speed_up"
    if ratio > FAST:
        return f"{moves}: the steps are too large", "slow_down"
    return (
        "the steps are of ordinary size: the network, its initial weights or the scale "
        "of the input keep it from learning"
    ), "rebuild"


def _how_bad(course: Course) -> Severity:
    """Return how bad a loss is that has not got below that of a constant answer."""
    if _falls_steadily(course):
        return "info"  # it began very high and has not had the time
    return "critical" if course.step >= 2 * STEPS else "warning"


def _falls_steadily(course: Course) -> bool:
    losses = course.series("train_loss")[-STEADY:]
    falls = all(later < earlier for earlier, later in pairwise(losses))
    ahead = course.pace() * course.situation.recipe.epochs
    return falls and len(losses) == STEADY and ahead >= SLOWLY


def _on_its_way(course: Course) -> bool:
    """Return whether the loss has plainly begun to fall."""
    ahead = course.promise() - course.explained()
    steadily = _falls_steadily(course) and ahead >= SLOWLY
    return course.promise() >= HOPE or steadily


def collapse(course: Course) -> Sign | None:
    """See classes that are never predicted, once the loss stands still."""
    if len(course.counts) < 2 or course.step < STEPS:  # noqa: PLR2004 - it must last
        return None
    if not (course.ended or stands_still(course) or stays(course)):
        return None
    predicted, actual = (
        [
            sum(counts)
            for counts in zip(*(both[n] for both in course.counts), strict=True)
        ]
        for n in range(2)
    )
    seen = [n for n, count in enumerate(actual) if count >= SEEN]
    never = [n for n in seen if predicted[n] <= RARELY * actual[n]]
    if len(seen) < 2 or 2 * len(never) < len(seen):  # noqa: PLR2004
        return None
    counts = course.situation.class_counts
    unequal = course.situation.unequal
    return Sign(
        "class_collapse",
        "critical" if len(never) == len(seen) - 1 else "warning",
        f"{len(never)} of {len(seen)} classes hardly ever come up as answers, though "
        f"{sum(actual[n] for n in never) / sum(actual):.0%} of the rows are theirs: "
        + (
            "the classes are unequal; weigh them or sample them evenly"
            if unequal
            else "the network answers almost the same for every row"
        ),
        {
            "never_predicted": never,
            "predicted": predicted,
            "actual": actual,
            "training_rows_per_class": list(counts),
        },
        ("weigh_classes",)
        if unequal
        else tuple(cure for _, cure in brakes(course).values())
        or ("initialize", "rectify", "normalize", "standardize", "loosen", "adapt"),
    )


def stands_still(course: Course) -> bool:
    """Return whether the loss will not fall much more at its pace."""
    return (
        course.step >= 2 * STEPS
        and len(course.evaluations) >= 2 * LASTING
        and course.promise() < course.explained() + GAP
    )
