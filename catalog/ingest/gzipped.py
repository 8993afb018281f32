"""Files compressed with gzip: read through, or unpacked within bounds."""

import gzip
import zlib
from pathlib import Path
from typing import IO

from catalog.ingest.errors import Refused, refuse, too_large
from catalog.ingest.order import File, Limits

GZIP = b"\x1f\x8b"
IDX = b"\0\0"
CHUNK = 1024**2
SMALL = 64 * 1024**2
"""Bytes up to which no ratio is too high: nobody is harmed by them."""
BROKEN = (gzip.BadGzipFile, EOFError, zlib.error)
"""What the standard library raises at damaged files."""


def opened(path: Path) -> IO[bytes]:
    """Open a file, through gzip if it is compressed."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    return gzip.open(path) if packed else path.open("rb")  # type: ignore[return-value]


def unpacked(folder: Path, file: File, limits: Limits) -> File:
    """Unpack a gzip file, unless it holds idx, which is read through it.

    Raises:
        Refused: the file is damaged, or unpacks to more than the limits allow.
    """
    path = folder / file.stored
    with path.open("rb") as packed:
        if packed.read(2) != GZIP:
            return file
    plain = path.with_name(f"{path.name}.plain")
    try:
        with opened(path) as stream:
            if stream.read(2) == IDX:
                return file
            stream.seek(0)
            size = _copied(stream, plain, file, limits)
    except BROKEN as error:
        raise damaged(file.name, error) from None
    path.unlink()
    return file.model_copy(update={"stored": plain.name, "bytes": size})


def damaged(name: str, error: BaseException) -> Refused:
    """Make the refusal of a file that does not unpack."""
    return refuse(
        "damaged_file",
        f"{name!r} cannot be unpacked: {str(error)[:200]}",
        "the file seems to be cut off or damaged: send it whole",
        file=name,
    )


def most_bytes(file: File, limits: Limits) -> int:
    """Return how much a file may unpack to."""
    return min(limits.output_bytes, max(SMALL, limits.ratio * file.bytes))


def _copied(stream: IO[bytes], plain: Path, file: File, limits: Limits) -> int:
    most, size = most_bytes(file, limits), 0
    with plain.open("wb") as out:
        while block := stream.read(CHUNK):
            if not size and block.startswith(GZIP):
                raise refuse(
                    "unsupported_format",
                    f"{file.name!r} is a gzip file inside a gzip file",
                    "compress it once",
                    file=file.name,
                )
            size += len(block)
            if size > most:
                raise too_large(
                    "too_compressed",
                    f"{file.name!r} of {file.bytes:,} bytes unpacks to more than "
                    f"{most:,}",
                    "send it unpacked",
                    file=file.name,
                )
            out.write(block)
    return size
