"""Rules on the figures of layers. Each returns the fault it sees in a course, if any.

Thresholds are written here with their reason; none is fitted to a set of networks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.doctor.findings import Sign

if TYPE_CHECKING:
    from trainer.doctor.course import Course
    from trainer.doctor.figures import Figures

DEPTH = 3
"""Hidden layers from which on a fading or growing along them can be told."""
FADED = 1e-2
"""Gradient at the lowest hidden layer over that at the highest: while the top learns
its task, the bottom moves a hundredth as far. Glorot and Bengio (2010), 4.2: in a
network that is well initialised the two are of one size."""
FADED_AWAY = 1e-5
"""The bottom's share is lost in the rounding of float32 sums."""
GROWN = 1e2
"""The reverse of FADED."""
STILL = 1e-4
"""Update-to-weight ratio below which a layer does not move: a tenth of the 1e-3 that
Karpathy, CS231n, "Neural Networks Organ 3", gives as the aim."""
LEAP = 0.1
"""Update-to-weight ratio above which a step is no small one: 100 times the aim."""
MOSTLY = 0.5
"""More than half of the outputs or units. Géron (2017), chapter 11: with a large
learning rate "half of the network's neurons" may be dead."""
CLOSED = 0.95
"""A layer with so many dead units lets next to nothing through."""
LEARNED = 0.5
"""Share of the baseline explained from which on a network evidently learns."""
WELL_LEARNED = 0.9
STUCK = 0.1
STUCK_STEPS = 50
"""A network that has explained less than STUCK after so many steps is stuck."""


def stuck(course: Course) -> bool:
    """Return whether the network has learned next to nothing in many steps."""
    return course.step >= STUCK_STEPS and course.explained() < STUCK


def vanishing(course: Course) -> Sign | None:
    """See gradients that fade on their way down and leave layers unmoved."""
    if course.explained() > LEARNED or len(course.last) < 2:  # noqa: PLR2004 - one may be chance
        return None
    pairs = [_faded(course, sample.layers) for sample in course.last[-2:]]
    if not all(pair is not None and 0 < pair[1] < FADED for pair in pairs):
        return None
    assert pairs[-1] is not None
    name, faded = pairs[-1]
    moves = course.update_ratios().get(name, 0.0)
    if moves > STILL and not stuck(course):
        return None
    return Sign(
        "vanishing_gradients",
        "critical" if faded < FADED_AWAY or stuck(course) else "warning",
        f"the gradient that reaches {name!r} is {faded:.1e} of that at the highest "
        "hidden layer, so the lower layers hardly learn: use an activation without "
        "flat ends, the initialiser that belongs to it, and normalisation",
        {
            "gradient_bottom_to_top": faded,
            "update_ratio_bottom": moves,
            "signals": _signals(course, course.now.layers),
        },
        ("initialize", "rectify", "normalize", "standardize"),
        name,
    )


def exploding(course: Course) -> Sign | None:
    """See gradients that grow on their way down, or from one step to the next."""
    pair = _ends(_signals(course, course.now.layers))
    ratios = course.update_ratios()
    if pair is not None and pair[1] > GROWN and ratios.get(pair[0], 0) > LEAP:
        name, grown = pair
        return Sign(
            "exploding_gradients",
            "critical",
            f"the gradient that reaches {name!r} is {grown:.1e} times that at the "
            "highest hidden layer: clip the gradients, and let initialiser and "
            "normalisation keep their size",
            {
                "gradient_bottom_to_top": grown,
                "update_ratio_bottom": ratios[name],
                "signals": _signals(course, course.now.layers),
            },
            ("clip", "initialize", "normalize", "standardize", "slow_down"),
            name,
        )
    return None


