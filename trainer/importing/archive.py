"""Zip archives of strangers: what is inside is counted before it is unpacked."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from trainer.importing.errors import damaged, oversized, unfit

if TYPE_CHECKING:
    from trainer.spec.imports import ImportLimits

BLOCK = 1024**2
SMALL_BYTES = 2**20
"""A member below this is never a bomb, however well it is compressed."""


class Archive:
    """A zip file whose list of members has been checked."""

    def __init__(self, path: Path, limits: ImportLimits) -> None:
        """Open it and look at every member's name, kind and declared size.

        Raises:
            NotImportable: a path leads outside, a link, a double name, too much of it.
        """
        self.name = path.name
        try:
            self._zip = zipfile.ZipFile(path)
            members = self._zip.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise damaged("the archive", str(error)) from error
        if len(members) > limits.members:
            raise oversized(
                "too_many_members",
                f"the archive has {len(members):,} members, at most "
                f"{limits.members:,} are read",
            )
        total = 0
        self.members: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            if member.is_dir():
                continue
            _check_member(member, limits)
            total += member.file_size
            if member.filename in self.members:
                raise unfit(
                    "double_member", f"the archive holds {member.filename!r} twice"
                )
            self.members[member.filename] = member
        if total > limits.unpacked_bytes:
            raise oversized(
                "unpacked_too_large",
                f"the archive unpacks to {total:,} bytes, at most "
                f"{limits.unpacked_bytes:,} are read",
            )

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return a member's bytes, never more than it declares.

        Raises:
            NotImportable: there is none, it is damaged or it is longer than declared.
        """
        member = self.members.get(name)
        if member is None:
            raise damaged("the archive", f"it has no member {name!r}")
        if most is not None and member.file_size > most:
            raise oversized(
                "member_too_large",
                f"{name!r} has {member.file_size:,} bytes, at most {most:,} are read",
            )
        if member.flag_bits & 1:
            raise unfit("encrypted", f"{name!r} in the archive is encrypted")
        try:
            with self._zip.open(member) as stream:
                content = stream.read(member.file_size + 1)
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
            raise damaged("the archive", f"{name!r}: {error}") from error
        except Exception as error:  # zlib.error and others derive from nothing else
            raise damaged("the archive", f"{name!r}: {error}") from error
        if len(content) != member.file_size:
            raise damaged("the archive", f"{name!r} is not as long as it declares")
        return content

    def unpack(self, folder: Path) -> dict[str, Path]:
        """Write every member under a name of our own; return name → path."""
        found = {}
        for number, name in enumerate(self.members):
            place = folder / f"member-{number}"
            place.write_bytes(self.read(name))
            found[name] = place
        return found


def _check_member(member: zipfile.ZipInfo, limits: ImportLimits) -> None:
    """Refuse a member that is no plain file inside, or too large for its size."""
    name = member.filename
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or "\0" in name
        or ":" in name.partition("/")[0]
    ):
        raise unfit(
            "path_outside",
            f"the archive's member {name[:200]!r} leads outside of it",
            "pack the files again, with plain relative names",
        )
    mode = member.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise unfit(
            "not_a_file",
            f"the archive's member {name[:200]!r} is a link or a device",
            "pack the files themselves",
        )
    if member.file_size > SMALL_BYTES and member.file_size > limits.ratio * max(
        member.compress_size, 1
    ):
        raise oversized(
            "unpacked_too_large",
            f"the archive's member {name[:200]!r} unpacks from "
            f"{member.compress_size:,} to {member.file_size:,} bytes",
        )
