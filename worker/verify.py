"""Whether files are what a trainer says they are: sizes and hashes, read back.

A result or a checkpoint counts only after this. The reading runs beside the
supervising loop, because hashing gigabytes must not keep a heartbeat waiting.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PIECE = 2**20
MANIFEST = "manifest.json"


class NotAsTold(Exception):
    """Files that are missing, short, altered or in a place that is not theirs."""

    def __init__(self, path: Path, told: object, found: object) -> None:
        super().__init__(f"{path.name}: the trainer said {told}, found {found}")
        self.path, self.told, self.found = path, told, found


@dataclass(frozen=True)
class FileFact:
    """Size and hash of a file, as its writer gave them."""

    bytes: int
    sha256: str


def sha256_of(path: Path) -> str:
    """Return the hash of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def files_are(folder: Path, inside: Path, facts: Mapping[str, FileFact]) -> None:
    """Check that every named file lies in `folder` as told, and `folder` in `inside`.

    Raises:
        NotAsTold: a file, or the folder itself, is not.
    """
    if not facts:
        raise NotAsTold(folder, "it holds files", "none named")
    if folder.resolve() != inside.resolve() and inside.resolve() not in (
        folder.resolve().parents
    ):
        raise NotAsTold(folder, f"a folder in {inside.name}", "another place")
    for name, fact in facts.items():
        _file_is(folder, name, fact)


def checkpoint_is(folder: Path, inside: Path, manifest_sha256: str) -> None:
    """Check a checkpoint's manifest against its hash, and its files against it.

    Raises:
        NotAsTold: something is not as told.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotAsTold(path, "a manifest", "no file")
    found = sha256_of(path)
    if found != manifest_sha256:
        raise NotAsTold(path, manifest_sha256, found)
    try:
        manifest = json.loads(path.read_bytes())
        facts = {
            str(name): FileFact(int(file["bytes"]), str(file["sha256"]))
            for name, file in manifest["files"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotAsTold(path, "files with bytes and sha256", repr(error)) from error
    files_are(folder, inside, facts)


def _file_is(folder: Path, name: str, fact: FileFact) -> None:
    path = folder / name
    if "/" in name or name in {"", ".", ".."} or path.is_symlink():
        raise NotAsTold(path, "a plain file", name)
    if not path.is_file():
        raise NotAsTold(path, f"{fact.bytes} bytes", "no file")
    size = path.stat().st_size
    if size != fact.bytes:
        raise NotAsTold(path, f"{fact.bytes} bytes", f"{size} bytes")
    found = sha256_of(path)
    if found != fact.sha256:
        raise NotAsTold(path, fact.sha256, found)
