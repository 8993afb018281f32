"""A model on disk: its weights, its preprocessing and its description.

    model.json                 what it is: layers, classes, metrics, lineage (format 1)
    weights.safetensors        every parameter and buffer, named `<layer>.<tensor>`
    weights.sparse.safetensors the same without their zeros, where that is smaller
    preprocessing.safetensors  the arrays fitted on the training rows
    model.onnx                 added afterwards by `trainer.export`
    model.sampled.onnx         the same with dropout, by `trainer.export.sampled`

Nothing in the folder is code and nothing is unpickled. A folder appears under its name
complete and synced to the disk, or not at all, and is never overwritten.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors

from trainer.errors import FolderTaken, ModelBroken
from trainer.saved.sparse_weights import SPARSE
from trainer.saved.sparse_weights import save as save_sparse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy as np
    from torch import Tensor

FORMAT = 1
DESCRIPTION = "model.json"
WEIGHTS = "weights.safetensors"
PREPROCESSING = "preprocessing.safetensors"
GRAPH = "model.onnx"
SAMPLED_GRAPH = "model.sampled.onnx"
"""The graph in which dropout goes on; only models that have dropout have it."""

DESCRIPTION_LIMIT = 64 * 2**20
"""Bytes of description that are read at most; a thousand layers take less than one
hundredth of it."""
MANY_ZEROS = 0.1
"""Share of zeros below which leaving them out gains nothing."""
FILE_LIMIT = 64 * 2**30
"""Bytes of tensors that are read at most."""


@dataclass(frozen=True)
class File:
    """What one file of a model holds."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class ModelFolder:
    """A model folder whose description has been read and checked."""

    folder: Path
    description: dict[str, Any]

    def tensors(self, names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Load the named tensors, or all of them, from the weights' file."""
        return _load(self.folder, WEIGHTS, names)

    def hashes(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """Return the SHA-256 of the named tensors as the file holds them now."""
        return {
            name: tensor_sha256(tensor) for name, tensor in self.tensors(names).items()
        }

    def preprocessing(self) -> dict[str, np.ndarray]:
        """Load the arrays that its preprocessing was fitted to."""
        arrays = _load(self.folder, PREPROCESSING, None)
        return {name: tensor.numpy() for name, tensor in arrays.items()}

    def verify(self) -> dict[str, File]:
        """Check every file and tensor against the description; return the files.

        Raises:
            ModelBroken: a file or a tensor is not the one that was described.
        """
        stated = {
            tensor["name"]: tensor["sha256"]
            for layer in self.description["layers"]
            for tensor in layer["tensors"]
        }
        found = self.hashes()
        if wrong := sorted(
            name
            for name in stated.keys() | found.keys()
            if stated.get(name) != found.get(name)
        ):
            raise ModelBroken(self.folder, f"tensor {wrong[0]!r} is not as described")
        files = {
            name: described(self.folder, name)
            for name in (WEIGHTS, PREPROCESSING, SPARSE)
            if name != SPARSE or name in self.description["files"]
        }
        for name, file in files.items():
            if self.description["files"].get(name) != vars(file):
                raise ModelBroken(self.folder, f"{name} is not as described")
        return {DESCRIPTION: described(self.folder, DESCRIPTION), **files}


def tensor_sha256(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's type, shape and bytes."""
    values = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(
        f"{_dtype(values)} {list(values.shape)}\n".encode(), usedforsecurity=False
    )
    digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write(
    folder: Path,
    description: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    preprocessing: Mapping[str, np.ndarray],
) -> dict[str, File]:
    """Write a model folder, read it back, and return what its files hold.

    `description` is the model.json without what only the files know: each layer's
    `tensors` and the `files` are filled in here. Every tensor must belong to a layer.

    Raises:
        FolderTaken: the folder exists.
        ModelBroken: what was read back is not what was written.
    """
    if folder.exists():
        raise FolderTaken(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    unfinished.mkdir()
    try:
        save_tensors(
            {
                name: tensor.detach().cpu().contiguous()
                for name, tensor in tensors.items()
            },
            unfinished / WEIGHTS,
        )
        save_arrays(dict(preprocessing), unfinished / PREPROCESSING)
        names = [WEIGHTS, PREPROCESSING]
        if _save_sparse(unfinished, tensors):
            names.append(SPARSE)
        for name in names:
            (unfinished / name).chmod(0o644)
            sync(unfinished / name)
        complete = _completed(unfinished, description, tensors, names)
        text = json.dumps(complete, allow_nan=False, ensure_ascii=False, indent=1)
        (unfinished / DESCRIPTION).write_text(f"{text}\n", encoding="utf-8")
        sync(unfinished / DESCRIPTION)
        files = read(unfinished).verify()
        try:
            unfinished.rename(folder)
        except OSError:
            raise FolderTaken(folder) from None
        sync(folder.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return files


def read(folder: Path) -> ModelFolder:
    """Read the description of a model; its tensors are loaded when they are asked for.

    Raises:
        ModelBroken: the folder is not a model of a format that is known here.
    """
    text = _bytes(folder, DESCRIPTION, DESCRIPTION_LIMIT)

    def refuse(constant: str) -> NoReturn:
        raise ModelBroken(folder, f"{DESCRIPTION} holds {constant}")

    try:
        description = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as problem:
        raise ModelBroken(folder, f"{DESCRIPTION} is not JSON: {problem}") from problem
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ModelBroken(folder, f"{DESCRIPTION} is not of format {FORMAT}")
    if missing := {"layers", "files", "network", "preprocessing"} - description.keys():
        raise ModelBroken(folder, f"{DESCRIPTION} lacks {', '.join(sorted(missing))}")
    if not _well_formed(description):
        raise ModelBroken(folder, f"the layers or files in {DESCRIPTION} are malformed")
    return ModelFolder(folder, description)


def described(folder: Path, name: str) -> File:
    """Return the size and the SHA-256 of one of the folder's files."""
    path = _regular(folder, name, FILE_LIMIT)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return File(digest.hexdigest(), file.tell())


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _save_sparse(folder: Path, tensors: Mapping[str, Tensor]) -> bool:
    """Write the weights without their zeros; keep the file if it is smaller."""
    weights = [t for t in tensors.values() if t.ndim > 1]
    zeros = sum(t.numel() - int(torch.count_nonzero(t)) for t in weights)
    if zeros < MANY_ZEROS * max(1, sum(t.numel() for t in weights)):
        return False
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    save_sparse(folder / SPARSE, arrays)
    smaller = (folder / SPARSE).stat().st_size < (folder / WEIGHTS).stat().st_size
    if not smaller:
        (folder / SPARSE).unlink()
    return smaller


def _completed(
    folder: Path,
    description: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    names: Iterable[str],
) -> dict[str, Any]:
    """Add to a description what the files in `folder` hold."""
    layers = [
        {
            **layer,
            "tensors": [
                {
                    "name": name,
                    "shape": list(tensor.shape),
                    "dtype": _dtype(tensor),
                    "sha256": tensor_sha256(tensor),
                }
                for name, tensor in tensors.items()
                if name.partition(".")[0] == layer["name"]
            ],
        }
        for layer in description["layers"]
    ]
    if sum(len(layer["tensors"]) for layer in layers) != len(tensors):
        names = {layer["name"] for layer in layers}
        homeless = next(n for n in tensors if n.partition(".")[0] not in names)
        raise ModelBroken(folder, f"tensor {homeless!r} belongs to no layer")
    return {
        **description,
        "format": FORMAT,
        "layers": layers,
        "files": {name: vars(described(folder, name)) for name in names},
    }


def _well_formed(description: Mapping[str, Any]) -> bool:
    layers, files = description["layers"], description["files"]
    return (
        isinstance(files, dict)
        and isinstance(layers, list)
        and all(
            isinstance(layer, dict)
            and isinstance(layer.get("name"), str)
            and isinstance(layer.get("tensors"), list)
            and all(
                isinstance(tensor, dict) and {"name", "sha256"} <= tensor.keys()
                for tensor in layer["tensors"]
            )
            for layer in layers
        )
    )


def _load(folder: Path, name: str, wanted: Iterable[str] | None) -> dict[str, Tensor]:
    """Load tensors of one file, whose header safetensors has checked."""
    path = _regular(folder, name, FILE_LIMIT)
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys() if wanted is None else list(wanted)
            return {tensor: file.get_tensor(tensor) for tensor in names}
    except SafetensorError as problem:
        raise ModelBroken(folder, f"{name}: {problem}") from problem


def _bytes(folder: Path, name: str, limit: int) -> bytes:
    return _regular(folder, name, limit).read_bytes()


def _regular(folder: Path, name: str, limit: int) -> Path:
    """Return the path of an ordinary file inside the folder, of bounded size."""
    path = folder / name
    try:
        status = path.lstat()
    except OSError as problem:
        raise ModelBroken(
            folder, f"{name} cannot be read: {problem.strerror}"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise ModelBroken(folder, f"{name} is not an ordinary file")
    if status.st_size > limit:
        raise ModelBroken(
            folder, f"{name} has {status.st_size} bytes, more than {limit}"
        )
    return path


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
