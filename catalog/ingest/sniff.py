"""What a file is, by its first bytes; its name is never asked."""

import json
import re
import zipfile
from pathlib import Path
from typing import Literal

from catalog.ingest import archive, gzipped, plain_text
from catalog.ingest.errors import Refused, refuse

Format = Literal["delimited", "json_lines", "parquet", "arrays", "idx", "class_folders"]

FORMATS = (
    "send CSV, TSV, JSON Lines, Parquet, .npz, idx .gz pairs or a zip of class folders"
)
HEAD = 4096

# First bytes of formats that are not read, what they are, and what to do instead.
FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "save the arrays as .npz"),
    (b"\x93NUMPY", "a single .npy array", "save x and y together with numpy.savez"),
    (b"ARROW1", "an Arrow or Feather file", "save the table as Parquet"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"%PDF", "a PDF document", FORMATS),
    (b"\xd0\xcf\x11\xe0", "an old Office document", "export the sheet as CSV"),
    (b"\x89PNG", "a single image", "zip class folders with images in them"),
    (b"\xff\xd8\xff", "a single image", "zip class folders with images in them"),
    (b"GIF8", "a single image", "zip class folders with images in them"),
    (b"BZh", "a bzip2 archive", "send the file unpacked, or as .gz"),
    (b"\xfd7zXZ\0", "an xz archive", "send the file unpacked, or as .gz"),
    (b"\x28\xb5\x2f\xfd", "a zstandard archive", "send the file unpacked, or as .gz"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "send it as .zip"),
    (b"Rar!", "a RAR archive", "send it as .zip"),
    (b"\xff\xfe", "UTF-16 text", "save the file with the encoding UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "save the file with the encoding UTF-8"),
)
PICKLE = re.compile(rb"\x80[\x02-\x05](?:\x95|\]|\}|c|q|\x8c|\(|K|N|X)", re.DOTALL)
IDX_TYPES = {bytes([code]) for code in range(0x08, 0x0F)}
CONTROL = frozenset(range(ord(" "))) - frozenset(b"\t\n\r\f\x1b\0")
"""Bytes that no text contains; NUL is refused later, with its line."""
TAR = slice(257, 262)
SAFETENSORS_HEADER = 100_000_000


def format_of(path: Path, name: str) -> Format:
    """Return the format of a file.

    Raises:
        Refused: the file is empty, or in a format that is not read, which is named.
    """
    try:
        with gzipped.opened(path) as file:  # idx files stay packed
            head = file.read(HEAD)
    except gzipped.BROKEN as error:
        raise gzipped.damaged(name, error) from None
    if not head.strip():
        raise refuse("empty_file", f"the file {name!r} is empty", FORMATS, file=name)
    _check_foreign(head, name)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zipped(path, name)
    if head[:2] == b"\0\0" and head[2:3] in IDX_TYPES:
        return "idx"
    return _text(head.removeprefix(plain_text.BYTE_ORDER_MARK), name)


def _check_foreign(head: bytes, name: str) -> None:
    for start, what, remedy in FOREIGN:
        if head.startswith(start):
            raise foreign(name, what, remedy)
    if PICKLE.match(head):
        raise foreign(name, "a Python pickle, which is never loaded", FORMATS)
    if head[TAR] == b"ustar":
        raise foreign(name, "a tar archive", "send it as .zip")
    length = int.from_bytes(head[:8], "little")
    if 1 < length <= SAFETENSORS_HEADER and head[8:9] == b"{":
        raise foreign(
            name,
            "a safetensors file: weights, not data",
            "import it as a model, or save the arrays as .npz",
        )


def _zipped(path: Path, name: str) -> Format:
    try:
        with zipfile.ZipFile(path) as zipped:
            inside = [
                entry.filename for entry in zipped.infolist() if not entry.is_dir()
            ]
    except archive.BROKEN as error:
        raise archive.damaged(error) from None
    if not inside:
        raise refuse(
            "no_rows", f"the archive {name!r} holds no files", FORMATS, file=name
        )
    if all(entry.endswith(".npy") for entry in inside):
        return "arrays"
    last = {entry.rsplit("/", 1)[-1] for entry in inside}
    if "data.pkl" in last:
        raise foreign(name, "a PyTorch checkpoint, which is never unpickled", FORMATS)
    if "[Content_Types].xml" in last:
        raise foreign(name, "an Office document", "export the sheet as CSV")
    if "model.weights.h5" in last:
        raise foreign(name, "a Keras model, not data", FORMATS)
    return "class_folders"


def _text(head: bytes, name: str) -> Format:
    """Tell JSON Lines from a table, and text from bytes that are none."""
    control = sum(byte in CONTROL for byte in head)
    if control > len(head) // 50:
        raise refuse(
            "unknown_format", f"the format of {name!r} is not known", FORMATS, file=name
        )
    start = head.lstrip()
    if start.startswith(b"{"):
        return "json_lines"
    if start.startswith(b"[") and _is_json_start(start):
        raise foreign(name, "one JSON array", "write one object per line (JSON Lines)")
    if start[:5].lower() in {b"<!doc", b"<html", b"<?xml"}:
        raise foreign(name, "an HTML or XML document", FORMATS)
    return "delimited"


def _is_json_start(start: bytes) -> bool:
    """Tell whether text that opens a bracket goes on as JSON."""
    try:
        json.JSONDecoder().raw_decode(start[1:].lstrip().decode(errors="replace"))
    except ValueError:
        return start[1:].lstrip()[:1] in {b"{", b"["}
    return True


def foreign(name: str, what: str, remedy: str) -> Refused:
    """Make the refusal of a format that is known but not read."""
    return refuse("unsupported_format", f"{name!r} is {what}", remedy, file=name)
