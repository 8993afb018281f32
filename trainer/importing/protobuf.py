"""The wire format of protocol buffers, as far as weights need it.

TensorFlow's and Caffe's files are protobuf messages of which a handful of fields count
here. Their own libraries are enormous or no longer kept; the wire format is four rules
(developers.google.com/protocol-buffers/docs/encoding).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from trainer.importing.errors import damaged

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.importing.found import Array

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LONGEST_VARINT = 10


def mapped(path: Path) -> memoryview:
    """Return a file's bytes without reading those that are not asked for."""
    if not path.stat().st_size:  # what is empty cannot be mapped
        return memoryview(b"")
    return np.memmap(path, np.uint8, "r").data


def varint(buffer: memoryview, at: int) -> tuple[int, int]:
    """Return the number that starts at a position, and the position after it."""
    value = 0
    for count in range(LONGEST_VARINT):
        if at >= len(buffer):
            break
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value & (2**64 - 1), at
    raise damaged("the message", "a number is cut off")


class Message:
    """One message: its fields by number, each a list of what came under it."""

    def __init__(self, buffer: memoryview | bytes) -> None:
        """Take the fields apart; submessages stay bytes until they are asked for."""
        self._fields: dict[int, list[int | memoryview]] = {}
        view, at = memoryview(buffer), 0
        while at < len(view):
            key, at = varint(view, at)
            value, at = _value(view, at, key & 7)
            self._fields.setdefault(key >> 3, []).append(value)

    def __contains__(self, field: int) -> bool:
        return field in self._fields

    def number(self, field: int, default: int = 0) -> int:
        """Return the last number under a field, as signed 64 bit."""
        found = [v for v in self._fields.get(field, ()) if isinstance(v, int)]
        value = found[-1] if found else default
        return value - 2**64 if value >= 2**63 else value

    def real(self, field: int, default: float = 0.0) -> float:
        """Return the last 32-bit real number under a field."""
        found = [v for v in self._fields.get(field, ()) if isinstance(v, int)]
        if not found:
            return default
        return float(struct.unpack("<f", struct.pack("<I", found[-1] & 0xFFFFFFFF))[0])

    def view(self, field: int) -> memoryview | None:
        """Return the last bytes under a field."""
        found = [v for v in self._fields.get(field, ()) if isinstance(v, memoryview)]
        return found[-1] if found else None

    def text(self, field: int, default: str = "") -> str:
        """Return the last text under a field."""
        found = self.view(field)
        return default if found is None else bytes(found).decode(errors="replace")

    def message(self, field: int) -> Message | None:
        """Return the last submessage under a field."""
        found = self.view(field)
        return None if found is None else Message(found)

    def messages(self, field: int) -> list[Message]:
        """Return every submessage under a field."""
        found = self._fields.get(field, ())
        return [Message(v) for v in found if isinstance(v, memoryview)]

    def numbers(self, field: int) -> list[int]:
        """Return every number under a field, packed or not."""
        numbers: list[int] = []
        for value in self._fields.get(field, ()):
            if isinstance(value, int):
                numbers.append(value)
                continue
            at = 0
            while at < len(value):
                number, at = varint(value, at)
                numbers.append(number)
        return [n - 2**64 if n >= 2**63 else n for n in numbers]

    def reals(self, field: int) -> Array:
        """Return every 32-bit real number under a field, packed or not."""
        parts = []
        for value in self._fields.get(field, ()):
            raw = struct.pack("<I", value) if isinstance(value, int) else value
            if len(raw) % 4:
                raise damaged("the message", "a list of reals is cut off")
            parts.append(np.frombuffer(raw, "<f4"))
        return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _value(view: memoryview, at: int, kind: int) -> tuple[int | memoryview, int]:
    """Return the value of one field, and the position after it."""
    if kind == VARINT:
        return varint(view, at)
    if kind == BYTES:
        size, at = varint(view, at)
        if size > len(view) - at:
            raise damaged("the message", f"a field declares {size:,} bytes too many")
        return view[at : at + size], at + size
    size = {FIXED64: 8, FIXED32: 4}.get(kind, 0)
    if not size or at + size > len(view):
        raise damaged("the message", f"a field of kind {kind} is unknown or cut off")
    return int.from_bytes(view[at : at + size], "little"), at + size
