"""A spec in a file: sent as it was written, so that the server keeps the same text."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from frostline.errors import Unreadable

JSON = "application/json"
YAML = "application/yaml"


@dataclass(frozen=True)
class SpecText:
    """A spec as somebody wrote it."""

    text: bytes
    media_type: str


def read_spec(name: str) -> SpecText:
    """Read a spec from a file, or from the standard input if the name is ``-``."""
    if name == "-":
        return spec_text(sys.stdin.buffer.read())
    try:
        return spec_text(Path(name).read_bytes())
    except OSError as error:
        raise Unreadable(name, error.strerror or "unreadable") from None


def spec_text(text: bytes) -> SpecText:
    """Tell JSON from YAML by what it looks like.

    >>> spec_text(b'{"name": "a"}').media_type
    'application/json'
    >>> spec_text(b"name: a").media_type
    'application/yaml'
    """
    try:
        json.loads(text)
    except ValueError:
        looks_like_json = text.lstrip().startswith((b"{", b"["))
        return SpecText(text, JSON if looks_like_json else YAML)
    return SpecText(text, JSON)
