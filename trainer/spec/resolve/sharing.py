"""Layers that use tensors of others: what is frozen of one is frozen of both."""

from collections.abc import Sequence

from trainer.spec.errors import Problem, pointer
from trainer.spec.network import Row
from trainer.spec.resolve.phases import ResolvedPhase


def sharing_problems(
    rows: Sequence[Row], phases: Sequence[ResolvedPhase]
) -> list[Problem]:
    """Return which frozen layers would change with tensors that learn elsewhere."""
    place = pointer("phases") if len(phases) > 1 else pointer("reuse")
    found = {
        Problem(
            place,
            "half_frozen",
            f"{row.name!r} is frozen and uses the weights of {row.lender!r}, which "
            "learn",
            f"freeze {row.lender} as well",
        )
        for phase in phases
        for row in rows
        if row.lender is not None
        and row.name in phase.frozen
        and row.lender not in phase.frozen
    }
    return sorted(found, key=lambda problem: problem.detail)
