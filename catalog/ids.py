"""Identifiers: a prefix that says what it names, and a time-ordered random part.

The random part is a version 7 UUID (RFC 9562) in Crockford's base 32, lower case: ids
sort by the time they were made, so a list in the order of ids is a list in time.
"""

import secrets
import threading
import time
from typing import Literal

Noun = Literal["job", "ds", "mdl", "exp", "search"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26
_counting = threading.Lock()
_newest = 0


def new_id(noun: Noun) -> str:
    """Make an id such as ``job_06e4x1…``, later than any that this process made."""
    return f"{noun}_{_base32(_uuid7())}"


def _uuid7() -> int:
    """Return 48 bits of milliseconds, 12 bits of their fraction, 62 random bits."""
    global _newest  # noqa: PLW0603 - the clock may stand still or go back; ids do not
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    with _counting:
        _newest = max((milliseconds << 12) | (rest << 12) // 1_000_000, _newest + 1)
        moment = _newest
    head = (moment >> 12 << 16) | (7 << 12) | (moment & 0xFFF)
    return (head << 64) | (0b10 << 62) | secrets.randbits(62)


def _base32(number: int) -> str:
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
