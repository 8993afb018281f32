"""How names become parts of an address, and options become its query."""

from typing import Any
from urllib.parse import quote


def segment(name: str) -> str:
    """Return a name as one segment of a path.

    >>> segment("digits@1")
    'digits@1'
    >>> segment("../etc")
    '..%2Fetc'
    """
    return quote(name, safe="@")


def wanted(**options: Any) -> dict[str, Any]:
    """Return the options that were given.

    >>> wanted(limit=3, cursor=None)
    {'limit': 3}
    """
    return {name: value for name, value in options.items() if value is not None}
