"""Values put into a spec at JSON Pointers, and whether every one of them may stand."""

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from api.acceptance import Accepted, examine
from api.settings import Settings
from catalog.errors import NotFound
from trainer.spec.errors import InvalidSpec, Problem, nearest, pointer
from trainer.spec.searches import AnySearch, Choice, HyperparameterSearch, Integer

MOST_CORNERS = 500
"""Values of one space that are tried at submit."""


def parts_of(place: str) -> list[str]:
    """Return the parts of a JSON Pointer, unescaped after RFC 6901."""
    words = place.split("/")[1:]
    return [word.replace("~1", "/").replace("~0", "~") for word in words]


def filled(
    spec: Mapping[str, Any], values: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a spec with each value at its JSON Pointer.

    Objects on the way that the spec leaves out are made, with the kind that they have
    in `known`, a resolved spec; a bare name becomes the object that it stands for.

    Raises:
        LookupError: a pointer leads nowhere; its argument is the problem.
    """
    changed = copy.deepcopy(dict(spec))
    for place, value in values.items():
        _put(changed, place, value, known)
    return changed


def _put(spec: dict[str, Any], place: str, value: Any, known: Any) -> None:
    *way, last = parts_of(place)
    here: Any = spec
    for depth, part in enumerate([*way, last]):
        known_here = known
        known = _inside(known, part)
        if isinstance(here, list):
            here = _entry(here, place, part, value, last=depth == len(way))
        elif isinstance(here, dict):
            if depth == len(way):
                here[part] = copy.deepcopy(value)
                return
            here[part] = _object(here.get(part), known)
            here = here[part]
        else:
            raise _nowhere(place, part, known_here or ())


def _entry(here: list[Any], place: str, part: str, value: Any, *, last: bool) -> Any:
    if not part.isdecimal() or int(part) >= len(here):
        raise _nowhere(place, part, [str(n) for n in range(len(here))])
    if last:
        here[int(part)] = copy.deepcopy(value)
    return here[int(part)]


def _object(found: Any, known: Any) -> Any:
    """Return what stands on the way as something that has fields or entries."""
    if isinstance(found, str):
        return {"kind": found}
    if found is None:
        kind = known.get("kind") if isinstance(known, dict) else None
        return {} if kind is None else {"kind": kind}
    return found


def _inside(known: Any, part: str) -> Any:
    if isinstance(known, Mapping):
        return known.get(part)
    if isinstance(known, Sequence) and part.isdecimal() and int(part) < len(known):
        return known[int(part)]
    return None


def _nowhere(place: str, part: str, there: Any) -> LookupError:
    words = list(there)
    near = nearest(part, words)
    detail = f"{place} leads nowhere: there is no {part!r}"
    detail += f"; there are {', '.join(words[:20])}" if words else ""
    at = pointer("space", place)
    return LookupError(Problem(at, "no_such_place", detail, near))


def corners(asked: HyperparameterSearch) -> Iterator[dict[str, Any]]:
    """Return the first value of every axis, then each other end of each axis."""
    first = {place: axis.ends()[0] for place, axis in asked.space.items()}
    yield first
    for place, axis in asked.space.items():
        for value in axis.ends()[1:]:
            yield first | {place: value}


def grid(asked: HyperparameterSearch) -> Iterator[dict[str, Any]]:
    """Return every combination, as draws: of a choice the place in the list."""
    points = [
        range(len(axis.values)) if isinstance(axis, Choice) else axis.points()
        for axis in asked.space.values()
    ]
    for combination in itertools.product(*points):
        yield dict(zip(asked.space, combination, strict=True))


def values_of(asked: HyperparameterSearch, draws: Mapping[str, Any]) -> dict[str, Any]:
    """Return what draws stand for, in the order of the space."""
    found = {}
    for place, axis in asked.space.items():
        drawn = draws[place]
        if isinstance(axis, Choice):
            found[place] = axis.values[int(drawn)]
        else:
            found[place] = int(drawn) if isinstance(axis, Integer) else float(drawn)
    return found


def checked(
    session: Session, asked: HyperparameterSearch, limits: Settings
) -> tuple[Accepted, str]:
    """Return the first corner as a job would be accepted, and the metric.

    Raises:
        InvalidSpec: a place leads nowhere, or a value makes no valid spec.
    """
    _distinct(asked)
    known = known_of(session, asked, limits)
    first: Accepted | None = None
    for number, values in enumerate(corners(asked)):
        if number == MOST_CORNERS:
            detail = f"a space has at most {MOST_CORNERS} ends and choices together"
            raise InvalidSpec([Problem("/space", "too_large", detail)])
        found = trial_spec(session, asked, values, known, limits)
        first = first or found
    assert first is not None
    return first, monitored(session, asked, first, limits)


def trial_spec(
    session: Session,
    asked: HyperparameterSearch,
    values: Mapping[str, Any],
    known: Mapping[str, Any],
    limits: Settings,
) -> Accepted:
    """Return a trial's spec as it would be accepted.

    Raises:
        InvalidSpec: with pointers into the search.
    """
    try:
        written = filled(asked.spec, values, known)
        return examine(session, written, limits)
    except LookupError as error:
        raise InvalidSpec([error.args[0]]) from error
    except InvalidSpec as error:
        raise InvalidSpec([_placed(one, values) for one in error.problems]) from error


def _placed(found: Problem, values: Mapping[str, Any]) -> Problem:
    """Point into the search: to the axis whose value it is, else into its spec."""
    for place, value in values.items():
        if found.pointer == place or found.pointer.startswith(f"{place}/"):
            at = pointer("space", place)
            detail = f"the value {value!r} cannot stand at {place}: {found.detail}"
            return Problem(at, found.code, detail, found.suggestion)
    detail = found.detail
    if any(place.startswith(f"{found.pointer}/") for place in values):
        detail += f"; the space puts {dict(values)!r} there"
    return Problem(f"/spec{found.pointer}", found.code, detail, found.suggestion)


def known_of(
    session: Session, asked: HyperparameterSearch, limits: Settings
) -> Mapping[str, Any]:
    """Return the spec with its defaults, where it is one without the space's values."""
    try:
        return examine(session, dict(asked.spec), limits).resolved_spec
    except (InvalidSpec, NotFound):
        return {}


def _distinct(asked: HyperparameterSearch) -> None:
    for one, other in itertools.permutations(asked.space, 2):
        if other.startswith(f"{one}/"):
            detail = f"{other} lies inside {one}; vary one of the two"
            raise InvalidSpec([Problem(pointer("space", other), "overlap", detail)])
    if "/name" in asked.space:
        detail = "all trials have one name, so that their models are its versions"
        raise InvalidSpec([Problem("/space/~1name", "fixed", detail)])


def monitored(
    session: Session,
    asked: AnySearch,
    first: Accepted,
    limits: Settings,
) -> str:
    """Return the metric; early stopping is asked whether it is measured at all.

    Raises:
        InvalidSpec: it is not measured.
    """
    dataset, training = first.resolution.spec.dataset, first.resolution.spec.training
    if asked.monitor is None:
        stopping = training.early_stopping
        if not isinstance(stopping, str):
            return stopping.monitor
        held = dataset.split.validation != "none"
        return "validation_loss" if held else "train_loss"
    followed = {"/training/early_stopping": {"monitor": asked.monitor}}
    try:
        examine(session, filled(first.written, followed, first.resolved_spec), limits)
    except InvalidSpec as error:
        found = error.problems[0]
        problem = Problem("/monitor", found.code, found.detail, found.suggestion)
        raise InvalidSpec([problem]) from error
    return asked.monitor
