"""The arrays and the description in Keras' files: HDF5, alone or inside a `.keras`.

h5py reads them. HDF5 can point to other files by links, external storage and virtual
sets; each of them is refused, and no array is read that declares more than its file.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.importing.archive import Archive
from trainer.importing.errors import damaged, missing_library, oversized, unfit

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.importing.found import Array
    from trainer.spec.imports import ImportLimits

LARGEST_CONFIG = 64 * 2**20
DEEPEST = 50
CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""What Keras 3 and 2.12 call the group of a model's layers."""
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class KerasFile:
    """A model's description and the arrays of each of its layers."""

    def __init__(self, path: Path, folder: Path, limits: ImportLimits) -> None:
        """Open a `.h5` file, or a `.keras` archive by unpacking its weights."""
        self._h5py = _library()
        self._limits = limits
        self.format = "keras_h5"
        with path.open("rb") as start:
            is_archive = start.read(4) == b"PK\x03\x04"
        if is_archive:
            self.format = "keras"
            archive = Archive(path, limits)
            self._config = archive.read("config.json", LARGEST_CONFIG)
            path = folder / "weights-of-keras"
            path.write_bytes(archive.read("model.weights.h5"))
        self._size = path.stat().st_size
        try:
            self._file = self._h5py.File(path, "r")
        except (OSError, RuntimeError) as error:
            raise damaged("the HDF5 file", str(error)) from error

    def config(self) -> dict[str, Any]:
        """Return the model's description as Keras wrote it."""
        text = self._config if self.format == "keras" else self._attribute()
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise damaged("the model's description", str(error)) from error
        if not isinstance(found, dict) or not isinstance(found.get("config"), dict):
            raise damaged("the model's description", "it describes no model")
        return found

    def _attribute(self) -> bytes | str:
        try:
            text = self._file.attrs.get("model_config")
        except (OSError, RuntimeError) as error:
            raise damaged("the HDF5 file", str(error)) from error
        if text is None:
            raise unfit(
                "no_config",
                "the HDF5 file holds weights without the model's description",
                "save the whole model: model.save('model.h5')",
            )
        if len(text) > LARGEST_CONFIG:
            raise oversized("config_too_large", "the model's description is enormous")
        return bytes(text) if isinstance(text, bytes) else str(text)

    @property
    def is_whole(self) -> bool:
        """Tell whether the file describes its model."""
        try:
            return self.format == "keras" or "model_config" in self._file.attrs
        except (OSError, RuntimeError) as error:
            raise damaged("the HDF5 file", str(error)) from error

    def every(self) -> dict[str, Array]:
        """Return every array of the file by its path, but those of optimizers."""
        try:
            return self._every()
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise damaged("the HDF5 file", str(error)) from error

    def _every(self) -> dict[str, Array]:
        found: dict[str, Array] = {}
        waiting, seen = [("", self._file)], 0
        while waiting:
            place, group = waiting.pop()
            seen += 1
            if place.count("/") > DEEPEST or seen > self._limits.members:
                # a group that holds itself has no end
                raise damaged("the HDF5 file", "its groups are nested too deeply")
            for name in list(group):
                path = f"{place}/{name}" if place else name
                link = group.get(name, getlink=True)
                if not isinstance(link, self._h5py.HardLink):
                    raise unfit("link", f"{path[:200]!r} in the HDF5 file is a link")
                if group.get(name, getclass=True) is self._h5py.Group:
                    waiting.append((path, group[name]))
                elif "optimizer" not in path:
                    found[path] = self._array(group, name)
        return found

    def arrays(
        self, layers: list[tuple[str, str]]
    ) -> dict[str, list[tuple[Array, str]]]:
        """Return the arrays of each layer in Keras' order, with their names.

        `layers` are names and classes in the description's order.
        """
        try:
            if self.format == "keras":
                return self._by_class(layers)
            return {name: self._named(name) for name, _ in layers}
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise damaged("the HDF5 file", str(error)) from error

    def _named(self, name: str) -> list[tuple[Array, str]]:
        if "model_weights" not in self._file:
            return []
        group = self._group(self._file, "model_weights")
        if name not in group:
            return []
        layer = self._group(group, name)
        found = []
        for raw in layer.attrs.get("weight_names", []):
            path = raw.decode() if isinstance(raw, bytes) else str(raw)
            found.append((self._array(layer, path), path))
        return found

    def _by_class(
        self, layers: list[tuple[str, str]]
    ) -> dict[str, list[tuple[Array, str]]]:
        """Read Keras 3's groups: by the layer's name, else by class and number."""
        top = next((c for c in CONTAINERS if c in self._file), None)
        if top is None:
            raise damaged("the weights", f"they have no group {CONTAINERS[0]!r}")
        group = self._group(self._file, top)
        stated = {}
        for key in group:
            inner = self._group(group, key)
            held = self._group(inner, "vars") if "vars" in inner else None
            if held is not None and "name" in held.attrs:
                stated[str(held.attrs["name"])] = key
        counts: dict[str, int] = {}
        found: dict[str, list[tuple[Array, str]]] = {}
        for name, kind in layers:
            word = CAMEL.sub("_", kind).lower().replace("2_d", "2d")
            number = counts.get(word, 0)
            counts[word] = number + 1
            key = stated.get(name, f"{word}_{number}" if number else word)
            found[name] = []
            if key in group and "vars" in self._group(group, key):
                held = self._group(self._group(group, key), "vars")
                names = sorted(held, key=int)
                found[name] = [(self._array(held, n), f"{name}/{n}") for n in names]
        return found

    def _group(self, group: Any, name: str) -> Any:
        """Return a group inside the file itself."""
        for part in name.split("/"):
            link = group.get(part, getlink=True)
            if link is None:
                raise damaged("the HDF5 file", f"it has no {name[:200]!r}")
            if not isinstance(link, self._h5py.HardLink):
                raise unfit("link", f"{name[:200]!r} in the HDF5 file is a link")
            group = group[part]
        return group

    def _array(self, group: Any, path: str) -> Array:
        *before, last = path.split("/")
        holder = self._group(group, "/".join(before)) if before else group
        found = self._group(holder, last)
        if not isinstance(found, self._h5py.Dataset):
            raise damaged("the HDF5 file", f"{path!r} is no array")
        if found.external or found.is_virtual:
            raise unfit("link", f"{path!r} lies outside of the HDF5 file")
        if found.dtype.kind not in "fiub":
            raise unfit("unknown_type", f"{path!r} holds {found.dtype}, no numbers")
        most = min(self._limits.ratio * self._size, self._limits.memory_bytes // 2)
        if found.nbytes > most:
            raise oversized(
                "declared_too_large",
                f"{path!r} declares {found.nbytes:,} bytes, its file has "
                f"{self._size:,}",
            )
        return np.asarray(found[()])


def _library() -> Any:
    try:
        import h5py  # noqa: PLC0415 - an optional library
    except ImportError as error:
        raise missing_library("Keras' files", "h5py") from error
    return h5py
