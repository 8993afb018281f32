"""Rules on the first step: whether the weights are drawn so that they can learn.

Thresholds are written here with their reason; none is fitted to a set of networks.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod, sqrt
from typing import TYPE_CHECKING

from trainer.doctor.findings import RANK, Sign
from trainer.doctor.layer_rules import saturated_layers

if TYPE_CHECKING:
    from trainer.doctor.anatomy import Organ
    from trainer.doctor.course import Course
    from trainer.doctor.figures import Figures

GAIN = (0.5, 2.0)
"""√(fan_in · Var w), the growth of the signal in one linear layer: LeCun 1, Glorot
about 1, He √2; within these bounds no initialiser is to blame."""
GAINS = 1e2
"""Product of what lies beyond the bounds, over the layers without normalisation."""
LARGE_OUTPUT = 10.0
"""Deviation of the outputs at the start. Targets have deviation 1, and a softmax of
such logits is one class with certainty, chosen at random."""
DEAD = 0.9
"""Share of a layer's units that are dead in a first batch by no chance."""


def initialization(course: Course) -> Sign | None:
    """See weights that were drawn badly, in the first step."""
    if len(course.last) != 1 or not course.from_the_start:
        return None
    rules = (_symmetric, _dead_at_once, _saturated_at_once, _gains, _outputs)
    signs = [sign for rule in rules if (sign := rule(course)) is not None]
    worst = max(signs, key=lambda sign: RANK[sign.severity], default=None)
    if worst is None:
        return None
    every = {treatment for sign in signs for treatment in sign.treatments}
    return replace(worst, treatments=tuple(sorted(every)))


def _symmetric(course: Course) -> Sign | None:
    same = []
    for part in course.situation.hidden:
        found = course.now.layers[part.name]
        spread, size = found.get("spread"), found.get("activation_deviation")
        shift = found.get("activation_mean")
        if part.units < 2 or spread is None or size is None or shift is None:  # noqa: PLR2004
            continue
        if part.fresh and spread <= 1e-6 * (abs(shift) + size):
            same.append(part)
    if not same:
        return None
    names = [part.name for part in same]
    return Sign(
        "poor_initialization",
        "critical",
        f"all units of {_listed(names)} compute the same, so they get the same "
        "gradient and never become different; draw the initial weights at random",
        {"layers": names, "spread_between_units": 0.0},
        ("initialize", "normalize", "standardize"),
        names[0],
    )


def _dead_at_once(course: Course) -> Sign | None:
    dead = {
        part.name: share
        for part in course.situation.hidden
        if part.fresh
        and (share := course.now.layers[part.name].get("dead") or 0) >= DEAD
    }
    if not dead:
        return None
    name = max(dead, key=lambda one: dead[one])
    return Sign(
        "poor_initialization",
        "critical",
        f"{dead[name]:.0%} of the units of {name!r} are dead before the first step: "
        "their sums are negative for every row; start biases at 0 and draw weights "
        "with mean 0",
        {"layers": list(dead), "dead": dead[name]},
        ("initialize", "rectify", "normalize", "standardize"),
        name,
    )


def _saturated_at_once(course: Course) -> Sign | None:
    flat = saturated_layers(course, course.now.layers)
    if not flat:
        return None
    name = max(flat, key=lambda one: flat[one])
    gains = _gain_table(course)
    return Sign(
        "poor_initialization",
        "critical" if len(flat) > len(course.situation.hidden) / 2 else "warning",
        f"{flat[name]:.0%} of the outputs of {name!r} are saturated before the first "
        f"step: {_cause_of_size(course, gains)}",
        {"layers": list(flat), "saturated": flat[name], "gains": gains},
        ("initialize", "standardize", "normalize", "rectify"),
        name,
    )


def _gains(course: Course) -> Sign | None:
    gains = {
        part.name: gain
        for part in course.situation.hidden
        if part.fresh
        and not part.normalized
        and (gain := _gain(part, course.now.layers[part.name])) is not None
    }
    beyond = prod(max(1.0, gain / GAIN[1]) for gain in gains.values())
    short = prod(min(1.0, gain / GAIN[0]) for gain in gains.values())
    if beyond <= GAINS and short >= 1 / GAINS:
        return None
    grows = beyond > GAINS
    name = (max if grows else min)(gains, key=lambda one: gains[one])
    word = "grows" if grows else "fades"
    return Sign(
        "poor_initialization",
        "critical" if max(beyond, 1 / max(short, 1e-300)) > GAINS**2 else "warning",
        f"the signal {word} by a factor of {gains[name]:.3g} in {name!r} alone, about "
        "1 is right: use the initialiser that belongs to the activation",
        {"gains": gains, "growth": beyond if grows else short},
        ("initialize", "rectify", "normalize", "standardize"),
        name,
    )


def _outputs(course: Course) -> Sign | None:
    parts = [part for part in course.situation.parts if not part.hidden]
    if not parts or parts[-1].name not in course.now.layers:
        return None
    name = parts[-1].name
    size = course.now.layers[name].get("activation_deviation")
    if size is None or size <= LARGE_OUTPUT or not parts[-1].fresh:
        return None
    gains = _gain_table(course)
    return Sign(
        "poor_initialization",
        "critical" if size > LARGE_OUTPUT**2 else "warning",
        f"the first outputs have a deviation of {size:.3g}, where about 1 is right: "
        f"{_cause_of_size(course, gains)}",
        {
            "output_deviation": size,
            "loss": course.now.loss,
            "baseline": course.situation.baseline,
            "gains": gains,
        },
        ("initialize", "standardize", "normalize"),
        name,
    )


def _gain(part: Organ, figures: Figures) -> float | None:
    """Return √(fan_in · mean w²), told from the norm of all weights of the layer."""
    norm = figures.get("weight_norm")
    if norm is None or not part.plain:
        return None
    return norm / sqrt(part.units)


def _gain_table(course: Course) -> dict[str, float]:
    found = {
        part.name: _gain(part, course.now.layers[part.name])
        for part in course.situation.hidden
    }
    return {name: gain for name, gain in found.items() if gain is not None}


def _cause_of_size(course: Course, gains: dict[str, float]) -> str:
    if any(gain > GAIN[1] for gain in gains.values()):
        return (
            "the initial weights are too large; use the initialiser that belongs to "
            "the activation"
        )
    size = course.now.input_deviation
    if size is not None and size > GAIN[1]:
        return f"the input has a deviation of {size:.3g}; standardise it"
    return "normalise the layers"


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004
