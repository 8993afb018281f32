"""Zip archives that nobody trusts: checked whole before anything is unpacked."""

import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalog.ingest.errors import Refused, refuse, too_large
from catalog.ingest.order import Limits

BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    OSError,
    NotImplementedError,
    RuntimeError,
)
"""What the standard library raises at damaged archives."""
SMALL = 64 * 1024**2
"""Bytes up to which no ratio is too high: nobody is harmed by them."""
NAME_BYTES = 255
DRIVE = re.compile(r"[A-Za-z]:")


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose entries are all harmless.

    Raises:
        Refused: an entry leads out of the archive, is a link, is encrypted, occurs
            twice, or the whole unpacks to more than the limits allow.
    """
    try:
        zipped = zipfile.ZipFile(path)
    except BROKEN as error:
        raise damaged(error) from None
    with zipped:
        entries = zipped.infolist()
        if len(entries) > limits.files:
            raise too_large(
                "too_many_files",
                f"the archive holds {len(entries):,} files, "
                f"at most {limits.files:,} are allowed",
                "send fewer files",
            )
        names: set[str] = set()
        for entry in entries:
            _check(entry)
            if entry.filename in names:
                raise refuse(
                    "duplicate_name",
                    f"the archive holds {entry.filename!r} twice",
                    "write the archive again",
                    file=entry.filename,
                )
            names.add(entry.filename)
        _check_sizes(entries, path.stat().st_size, limits)
        yield zipped


def damaged(error: BaseException, name: str | None = None) -> Refused:
    """Make the refusal of an archive, or an entry of it, that does not open."""
    what = f"{name!r} in the archive" if name else "the archive"
    return refuse(
        "damaged_file",
        f"{what} cannot be read: {str(error)[:200]}",
        "the file seems to be cut off or damaged: write and send it again",
        file=name,
    )


def _check(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename
    pieces = name.replace("\\", "/").split("/")
    if (
        "\0" in name
        or "\\" in name
        or name.startswith("/")
        or DRIVE.match(name)
        or ".." in pieces
        or any(len(piece) > NAME_BYTES for piece in pieces)
    ):
        raise refuse(
            "unsafe_path",
            f"the archive holds the path {name[:200]!r}",
            "use plain relative paths in the archive",
            file=name[:200],
        )
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise refuse(
            "link_in_archive",
            f"{name!r} in the archive is a link or a device",
            "put the files themselves into the archive",
            file=name,
        )
    if entry.flag_bits & 0x1:
        raise refuse(
            "encrypted",
            f"{name!r} in the archive is encrypted",
            "write the archive without a password",
            file=name,
        )


def _check_sizes(entries: list[zipfile.ZipInfo], packed: int, limits: Limits) -> None:
    total = sum(entry.file_size for entry in entries)
    if total > limits.output_bytes:
        raise too_large(
            "too_much_content",
            f"the archive unpacks to {total:,} bytes, at "
            f"most {limits.output_bytes:,} are allowed",
            "send fewer files",
        )
    if total > max(SMALL, limits.ratio * packed):
        raise too_large(
            "too_compressed",
            f"the archive of {packed:,} bytes unpacks to "
            f"{total:,}, more than {limits.ratio} times as many",
            "write the archive with less or no compression",
        )
