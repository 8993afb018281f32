"""Bodies: read within a limit, decoded strictly, checked against a shape.

FastAPI's own decoding keeps the last of two equal keys, accepts ``NaN`` and loses the
text. A spec is kept as it was written, so it is decoded here: JSON or YAML, every key
once, finite numbers, bounded nesting.
"""

import json
import math
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NoReturn, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, RootModel, ValidationError
from starlette.concurrency import run_in_threadpool

from api import yaml_bodies
from api.errors import (
    BodyTooLarge,
    InvalidInput,
    Malformed,
    TooDeep,
    UnknownMediaType,
)
from api.problems import Fault
from api.settings import Settings
from trainer.spec.errors import problems_of

Shape = TypeVar("Shape", bound=BaseModel)

JSON_TYPES = ("application/json", "application/merge-patch+json")
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")

DRAINED_BYTES = 16 * 1024 * 1024
"""How much of a body that is too large is read and thrown away, so that a client that
only reads when it has written still gets the answer."""

QUICK_BYTES = 16 * 1024
"""Bodies up to here are decoded at once; going to a thread would take longer."""

LARGEST_INTEGER = 2**63 - 1
"""Integers beyond this are neither a count nor storable; nobody means them."""

SURROGATE = re.compile("[\ud800-\udfff]")


def reading(
    limit_of: Callable[[Settings], int],
) -> Callable[[Request], Awaitable[bytes]]:
    """Return a dependency that reads the body within one of the limits."""

    async def read(request: Request) -> bytes:
        return await read_within(request, limit_of(request.app.state.settings))

    return read


async def read_within(request: Request, limit: int) -> bytes:
    """Return the whole body; refuse one that is too large without keeping it."""
    declared = int(request.headers.get("content-length", "0") or 0)
    if declared > limit + DRAINED_BYTES:
        raise BodyTooLarge(limit, close=True)
    kept, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit + DRAINED_BYTES:
            raise BodyTooLarge(limit, close=True)
        if size <= limit:
            kept += chunk
    if size > limit:
        raise BodyTooLarge(limit, close=False)
    return bytes(kept)


SmallBody = Annotated[bytes, Depends(reading(lambda settings: settings.spec_bytes))]
"""A body within the limit for specs."""


def decoded(request: Request, body: bytes) -> Any:
    """Return what a JSON or YAML body says, as plain Python values."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    settings: Settings = request.app.state.settings
    if media_type in YAML_TYPES:
        value = yaml_bodies.decode(text_of(body), settings.spec_depth)
    elif media_type in JSON_TYPES or (not media_type and body):
        value = decode_json(text_of(body))
    elif not body:
        raise Malformed("the body is empty", code="empty_body")
    else:
        raise UnknownMediaType(media_type, (JSON_TYPES[0], YAML_TYPES[0]))
    check_values(value, settings.spec_depth)
    return value


def text_of(body: bytes) -> str:
    """Return the body as text."""
    if not body.strip():
        raise Malformed("the body is empty", code="empty_body")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(
            f"the body is not UTF-8: byte {error.start} is 0x{body[error.start]:02x}",
            code="invalid_utf8",
        ) from error


def decode_json(text: str) -> Any:
    """Return what the JSON text says, refusing what JSON does not have."""
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        raise Malformed(
            f"the body is not JSON: line {error.lineno}, column {error.colno}:"
            f" {error.msg[0].lower()}{error.msg[1:]}"
        ) from error
    except RecursionError as error:
        raise Malformed("the body is nested too deeply", code="too_deep") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Malformed(f"the key {twice!r} occurs twice", code="duplicate_key")
    return found


def _constant(text: str) -> NoReturn:
    raise Malformed(
        f"{text} is not a JSON value; leave the field out, or write null",
        code="not_finite",
    )


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Malformed(f"the number {text[:40]} is too large", code="not_finite")
    return number


def _integer(text: str) -> int:
    number = int(text) if len(text) <= len(str(LARGEST_INTEGER)) + 1 else None
    if number is None or abs(number) > LARGEST_INTEGER:
        raise Malformed(f"the number {text[:40]} is too large", code="not_finite")
    return number


def check_values(value: Any, depth: int) -> None:
    """Refuse nesting deeper than `depth`, and text that no database can keep."""
    level = [value]
    for further in range(depth, -1, -1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, dict | list):
                if not further:
                    raise TooDeep(depth)
                inner.extend(item)
                inner.extend(item.values() if isinstance(item, dict) else ())
        level = inner


def _check_text(text: str) -> None:
    if "\0" in text or (not text.isascii() and SURROGATE.search(text)):
        raise Malformed(
            f"the text {text[:40]!r} holds a NUL or half of a surrogate pair",
            code="invalid_text",
        )


async def document(request: Request, body: SmallBody) -> Any:
    """Return what a body within the limit for specs says."""
    if len(body) <= QUICK_BYTES:
        return decoded(request, body)
    return await run_in_threadpool(decoded, request, body)


Document = Annotated[Any, Depends(document)]
"""A JSON or YAML body as plain values, exactly as written."""


class Shaped:
    """A dependency that checks a body against a shape."""

    def __init__(self, shape: type[BaseModel]) -> None:
        self.shape = shape

    def __call__(self, value: Document) -> Any:
        """Return the body as that shape."""
        return shaped(self.shape, value)


def shaped(shape: type[Shape], value: Any) -> Shape:
    """Return the value as its shape; say with pointers where it does not fit."""
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        raise InvalidInput(
            [Fault(**found.as_dict()) for found in problems_of(error, value, shape)]
        ) from error


def request_body(
    *references: str, yaml: bool = True, required: bool = True
) -> dict[str, Any]:
    """Return the OpenAPI entry of a body that is decoded here."""
    schemas = [{"$ref": f"#/components/schemas/{name}"} for name in references]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    types = [JSON_TYPES[0], *YAML_TYPES[:1]] if yaml else [JSON_TYPES[0]]
    content = {media_type: {"schema": schema} for media_type in types}
    return {"requestBody": {"required": required, "content": content}}


class MergePatch(RootModel[dict[str, Any]]):
    """A JSON Merge Patch (RFC 7396): objects merge, null removes, all else replaces."""
