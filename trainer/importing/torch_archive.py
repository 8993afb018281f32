"""PyTorch's files: state_dict, TorchScript, torch.export. No code in them is run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.importing.archive import Archive
from trainer.importing.errors import damaged, unfit
from trainer.importing.found import Weights
from trainer.importing.naming import listed
from trainer.importing.torch_objects import Attributes, Reader, strided

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.importing.found import Array
    from trainer.spec.imports import ImportLimits

LARGEST_LIST = 64 * 2**20
"""Bytes of the description of an archive's objects."""
WANTED = ("state_dict", "model_state_dict", "model", "net", "weights", "params")
"""Where training scripts put the weights in what they save."""
DEEPEST = 100
EXPORTED_TYPES = {
    1: "|u1",
    2: "|i1",
    3: "<i2",
    4: "<i4",
    5: "<i8",
    6: "<f2",
    7: "<f4",
    8: "<f8",
    12: "|b1",
    13: "bfloat16",
}
"""ScalarType of torch/_export/serde/schema.py → numpy."""


def read_state_dict(path: Path, limits: ImportLimits) -> Weights:
    """Return the weights of a file that `torch.save` wrote."""
    archive = Archive(path, limits)
    listing = _only(archive, "/data.pkl")
    found = _objects(archive, listing, is_script=False)
    tensors = _weights(found)
    return Weights("torch_state_dict", tensors, ("torch",), is_ordered=True)


def read_script(path: Path, limits: ImportLimits) -> Weights:
    """Return the parameters and buffers of a TorchScript archive, its code unread."""
    archive = Archive(path, limits)
    listing = _only(archive, "/data.pkl")
    found = _objects(archive, listing, is_script=True)
    tensors: dict[str, Array] = {}
    _gather(found, "", tensors, 0)
    if not tensors:
        raise unfit("no_tensors", "the TorchScript archive holds no tensors")
    note = "the archive's code was not run: its layers are those of `network`"
    return Weights("torchscript", tensors, ("torch",), is_ordered=True, notes=(note,))


def read_program(path: Path, limits: ImportLimits) -> Weights:
    """Return the weights of a `torch.export` archive; its graph is not used."""
    archive = Archive(path, limits)
    listings = [
        name
        for name in archive.members
        if name.endswith(("_weights_config.json", "_constants_config.json"))
    ]
    tensors: dict[str, Array] = {}
    for listing in listings:
        folder = listing.rpartition("/")[0]
        for name, entry in _config(archive, listing).items():
            tensors[name] = _exported(archive, folder, name, entry)
    if not tensors:
        raise unfit("no_tensors", "the torch.export archive holds no weights")
    note = "the archive's graph was not used: its layers are those of `network`"
    return Weights("torch_export", tensors, ("torch",), is_ordered=True, notes=(note,))


def _config(archive: Archive, listing: str) -> dict[str, Any]:
    try:
        config = json.loads(archive.read(listing, LARGEST_LIST))["config"]
        return dict(config.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(listing, str(error)) from error


def _exported(archive: Archive, folder: str, name: str, entry: Any) -> Array:
    """Return one tensor of a torch.export archive."""
    try:
        if entry["use_pickle"]:
            raise unfit("unsafe_pickle", f"{name!r} of the archive is pickled")
        meta = entry["tensor_meta"]
        dtype = EXPORTED_TYPES[int(meta["dtype"])]
        shape = tuple(int(size["as_int"]) for size in meta["sizes"])
        strides = tuple(int(size["as_int"]) for size in meta["strides"])
        offset = int(meta["storage_offset"]["as_int"])
        place = f"{folder}/{entry['path_name']}"
    except (KeyError, TypeError, ValueError) as error:
        raise damaged("the archive", f"its entry {name!r}: {error}") from error
    return strided(archive.read(place), dtype, offset, shape, strides)


def _only(archive: Archive, ending: str) -> str:
    """Return the one member of that name, at the top of the archive's only folder."""
    found = [n for n in archive.members if n.endswith(ending) and n.count("/") == 1]
    if len(found) != 1:
        raise damaged("the archive", f"it has {len(found)} members *{ending}")
    return found[0]


def _objects(archive: Archive, listing: str, *, is_script: bool) -> Any:
    folder = listing.rpartition("/")[0]
    order = f"{folder}/byteorder"
    if order in archive.members and archive.read(order, 16).strip() != b"little":
        raise unfit("big_endian", "the archive was written by a big-endian machine")

    def load(key: str) -> bytes:
        return archive.read(f"{folder}/data/{key}")

    return Reader(load, is_script=is_script).read(archive.read(listing, LARGEST_LIST))


def _weights(found: Any) -> dict[str, Array]:
    """Return the table of tensors in what was saved, wherever a script put it."""
    if isinstance(found, np.ndarray):
        raise unfit("no_names", "the file holds one tensor without a name")
    if not isinstance(found, dict):
        raise unfit("no_tensors", "the file holds no table of tensors")
    tensors = {str(k): v for k, v in found.items() if isinstance(v, np.ndarray)}
    if tensors:
        return tensors
    inner = {
        str(name): table
        for name, value in found.items()
        if isinstance(value, dict)
        and (
            table := {str(k): v for k, v in value.items() if isinstance(v, np.ndarray)}
        )
    }
    for name in WANTED:
        if name in inner:
            return inner[name]
    if len(inner) == 1:
        return next(iter(inner.values()))
    raise unfit(
        "no_tensors" if not inner else "several_models",
        "the file holds no table of tensors"
        if not inner
        else f"the file holds several tables of tensors: {listed(inner)}",
        "save the weights alone: torch.save(model.state_dict(), path)",
    )


def _gather(value: Any, place: str, into: dict[str, Array], depth: int) -> None:
    """Collect the tensors of a scripted module under their dotted names."""
    if depth > DEEPEST:
        raise unfit("too_deep", f"the modules at {place!r} are nested too deeply")
    if isinstance(value, np.ndarray):
        into[place] = value
    elif isinstance(value, Attributes):
        _gather(value.state, place, into, depth)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _gather(inner, f"{place}.{name}" if place else str(name), into, depth + 1)
