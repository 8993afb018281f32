"""Values for the fields of a technique, drawn within what its JSON schema allows.

Only moderate values are drawn: up to twice the default or down to half of it, and small
counts. A learning rate of a million is valid, but two steps with it show nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError

from trainer.spec.base import Spec

Schema = Mapping[str, Any]
LARGEST_COUNT = 6
STRUCTURE = {"kind", "name", "inputs"}
"""Fields that the network's builder fills."""


def values(
    member: type[Spec], given: Mapping[str, Any] | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    """Return the object form of a technique with drawn fields; `given` ones stay."""
    schema = member.model_json_schema()
    given = dict(given or {})
    drawn = {}
    for name, field in schema["properties"].items():
        if name in STRUCTURE or name in given:
            continue
        strategy = _field(field, schema.get("$defs", {}))
        if strategy is None:
            continue
        needed = name in schema.get("required", ())
        drawn[name] = strategy if needed else st.none() | strategy
    kind = member.model_fields.get("kind")
    named = {} if kind is None else {"kind": kind.default}
    whole = st.fixed_dictionaries(drawn).map(
        lambda found: (
            named
            | {name: value for name, value in found.items() if value is not None}
            | given
        )
    )
    return whole.filter(lambda fields: _valid(member, fields))


def _valid(member: type[Spec], fields: dict[str, Any]) -> bool:
    """Say whether the fields fit each other."""
    try:
        member.model_validate(fields)
    except ValidationError as error:
        return all(problem["type"] == "missing" for problem in error.errors())
    return True


def _field(field: Schema, definitions: Schema) -> st.SearchStrategy[Any] | None:
    """Return values for one field, or None where it is another technique's place."""
    if "enum" in field or "const" in field:
        return st.sampled_from(field.get("enum", [field.get("const")]))
    default = {"default": field.get("default")}
    for option in field.get("anyOf", ()):
        found = _field(default | option, definitions)
        if found is not None:
            return found
    draw = DRAWN.get(field.get("type", ""))
    return None if draw is None else draw(field)


def _integers(field: Schema) -> st.SearchStrategy[int]:
    low = int(field.get("minimum", field.get("exclusiveMinimum", -1) + 1))
    default = field.get("default")
    default = default if isinstance(default, int) else 0
    high = max(low, 2 * default, min(low + LARGEST_COUNT, low + 5))
    return st.integers(low, int(min(high, field.get("maximum", high))))


def _numbers(field: Schema) -> st.SearchStrategy[float]:
    default = field.get("default")
    default = 0.1 if not isinstance(default, int | float) else float(default)
    around = abs(default) or 0.1
    low, high = default - around / 2, default + around
    low = max(low, field.get("minimum", low), field.get("exclusiveMinimum", low))
    high = min(high, field.get("maximum", high), field.get("exclusiveMaximum", high))
    shares = st.integers(0, 100).map(lambda share: low + (high - low) * share / 100)
    return shares.map(lambda number: float(f"{number:.4g}")).filter(
        lambda number: (
            low <= number <= high
            and number != field.get("exclusiveMinimum")
            and number != field.get("exclusiveMaximum")
        )
    )


DRAWN = {
    "boolean": lambda _: st.booleans(),
    "integer": _integers,
    "number": _numbers,
}
"""How values of each type are drawn; all other types keep their default."""
