"""Text files as bytes: what makes one no table, whatever its fields say."""

import codecs
import csv
from collections.abc import Collection, Iterator
from pathlib import Path

from catalog.ingest.errors import refuse

CHUNK = 4 * 1024**2
BYTE_ORDER_MARK = codecs.BOM_UTF8


def check(path: Path, quote: str, delimiter: str) -> None:
    """Refuse NUL bytes, bytes that are not UTF-8, and a quote that is never closed."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    mark = quote.encode()
    line, quotes, before = 1, 0, b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            if (at := chunk.find(b"\0")) >= 0:
                here = line + chunk.count(b"\n", 0, at)
                raise refuse(
                    "nul_byte",
                    f"line {here} contains a NUL byte",
                    "save the table as plain UTF-8 text",
                    line=here,
                )
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise _not_utf8(error, before, chunk, line) from None
            line += chunk.count(b"\n")
            quotes += chunk.count(mark)
            before = chunk[-4:]
        if decoder.getstate()[0]:
            raise _cut_character(line)
    if quotes % 2:
        _check_quotes(path, quote, delimiter)


def lines_of(path: Path, records: Collection[int], quote: str) -> dict[int, int]:
    """Return the line on which each of some records starts; both count from 1."""
    mark, found = quote.encode(), {}
    last, record, inside = max(records), 0, False
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not inside and line.strip(b"\r\n"):
                record += 1
                if record in records:
                    found[record] = number
                if record > last:
                    break
            inside ^= bool(line.count(mark) % 2)
    return found


def head(path: Path, size: int = 256 * 1024) -> tuple[str, bool]:
    """Return the first characters of a file, and whether they are all of it."""
    with path.open("rb") as file:
        start = file.read(size + 1)
    text = start[:size].removeprefix(BYTE_ORDER_MARK).decode(errors="replace")
    return text.rstrip("\ufffd"), len(start) <= size


def _not_utf8(
    error: UnicodeDecodeError, before: bytes, chunk: bytes, line: int
) -> Exception:
    # The decoder may have kept up to three bytes of the chunk before.
    kept = len(error.object) - len(chunk)
    at = max(error.start - kept, 0)
    here = line + chunk.count(b"\n", 0, at)
    value = (before[-kept:] if kept else b"") + chunk
    return refuse(
        "not_utf8",
        f"line {here} contains the byte 0x{value[error.start]:02x}, "
        "which is not UTF-8 text",
        "save the file with the encoding UTF-8",
        line=here,
    )


def _cut_character(line: int) -> Exception:
    return refuse(
        "not_utf8",
        f"the file ends in the middle of a character, on line {line}",
        "the file seems to be cut off: send it whole",
        line=line,
    )


def _check_quotes(path: Path, quote: str, delimiter: str) -> None:
    """Find out whether an odd number of quotes means one that stays open."""
    reader = csv.reader(_texts(path), delimiter=delimiter, quotechar=quote, strict=True)
    csv.field_size_limit(2**31 - 1)
    opened = 1
    try:
        for _ in reader:
            opened = reader.line_num + 1
    except csv.Error as error:
        if "unexpected end" not in str(error):
            return  # a quote inside a field: the table's own reader judges
        raise refuse(
            "open_quote",
            f"a field that opens with {quote} on line {opened} is never closed",
            f"close the quote, or give another character as `quote`, if {quote} "
            "is part of the text",
            line=opened,
        ) from None


def _texts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from file
