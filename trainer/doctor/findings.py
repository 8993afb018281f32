"""What the doctor says: a named fault, its evidence, how bad it is, and a patch.

The codes, root causes first; this is also the order in which they are told.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, Literal

Severity = Literal["info", "warning", "critical"]
RANK: dict[str, int] = {"info": 0, "warning": 1, "critical": 2}

CODES: dict[str, str] = {
    "frozen_changed": "a layer that must keep its values has changed",
    "poor_initialization": "the initial weights let the signal fade, grow, or repeat",
    "exploding_gradients": "gradients grow from layer to layer towards the input",
    "vanishing_gradients": "gradients fade from layer to layer towards the input",
    "saturated_units": "units sit on the flat ends of their activation",
    "dying_relu": "units answer the same for every row and pass no gradient",
    "diverging": "the loss rises instead of falling",
    "underfitting": "even the training rows are fitted badly",
    "loss_not_falling": "the loss stays where a constant answer would be",
    "class_collapse": "some classes are never predicted",
    "overfitting": "the training rows are fitted far better than rows held back",
}
"""Every code with its meaning in a few words."""

CONSEQUENCES = ("underfitting", "loss_not_falling", "class_collapse")
"""Faults that a root cause, which is told before them, explains."""


@dataclass(frozen=True)
class Sign:
    """A fault that a rule sees, before it is decided whether and how to tell it."""

    code: str
    severity: Severity
    detail: str
    """A sentence that a person can act on."""
    evidence: dict[str, Any]
    treatments: tuple[str, ...] = ()
    """Names of what the patch shall change, see `trainer.doctor.patches`."""
    layer: str | None = None


@dataclass(frozen=True)
class Finding:
    """A fault as it is told."""

    code: str
    layer: str | None
    severity: Severity
    detail: str
    evidence: dict[str, Any]
    patch: dict[str, Any] | None
    """A JSON Merge Patch on the spec as submitted; None where no change would help."""
    step: int
    epoch: int
    cause: str | None = None
    """The code of an earlier finding that explains this one."""

    def event(self) -> dict[str, Any]:
        """Return the event that tells it."""
        whole = asdict(self)
        whole["evidence"] = plain(self.evidence)
        return {"event": "diagnostic", **whole}


def plain(value: Any) -> Any:
    """Return values for JSON: six digits of a number, None where it is not finite.

    >>> plain({"a": [1 / 3, float("inf")], "b": 2})
    {'a': [0.333333, None], 'b': 2}
    """
    if isinstance(value, float):
        return float(f"{value:.6g}") if isfinite(value) else None
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


@dataclass
class Told:
    """What has been told so far: each fault once, and again only if it gets worse."""

    worst: dict[str, str] = field(default_factory=dict)
    """The worst severity told of each code."""

    def is_news(self, sign: Sign) -> bool:
        """Return whether a fault was not told yet, or not as so bad."""
        known = self.worst.get(sign.code)
        return known is None or RANK[sign.severity] > RANK[known]

    def note(self, sign: Sign) -> None:
        """Remember that a fault was told."""
        self.worst[sign.code] = sign.severity

    def cause_of(self, code: str) -> str | None:
        """Return the first root cause told that explains a fault, if any."""
        if code not in CONSEQUENCES:
            return None
        codes = list(CODES)
        before = codes[: codes.index(CONSEQUENCES[0]) + (code != CONSEQUENCES[0])]
        return next((one for one in before if RANK[self.worst.get(one, "info")]), None)
