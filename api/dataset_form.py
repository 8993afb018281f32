"""What comes with an upload: a name, and how to read it, as form fields or JSON.

A form knows only text. So a list may be written as JSON or as a field that comes
several times, ``kinds`` as JSON or as ``column=kind``, ``resize`` as JSON or as
``32x32``; ``options`` takes all of them as one JSON object.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from api.bodies import check_values, decode_json
from api.errors import InvalidInput
from api.problems import Fault
from catalog.ingest.order import Options
from trainer.spec.base import Name, Spec

LISTS = ("missing", "header")
SIZE = re.compile(r"\s*(\d{1,5})\s*[x,]\s*(\d{1,5})\s*")
WORDS = ("row", "none")
NESTING = 8


class UploadForm(Options):
    """The fields beside the files of an upload."""

    name: Name | None = None
    """The name to keep it under, as ``name@1``, ``name@2``, …; that of the first file
    if there is none."""


class UploadBody(UploadForm):
    """A form as the OpenAPI document shows it; the files never come into a model."""

    file: list[Annotated[str, Field(json_schema_extra={"format": "binary"})]]
    """The files: one table, one archive, or the idx files of all parts."""


class BuiltinForm(Spec):
    """A data set that the server has or gets by itself."""

    uri: str = Field(max_length=2_000)
    """``sklearn:digits``, ``sklearn:iris``, ``sklearn:wine``, ``sklearn:breast_cancer``
    or ``sklearn:diabetes``."""
    name: Name | None = None
    """The name to keep it under; that of the data set if there is none."""
    target: str | None = None
    """The column to predict, where it is not the data set's own."""


def options_of(form: UploadForm) -> Options:
    """Return the fields that say how to read the files."""
    given = form.model_dump(exclude={"name"}, exclude_unset=True)
    return Options.model_validate(given)


def raw_form(fields: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the fields of a form as the JSON object they stand for."""
    by_name: dict[str, list[str]] = {}
    for name, text in fields:
        by_name.setdefault(name, []).append(text)
    raw: dict[str, Any] = {}
    for name, texts in by_name.items():
        if name == "options":
            raw |= _object(name, texts)
        elif name == "kinds":
            raw[name] = _kinds(texts)
        elif name in LISTS:
            raw[name] = _list(name, texts)
        elif len(texts) > 1:
            raise _fault(name, "duplicate_field", "the field comes more than once")
        else:
            raw[name] = _resize(texts[0]) if name == "resize" else texts[0]
    check_values(raw, NESTING)
    return raw


def _list(name: str, texts: list[str]) -> Any:
    if len(texts) > 1:
        return texts
    text = texts[0]
    if text.lstrip().startswith("["):
        return decode_json(text)
    return text if name == "header" and text in WORDS else [text]


def _kinds(texts: list[str]) -> dict[str, Any]:
    if texts[0].lstrip().startswith("{"):
        return _object("kinds", texts)
    pairs = [text.rpartition("=") for text in texts]
    if not all(column and equals for column, equals, _ in pairs):
        raise _fault(
            "kinds", "invalid_field", 'write column=kind or {"column": "kind"}'
        )
    return {column: kind for column, _, kind in pairs}


def _resize(text: str) -> Any:
    size = SIZE.fullmatch(text)
    if size is not None:
        return {"height": int(size[1]), "width": int(size[2])}
    return _object("resize", [text])


def _object(name: str, texts: list[str]) -> dict[str, Any]:
    value = decode_json(texts[0]) if len(texts) == 1 else None
    if not isinstance(value, dict):
        raise _fault(name, "invalid_field", "the field is one JSON object")
    return value


def _fault(name: str, code: str, detail: str) -> InvalidInput:
    return InvalidInput([Fault(pointer=f"/{name}", code=code, detail=detail)])
