"""What the cache of frozen outputs saved, in a sentence made of measured seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

WHOLE_SECONDS = 10
"""From here on nobody wants to know the tenths."""


def summary(report: Mapping[str, Any]) -> str:
    """Say what was saved of what, or why nothing was.

    >>> summary({"result": "miss", "seconds_without": 58.2, "seconds_saved": 41.3,
    ...          "fill_seconds": 15.9, "read_seconds": 1.0, "reason": None})
    'saved 41 s of 58 s in the frozen layers; filling took 16 s, reading 1.0 s'
    """
    result, reason = report["result"], report["reason"]
    if result is None:
        return "nothing was asked for yet"
    whole = seconds(report["seconds_without"])
    if result == "off":
        return f"saved nothing: {reason or 'frozen_cache is off'}"
    if result == "refused":
        return f"saved nothing: {reason}"
    saved = report["seconds_saved"]
    word = "saved" if saved >= 0 else "lost"
    fill, read = seconds(report["fill_seconds"]), seconds(report["read_seconds"])
    told = f"{word} {seconds(abs(saved))} of {whole} in the frozen layers; "
    told += f"filling took {fill}, reading {read}"
    return f"{told}; {reason}" if reason else told


def seconds(value: float) -> str:
    """Return seconds with two figures, or whole ones.

    >>> seconds(41.3), seconds(4.13), seconds(0.0413)
    ('41 s', '4.1 s', '0.041 s')
    """
    if value >= WHOLE_SECONDS:
        return f"{value:.0f} s"
    if value >= 1:
        return f"{value:.1f} s"
    return f"{value:.2g} s"
