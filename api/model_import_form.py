"""What comes with a foreign model: a document `spec`, or its fields one by one.

A form knows only text: plain words are taken as they are, everything else is JSON.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from api import yaml_bodies
from api.bodies import check_values, decode_json, shaped
from api.errors import InvalidInput
from api.problems import Fault
from trainer.spec.base import Name, Spec
from trainer.spec.imports import ImportForm

SPEC = "spec"
NESTING = 24
WORDS = frozenset(
    [
        "name",
        "format",
        "license",
        "source",
        "description",
        "task",
        "target",
        "layout",
        "output",
    ]
)
"""Fields that are text, not JSON."""


class ImportBody(ImportForm):
    """A form as the OpenAPI document shows it; the files never come into a model."""

    file: list[Annotated[str, Field(json_schema_extra={"format": "binary"})]]
    """The model's files: one, or all that belong together."""
    spec: str | None = None
    """All other fields as one JSON or YAML document."""


class ImportUri(Spec):
    """A model that the server gets by itself."""

    uri: str = Field(max_length=2_000)
    """Where it is; this server fetches nothing."""
    name: Name | None = None
    """The name to keep it under."""


def form_of(fields: Sequence[tuple[str, str]]) -> ImportForm:
    """Return what the fields of a form say about a model.

    Raises:
        InvalidInput: a field comes twice, or says what no model can be told.
        Malformed: a field is not the JSON or YAML that it must be.
    """
    raw: dict[str, Any] = {}
    for name, text in fields:
        found = _document(text) if name == SPEC else {name: _value(name, text)}
        for key, value in found.items():
            if key in raw:
                detail = f"the field {key!r} comes twice"
                raise InvalidInput(
                    [Fault(pointer=f"/{key}", code="duplicate_field", detail=detail)]
                )
            raw[key] = value
    check_values(raw, NESTING)
    return shaped(ImportForm, raw)


def _document(text: str) -> dict[str, Any]:
    is_json = text.lstrip().startswith("{")
    found = decode_json(text) if is_json else yaml_bodies.decode(text, NESTING)
    if not isinstance(found, dict):
        detail = "the field `spec` is one JSON or YAML object"
        raise InvalidInput(
            [Fault(pointer="/spec", code="invalid_field", detail=detail)]
        )
    return found


def _value(name: str, text: str) -> Any:
    if name in WORDS or not text.strip():
        return text
    if name == "tags" and not text.lstrip().startswith("["):
        return [text]
    return decode_json(text)
