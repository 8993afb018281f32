"""Patches: what a finding offers to change, as a JSON Merge Patch on the spec.

A *treatment* is a function that changes a copy of the spec as it was submitted; the
patch is the difference, so it holds nothing that stays. Lists cannot be patched in
part (RFC 7396): where a layer itself must change, the layers are written out whole.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from trainer.doctor import cures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trainer.doctor.course import Course
    from trainer.spec.job import JobSpec

Json = dict[str, Any]


def patch(
    written: Mapping[str, Any],
    resolved: JobSpec,
    course: Course,
    treatments: Iterable[str],
    acceptable: Callable[[Json], bool],
) -> Json | None:
    """Return the merge patch of some treatments, None if they change nothing.

    `acceptable` judges a whole spec; a treatment that would make one that is refused is
    left out.
    """
    chosen = set(treatments)
    changed = deepcopy(dict(written))
    for name, treat in cures.TREATMENTS.items():
        if name not in chosen:
            continue
        mended = changed["network"] != written["network"]
        tried = cures.Draft(deepcopy(changed), resolved, course, mended=mended)
        treat(tried)
        if tried.spec != changed and acceptable(tried.spec):
            changed = tried.spec
    return difference(dict(written), changed) or None


def difference(before: Json, after: Json) -> Json:
    """Return the JSON Merge Patch (RFC 7396) that leads from one object to another.

    >>> difference({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': None, 'c': 3}}
    """
    found: Json = {name: None for name in before if name not in after}
    for name, value in after.items():
        if name in before and before[name] == value:
            continue
        old = before.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            found[name] = difference(old, value)
        else:
            found[name] = value
    return found
