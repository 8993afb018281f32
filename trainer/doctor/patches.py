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
    from collections.abc import Iterable

    from trainer.doctor.course import Course
    from trainer.doctor.patient import Patient

Json = dict[str, Any]


def patch(patient: Patient, course: Course, treatments: Iterable[str]) -> Json | None:
    """Return the merge patch of some treatments, None if they change nothing.

    A treatment that would make a spec that is refused is left out.
    """
    chosen, written = set(treatments), patient.written
    changed = deepcopy(written)
    for name, treat in cures.TREATMENTS.items():
        if name not in chosen:
            continue
        mended = changed["network"] != written["network"]
        draft = cures.Draft(deepcopy(changed), patient.resolved, course, mended=mended)
        treat(draft)
        if draft.spec != changed and patient.accepts(draft.spec):
            changed = draft.spec
    if changed == written:
        return None
    return difference(patient.submitted, patient.whole(changed)) or None


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
