"""What can be wrong with a spec: a list of problems, each with its place.

InvalidSpec    the spec cannot be accepted; ``problems`` says where and why
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from trainer.spec.synonyms import ELSEWHERE, own_word, plain


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec."""

    pointer: str
    """JSON Pointer (RFC 6901) to the place in the spec as it was written."""
    code: str
    """Machine-readable word for what is wrong."""
    detail: str
    """A sentence for the person who wrote the spec."""
    suggestion: str | None = None
    """What to write instead, if that can be said."""

    def as_dict(self) -> dict[str, str | None]:
        """Return the problem as the JSON object that the API answers."""
        return asdict(self)


class InvalidSpec(Exception):
    """A spec that cannot be accepted, with everything found wrong in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep the problems; the message is the first of them."""
        first = problems[0]
        super().__init__(f"{first.pointer or '/'}: {first.detail}")
        self.problems = tuple(problems)


def pointer(*parts: str | int) -> str:
    """Join the parts of a JSON Pointer, escaped after RFC 6901."""
    return "".join(
        f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts
    )


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the word that was probably meant, if any is near."""
    choices = list(words)
    if own := own_word(word, choices):
        return own
    found = get_close_matches(word.lower(), choices, n=1, cutoff=0.6)
    return found[0] if found else None


def problems_of(
    error: ValidationError, raw: object, root: type[BaseModel]
) -> list[Problem]:
    """Turn what pydantic found into problems whose pointers exist in the user's JSON.

    Pydantic puts the tag of a union into the location (``optimizer, nadam, beta1``);
    walking the user's own document beside the location drops it again. `root` is the
    class that the document was validated as; it tells which fields exist.
    """
    found = error.errors(include_url=False)
    return [_problem(each, raw, root) for each in _likeliest(found, raw)]


def _likeliest(found: Sequence[Any], raw: object) -> list[Any]:
    """Keep, of what every member of a union says, what the likeliest member says.

    The likeliest is the one whose fields fit, then the one that got deepest into the
    value, then the one that took its type. A bare word is no likely reading of an
    object.
    """
    kept: list[Any] = []
    unions: dict[tuple[Any, ...], dict[object, list[Any]]] = {}
    for each in found:
        parts, label = _places(each["loc"], raw)
        if label is None:
            kept.append(each)
        else:
            place = tuple(parts[: label.depth])
            unions.setdefault(place, {}).setdefault(label.word, []).append(each)
    for members in unions.values():
        kept += min(members.values(), key=_unlikeliness)
    return kept


def _unlikeliness(problems: Iterable[Any]) -> tuple[bool, int, int, bool]:
    problems = list(problems)
    a_word = any(
        each["type"] == "literal_error" and isinstance(each["input"], Mapping)
        for each in problems
    )
    wrong_fields = [e for e in problems if e["type"] in {"missing", "extra_forbidden"}]
    depth = max(len(each["loc"]) for each in problems)
    mistyped = any(each["type"].endswith("_type") for each in problems)
    return a_word, len(wrong_fields), -depth, mistyped


def _problem(found: Mapping[str, Any], raw: object, root: type[BaseModel]) -> Problem:
    parts, _ = _places(found["loc"], raw)
    code, context = str(found["type"]), found.get("ctx", {})
    detail = str(found["msg"]).removeprefix("Value error, ")
    suggestion = None
    if code == "extra_forbidden":
        code, name = "unknown_field", str(found["loc"][-1])
        known = _fields_at(found["loc"][:-1], root)
        suggestion = nearest(name, known)
        detail = f"there is no field {name!r} here; there are {', '.join(known)}"
        if suggestion is None and plain(name) in ELSEWHERE:
            detail += f"; {ELSEWHERE[plain(name)]}"
    elif code in {"union_tag_invalid", "literal_error"}:
        code = "unknown_name"
        expected = str(context.get("expected_tags", context.get("expected", "")))
        words = expected.replace(" or ", ", ").split(",")
        choices = [word.strip(" '") for word in words]
        given = context.get("tag", found.get("input"))
        written = _at(raw, parts)
        if isinstance(written, Mapping) and "kind" in written:
            parts.append("kind")
        suggestion = nearest(str(given), choices)
        detail = f"{given!r} is not one of {', '.join(choices)}"
    elif code == "union_tag_not_found":
        code = "missing_kind"
        detail = "say which kind it is: a name, or an object with a field 'kind'"
    elif code == "missing":
        detail = f"the field {str(found['loc'][-1])!r} is required"
    elif code in {"tuple_type", "list_type"}:
        detail = "write a list, as in [first, second]"
    elif code in {"model_type", "model_attributes_type", "dict_type"}:
        known = _fields_at(found["loc"], root)
        named = "a name, or an object" if "kind" in known else "an object"
        detail = f"write {named} with fields of its own: {', '.join(known)}"
    if suggestion is not None:
        detail += f"; did you mean {suggestion!r}?"
    return Problem(pointer(*parts), code, detail, suggestion)


@dataclass(frozen=True)
class _Label:
    """What pydantic calls one member of a union, and how deep the union lies."""

    word: str | int
    depth: int


def _places(
    location: Sequence[str | int], raw: object
) -> tuple[list[str | int], _Label | None]:
    """Follow a pydantic location through the user's document.

    Tags of unions are dropped; the first label of a member of a union without tags
    is returned beside the path.
    """
    parts: list[str | int] = []
    label: _Label | None = None
    here: object = raw
    for number, step in enumerate(location):
        last = number == len(location) - 1
        if isinstance(here, Mapping) and step in here:
            here = here[step]
            parts.append(step)
        elif isinstance(here, (list, tuple)) and isinstance(step, int):
            here = here[step] if step < len(here) else None
            parts.append(step)
        elif step == (here.get("kind") if isinstance(here, Mapping) else here):
            continue
        elif last and isinstance(here, Mapping) and _like_a_field(step):
            parts.append(step)
        elif label is None:
            label = _Label(step, len(parts))
    return parts, label


def _at(raw: object, parts: Sequence[str | int]) -> object:
    """Return what the user's document holds at a path."""
    for part in parts:
        raw = raw[part] if isinstance(raw, (Mapping, list, tuple)) else None  # type: ignore[index]
    return raw


def _like_a_field(step: str | int) -> bool:
    """Tell a missing field from the labels that pydantic gives members of unions."""
    return isinstance(step, str) and step.islower() and step.isidentifier()


def _fields_at(location: Sequence[str | int], root: type[BaseModel]) -> list[str]:
    """Return the names of the fields that exist at a pydantic location."""
    here = [root]
    for step in location:
        inside = [
            model
            for model_above in here
            for name, field in model_above.model_fields.items()
            if step in (name, field.alias)
            for model in _models(field.annotation)
        ]
        tagged = [m for m in here if "kind" in m.model_fields]
        tagged = [m for m in tagged if m.model_fields["kind"].default == step]
        here = inside or tagged or here
    names = {f.alias or n for m in here for n, f in m.model_fields.items()}
    return sorted(names)


def _models(annotation: object) -> list[type[BaseModel]]:
    """Return the spec classes that occur in a field's annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]