def saturated(course: Course) -> Sign | None:
    """See units on the flat ends of their activation, in sample after sample."""
    newest = course.last[-3:]
    if len(newest) < 3:  # noqa: PLR2004 - saturation that lasts
        return None
    every = [set(saturated_layers(course, sample.layers)) for sample in newest]
    lasting = set.intersection(*every)
    if not lasting:
        return None
    at_once = course.from_the_start and bool(
        lasting & set(saturated_layers(course, course.first[0].layers))
    )
    if not at_once and course.explained() > LEARNED:
        return None  # confident units of a network that has learned
    shares = saturated_layers(course, course.now.layers)
    name = max(lasting, key=lambda one: shares[one])
    ratios = course.update_ratios()
    leaps = max(ratios.values(), default=0.0) > LEAP
    return Sign(
        "saturated_units",
        "critical" if stuck(course) else "warning",
        f"{shares[name]:.0%} of the outputs of {name!r} lie on the flat ends of its "
        "activation, where hardly any gradient passes: "
        + (
            "the learning rate throws the weights too far"
            if leaps and not at_once
            else "smaller initial weights, normalisation before the activation, or an "
            "activation without flat ends"
        ),
        {"layers": sorted(lasting), "saturated": shares[name], "update_ratios": ratios},
        ("initialize", "standardize", "normalize", "rectify")
        + (("slow_down",) if leaps else ()),
        name,
    )


def dying(course: Course) -> Sign | None:
    """See units that answer the same for every row and can learn no more."""
    shares = {
        part.name: share
        for part in course.situation.parts
        if part.hidden
        and (share := course.now.layers.get(part.name, {}).get("dead") or 0) >= MOSTLY
    }
    if not shares or len(course.last) < 3:  # noqa: PLR2004 - the window, after the first
        return None
    name = max(shares, key=lambda one: shares[one])
    before = course.first[0].layers.get(name, {}).get("dead") or 0.0
    died = shares[name] - before
    if shares[name] >= CLOSED and course.explained() < LEARNED:
        severity = "critical"
    elif course.explained() < LEARNED or (
        died > MOSTLY / 2 and course.explained() < WELL_LEARNED
    ):
        severity = "warning"
    else:
        severity = "info"
    ratios = course.update_ratios()
    largest = max(ratios.values(), default=0.0)
    return Sign(
        "dying_relu",
        severity,  # type: ignore[arg-type]
        f"{shares[name]:.0%} of the units of {name!r} are dead: they answer the same "
        "for every row and no gradient passes"
        + (
            f"; {died:.0%} died while training, lower the learning rate and use a "
            "leaky activation or ELU"
            if died > MOSTLY / 2
            else "; use a leaky activation or ELU, and normalisation"
        ),
        {
            "dead": shares,
            "dead_at_the_start": before,
            "learning_rate": course.now.learning_rate,
            "largest_update_ratio": largest,
        },
        ("rectify", "initialize", "normalize", "standardize")
        + (("slow_down",) if died > MOSTLY / 2 else ()),
        name,
    )


def _faded(course: Course, layers: dict[str, Figures]) -> tuple[str, float] | None:
    """Return the lowest hidden layer and the smaller of two shares that reach it.

    Of the gradient by the outputs, and of that by the weights, which also fades where
    the outputs below hardly differ from row to row.
    """
    pairs = [
        _ends(_signals(course, layers, key)) for key in ("signal", "gradient_norm")
    ]
    found = [pair for pair in pairs if pair is not None]
    return min(found, key=lambda pair: pair[1], default=None)


def _ends(signals: dict[str, float]) -> tuple[str, float] | None:
    """Return the lowest hidden layer, and its gradient over that of the highest."""
    if len(signals) < DEPTH:
        return None
    names = list(signals)
    highest = signals[names[-1]]
    if highest <= 0:
        return None
    return names[0], signals[names[0]] / highest


def _signals(
    course: Course, layers: dict[str, Figures], key: str = "signal"
) -> dict[str, float]:
    """Return the norm of the loss's gradient by each hidden layer's outputs."""
    return {
        part.name: signal
        for part in course.situation.hidden
        if (signal := layers.get(part.name, {}).get(key)) is not None
    }


def saturated_layers(course: Course, layers: dict[str, Figures]) -> dict[str, float]:
    """Return the hidden layers most of whose outputs are saturated, with the share."""
    return {
        part.name: share
        for part in course.situation.parts
        if part.hidden
        and (share := layers.get(part.name, {}).get("saturated") or 0) > MOSTLY
    }
