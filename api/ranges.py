"""Ranges of a file's bytes (RFC 9110, section 14): one at a time, or the whole file."""

import re
from typing import Literal

ONE_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")


def one_range(header: str, size: int) -> Literal["inside", "outside", "ignored"]:
    """Tell what becomes of a Range header.

    A server may ignore it: what is malformed or asks for several parts gets the whole.

    >>> one_range("bytes=0-9", 5), one_range("bytes=5-", 5), one_range("lines=1-2", 5)
    ('inside', 'outside', 'ignored')
    """
    found = ONE_RANGE.fullmatch(header)
    if found is None or found.groups() == ("", ""):
        return "ignored"
    first, last = found.groups()
    if not first:
        return "inside" if int(last) > 0 and size > 0 else "outside"
    if last and int(last) < int(first):
        return "ignored"
    return "inside" if int(first) < size else "outside"
