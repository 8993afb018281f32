"""Specs on their way to the server: handed in, or only tried."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from frostline.connection import Connection
from frostline.specs import JSON, SpecText

Written = Mapping[str, Any] | SpecText


def handed_in(
    connection: Connection, path: str, written: Written, idempotency_key: str | None
) -> Any:
    """Return what was made of a spec.

    Without a key of the caller's own one is made up, so that a request whose answer was
    lost is repeated without making a second one.
    """
    text, media_type = _body(written)
    headers = {
        "Idempotency-Key": idempotency_key or str(uuid.uuid4()),
        "Content-Type": media_type,
    }
    return connection.json("POST", path, content=text, headers=headers)


def tried(connection: Connection, path: str, written: Written) -> Mapping[str, Any]:
    """Return what a spec would come to; nothing is stored."""
    text, media_type = _body(written)
    found: Mapping[str, Any] = connection.json(
        "POST",
        path,
        content=text,
        headers={"Content-Type": media_type},
        params={"dry_run": "true"},
    )
    return found


def _body(spec: Mapping[str, Any] | SpecText) -> tuple[bytes, str]:
    """Return a spec as bytes to send, and what they are."""
    if isinstance(spec, SpecText):
        return spec.text, spec.media_type
    return json.dumps(spec).encode(), JSON
