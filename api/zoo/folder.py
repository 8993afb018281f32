"""A folder of model files as a zoo: what lies in it, found without opening a model.

Whoever may write into the folder is not trusted with more than that folder: no link is
followed, neither now nor when a file is opened later, and what is not a plain file is
not there. How much is looked at has a bound.
"""

import os
import stat
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO

MOST_FILES = 10_000
"""Most files that are looked at."""
DEEPEST = 8
"""Deepest folder that is looked into."""
LONGEST_NAME = 1_000
"""Longest name of a model, in characters."""

FORMATS = {
    ".safetensors": "safetensors",
    ".pt": "torch",
    ".pth": "torch",
    ".pt2": "torch_export",
    ".onnx": "onnx",
    ".keras": "keras",
    ".h5": "keras_h5",
    ".hdf5": "keras_h5",
    ".index": "tensorflow_checkpoint",
    ".caffemodel": "caffe",
    ".npz": "npz",
    ".zip": "zip",
}
"""Ending of a model's main file → what it is likely to be; its reader looks closer."""
COMPANIONS = {
    ".index": (".meta",),
    ".caffemodel": (".prototxt",),
    ".onnx": (".onnx.data", ".onnx_data", ".data"),
}
"""Ending of a main file → endings of what belongs to it."""
SAVED_MODEL = "saved_model.pb"

Parts = tuple[str, ...]
"""A path below the zoo, name by name."""


@dataclass(frozen=True)
class Member:
    """A plain file in the zoo."""

    parts: Parts
    bytes: int

    @property
    def name(self) -> str:
        """Return the file's own name."""
        return self.parts[-1]


@dataclass(frozen=True)
class ZooModel:
    """The files that make one model."""

    parts: Parts
    """Its main file, or the folder of a SavedModel."""
    format: str
    members: tuple[Member, ...]

    @property
    def name(self) -> str:
        """Return the path below the zoo, by which the model is asked for."""
        return "/".join(self.parts)


@dataclass(frozen=True)
class ZooFolder:
    """What lies in the folder."""

    root: str
    files: dict[Parts, Member]
    is_whole: bool
    """Whether everything was looked at."""

    def beside(self, parts: Parts, names: Sequence[str]) -> list[Member]:
        """Return the files of some names that lie in the same folder as `parts`."""
        found = (self.files.get((*parts[:-1], name)) for name in names)
        return [member for member in found if member is not None]

    def models(self) -> list[ZooModel]:
        """Return the models, in the order of their names."""
        saved: dict[Parts, list[Member]] = {
            parts[:-1]: []
            for parts in self.files
            if parts[-1] == SAVED_MODEL and len(parts) > 1
        }
        found = []
        for parts, member in self.files.items():
            above = (parts[:n] for n in range(1, len(parts)))
            outer = next((folder for folder in above if folder in saved), None)
            ending = PurePosixPath(parts[-1]).suffix.lower()
            if outer is not None:
                saved[outer].append(member)
            elif ending in FORMATS:
                members = (member, *self._companions(parts, ending))
                found.append(ZooModel(parts, FORMATS[ending], members))
        for folder, inside in saved.items():
            if inside:  # else it lies in another one
                found.append(ZooModel(folder, "tensorflow_saved_model", (*inside,)))
        short = [model for model in found if len(model.name) <= LONGEST_NAME]
        return sorted(short, key=lambda model: model.name)

    def _companions(self, parts: Parts, ending: str) -> list[Member]:
        """Return what belongs to a main file by the customs of its format."""
        stem = parts[-1][: -len(ending)]
        names = [f"{stem}{ending}" for ending in COMPANIONS.get(ending, ())]
        found = self.beside(parts, names)
        if ending == ".index":
            folder, first = parts[:-1], f"{stem}.data-"
            # sorted, so that a folder of ten thousand checkpoints takes no minute
            start = bisect_left(self._order, (*folder, first))
            for other in islice(self._order, start, None):
                if other[:-1] != folder or not other[-1].startswith(first):
                    break
                found.append(self.files[other])
        return found

    @cached_property
    def _order(self) -> list[Parts]:
        return sorted(self.files)


def looked_into(folder: Path) -> ZooFolder:
    """Return what lies in a folder; hidden and unspeakable names are left out.

    Raises:
        OSError: there is no such folder.
    """
    root = str(folder.resolve(strict=True))
    found: dict[Parts, Member] = {}
    os.close(os.open(root, os.O_RDONLY | os.O_DIRECTORY))
    for place, folders, names, handle in os.fwalk(root, follow_symlinks=False):
        below = tuple(Path(place).relative_to(root).parts)
        folders[:] = sorted(n for n in folders if _is_speakable(n))
        if len(below) >= DEEPEST:
            folders.clear()
        for name in sorted(filter(_is_speakable, names)):
            if len(found) >= MOST_FILES:
                return ZooFolder(root, found, is_whole=False)
            size = _size(name, handle)
            if size is not None:
                found[(*below, name)] = Member((*below, name), size)
    return ZooFolder(root, found, is_whole=True)


def _is_speakable(name: str) -> bool:
    return name.isprintable() and not name.startswith(".")


def _size(name: str, folder: int) -> int | None:
    """Return the size of a plain file; None for links, pipes and what has gone."""
    try:
        about = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    return about.st_size if stat.S_ISREG(about.st_mode) else None


def opened(root: str, parts: Parts) -> BinaryIO:
    """Open a plain file below `root` for reading; no part of its path may be a link.

    Raises:
        OSError: it is not there, or something else is there by now.
    """
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(
                part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder
            )
            os.close(folder)
            folder = inner
        # without O_NONBLOCK a pipe under that name would be waited for
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(parts[-1], flags, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise FileNotFoundError("/".join(parts))
    return os.fdopen(file, "rb")
