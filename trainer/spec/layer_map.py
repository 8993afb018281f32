"""Where a source's layers go, if they go by other names in the new network.

A name goes to a name; a ``*`` on both sides stands for the same characters in both, so
that ``{"block*": "encoder*"}`` moves ``block1`` to ``encoder1``.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import StringConstraints

from trainer.spec.errors import Problem, nearest, pointer

STAR = "*"

Starred = Annotated[
    str,
    StringConstraints(
        pattern=r"^(?:[A-Za-z0-9_-]+\*?[A-Za-z0-9_-]*|\*[A-Za-z0-9_-]+)$",
        max_length=100,
    ),
]
"""The name of a layer, or many: one ``*`` stands for any characters."""

LayerMap = Mapping[Starred, Starred]


def destinations(rename: LayerMap, names: Sequence[str]) -> dict[str, str]:
    """Return where each of the source's layers goes, by its name there.

    A whole name counts before a pattern, the first pattern before the next; what
    nothing names keeps its name.
    """
    found = {}
    for name in names:
        goes = rename.get(name)
        if goes is None:
            moved = (_moved(name, left, right) for left, right in rename.items())
            goes = next((each for each in moved if each is not None), name)
        found[name] = goes
    return found


def map_problems(
    number: int,
    rename: LayerMap,
    order: Sequence[str],
    chosen: Sequence[str],
    targets: Sequence[str],
) -> list[Problem]:
    """Return what is wrong with the map of reuse entry `number`.

    `order` are the source's layers, `chosen` those that are taken, `targets` the layers
    of the new network.
    """
    problems = []
    for left, right in rename.items():
        place = pointer("reuse", number, "rename", left)
        if (STAR in left) != (STAR in right):
            detail = (
                f"{left!r} and {right!r} must both have a '*' or neither: it stands "
                "for the same characters"
            )
            problems.append(Problem(place, "bad_pattern", detail))
        elif found := _misses(place, left, order, chosen):
            problems.append(found)
        else:
            problems += _no_targets(place, left, right, chosen, targets)
    return problems + _twice(number, destinations(rename, chosen))


def _misses(
    place: str, left: str, order: Sequence[str], chosen: Sequence[str]
) -> Problem | None:
    """Say why the left side of a line names no layer that is taken, if it does not."""
    if _fitting(left, chosen):
        return None
    if _fitting(left, order):
        detail = f"{left!r} is not among the layers that are taken"
        return Problem(place, "not_chosen", detail, "name it in layers as well")
    if STAR in left:
        detail = f"no layer of the source matches {left!r}; it has {', '.join(order)}"
        return Problem(place, "nothing_matched", detail)
    detail = f"the source has no layer {left!r}; it has {', '.join(order)}"
    return Problem(place, "unknown_layer", detail, nearest(left, order))


def _no_targets(
    place: str, left: str, right: str, chosen: Sequence[str], targets: Sequence[str]
) -> list[Problem]:
    """Say which layers would go where there is none."""
    goes = {name: _moved(name, left, right) for name in _fitting(left, chosen)}
    return [
        Problem(
            place,
            "unknown_target",
            f"layer {name!r} goes to {target!r}, and the network has no such layer; "
            f"it has {', '.join(targets)}",
            nearest(target, targets),
        )
        for name, target in goes.items()
        if target is not None and target not in targets
    ]


def _twice(number: int, goes: Mapping[str, str]) -> list[Problem]:
    """Say where two layers of one source would go into one."""
    problems = []
    first: dict[str, str] = {}
    for name, target in goes.items():
        if target in first:
            detail = (
                f"layers {first[target]!r} and {name!r} of the source both go into "
                f"{target!r}"
            )
            place = pointer("reuse", number, "rename")
            problems.append(Problem(place, "reused_twice", detail))
        first.setdefault(target, name)
    return problems


def _fitting(left: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if _moved(name, left, left) is not None]


def _moved(name: str, left: str, right: str) -> str | None:
    """Return where a line of the map sends a name; None if it is not about it."""
    if STAR not in left:
        return right if name == left else None
    before, _, after = left.partition(STAR)
    if len(name) < len(before) + len(after):
        return None
    if not name.startswith(before) or not name.endswith(after):
        return None
    kept = name[len(before) : len(name) - len(after)]
    return right.replace(STAR, kept, 1)
