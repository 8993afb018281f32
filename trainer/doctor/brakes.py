"""Brakes: what holds a network back that could otherwise fit its training rows.

Each is a sentence for people and the name of the treatment that takes it off.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.doctor.course import Course

Brake = tuple[str, str]

HEAVY_DROPOUT = 0.6
"""Srivastava et al. (2014), 7.3: the error is flat for a dropout of 0.2 to 0.6 and
rises beyond, because so few units are left that the network underfits."""
SHRUNK = 0.5
"""Norm of the weights over that at the start where a penalty has the upper hand."""


def brakes(course: Course) -> dict[str, tuple[str, str]]:
    """Return what holds the network back: a sentence and a treatment by name."""
    rules = {
        "narrow": _narrow,
        "dropout": _heavy_dropout,
        "penalties": _heavy_penalties,
    }
    found = {name: rule(course) for name, rule in rules.items()}
    return {name: brake for name, brake in found.items() if brake is not None}


def _narrow(course: Course) -> tuple[str, str] | None:
    classes = len(course.situation.class_counts)
    widths = {p.name: p.units for p in course.situation.hidden if p.vector}
    if not widths or classes < 3:  # noqa: PLR2004 - two classes pass through one unit
        return None
    name = min(widths, key=lambda one: widths[one])
    # classes - 1 numbers place the classes at equal distances
    if widths[name] >= classes - 1:
        return None
    return f"{name!r} has {widths[name]} units for {classes} classes", "widen"


def _heavy_dropout(course: Course) -> tuple[str, str] | None:
    rates = {p.name: p.dropout for p in course.situation.parts if p.hidden}
    name = max(rates, key=lambda one: rates[one], default=None)
    if name is None or rates[name] <= HEAVY_DROPOUT:
        return None
    return f"{name!r} drops {rates[name]:.0%} of its outputs", "less_dropout"


def _heavy_penalties(course: Course) -> tuple[str, str] | None:
    if not course.from_the_start:
        return None
    names = [p.name for p in course.situation.parts if p.weighs]
    norms = [
        sqrt(sum((s.layers.get(n, {}).get("weight_norm") or 0.0) ** 2 for n in names))
        for s in (course.first[0], course.now)
    ]
    if not penalties(course.situation.recipe) or norms[1] >= SHRUNK * norms[0]:
        return None
    return (
        f"the penalties have shrunk the weights to {norms[1] / norms[0]:.0%} of their "
        "first size"
    ), "loosen"


def penalties(recipe: object) -> dict[str, float]:
    """Return the penalties on the weights that are switched on."""
    wish = getattr(recipe, "regularization", None)
    found = {n: getattr(wish, n, 0) for n in ("l1", "l2", "weight_decay")}
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and value > 0
    }
