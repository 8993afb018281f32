"""Which format some files are, told from their content; then the reader of it."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.importing import (
    caffe,
    keras_file,
    onnx_file,
    plain_tensors,
    tensorflow_bundle,
    torch_archive,
)
from trainer.importing.archive import Archive
from trainer.importing.errors import unfit
from trainer.importing.naming import listed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trainer.importing.found import FoundNetwork, Weights
    from trainer.spec.imports import ImportForm, ImportLimits

HDF5 = b"\x89HDF\r\n\x1a\n"
PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
KNOWN = (
    "safetensors, PyTorch (.pt, TorchScript, torch.export), ONNX, Keras (.h5, .keras), "
    "TensorFlow (checkpoint, SavedModel), Caffe (.caffemodel and .prototxt), .npz"
)


@dataclass(frozen=True)
class Sent:
    """The files of one import: name → where each lies."""

    files: Mapping[str, Path]

    def ending(self, *endings: str) -> list[str]:
        """Return the names with one of the endings."""
        return [name for name in self.files if name.lower().endswith(endings)]


def unpacked(files: Mapping[str, Path], into: Path, limits: ImportLimits) -> Sent:
    """Return the files, those of an archive of several files taken out of it."""
    if len(files) == 1:
        path = next(iter(files.values()))
        if zipfile.is_zipfile(path) and _format_of_zip(_names(path)) is None:
            inner = Archive(path, limits).unpack(into)
            return Sent({name.rpartition("/")[2]: p for name, p in inner.items()})
    return Sent(files)


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return ["archive/data.pkl"]  # its reader says what is wrong with it


def _format_of_zip(names: list[str]) -> str | None:
    """Return what a zip is by what is in it; None for a zip of files."""
    if any(n.endswith("/data.pkl") and n.count("/") == 1 for n in names):
        scripted = any("/code/" in n for n in names)
        return "torchscript" if scripted else "torch_state_dict"
    if any(n.endswith("_weights_config.json") for n in names):
        return "torch_export"
    if "config.json" in names and "model.weights.h5" in names:
        return "keras"
    arrays = [n for n in names if not n.endswith("/")]
    if arrays and all(n.endswith(".npy") for n in arrays):
        return "npz"
    return None


def format_of(sent: Sent) -> str:
    """Return the format of the files.

    Raises:
        NotImportable: it is none that is read here; pickles are refused by name.
    """
    if sent.ending(".index"):
        is_saved = "saved_model.pb" in sent.files
        return "tensorflow_saved_model" if is_saved else "tensorflow_checkpoint"
    if sent.ending(".caffemodel", ".prototxt"):
        return "caffe"
    if sent.ending(".onnx") and len(sent.files) > 1:
        return "onnx"
    if len(sent.files) == 1:
        name, path = next(iter(sent.files.items()))
        found = _format_of_file(name, path)
        if found is not None:
            return found
    raise unfit(
        "unknown_format",
        f"{listed(sent.files)}: none of the formats that are read",
        KNOWN,
    )


def _format_of_file(name: str, path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"PK\x03\x04"):
        return _format_of_zip(_names(path))
    if start.startswith(HDF5):
        return "keras_h5"
    if start.startswith(PICKLES):
        raise unfit(
            "unsafe_pickle",
            f"{name!r} is a bare pickle, which is a program; it is never run",
            "with torch 1.6 or newer: torch.save(model.state_dict(), path)",
        )
    header = int.from_bytes(start[:8], "little")
    if len(start) > 8 and start[8:9] == b"{" and header <= path.stat().st_size:
        return "safetensors"
    if name.lower().endswith(".safetensors"):
        return "safetensors"
    return "onnx" if name.lower().endswith((".onnx", ".pb")) else None


def read(
    sent: Sent, kind: str, form: ImportForm, folder: Path, limits: ImportLimits
) -> Weights | FoundNetwork:
    """Have the files read by the reader of their format."""
    keeps = form.task in {"regression", "reconstruction"}
    if kind == "onnx":
        (name, path), beside = _one(sent, ".onnx", ".pb"), dict(sent.files)
        beside.pop(name)
        most = limits.memory_bytes // 2
        return onnx_file.read(path, beside, form.output, most, keeps_ending=keeps)
    if kind == "caffe":
        weights, text = _one(sent, ".caffemodel")[1], _one(sent, ".prototxt")[1]
        return caffe.read(weights, text, form.output, keeps_ending=keeps)
    if kind.startswith("tensorflow"):
        return tensorflow_bundle.read(sent.files, kind)
    if len(sent.files) != 1:
        raise unfit("too_many_files", f"{kind} is one file, {len(sent.files)} came")
    path = next(iter(sent.files.values()))
    if kind in {"keras", "keras_h5"}:
        return keras_file.read(path, folder, limits, form.output, keeps_ending=keeps)
    readers = {
        "safetensors": plain_tensors.read_safetensors,
        "npz": plain_tensors.read_npz,
        "torch_state_dict": torch_archive.read_state_dict,
        "torchscript": torch_archive.read_script,
        "torch_export": torch_archive.read_program,
    }
    return readers[kind](path, limits)


def _one(sent: Sent, *endings: str) -> tuple[str, Path]:
    found = sent.ending(*endings)
    if len(found) != 1:
        raise unfit(
            "incomplete_upload",
            f"one file {' or '.join(endings)} is needed, {len(found)} came: "
            f"{listed(sent.files)}",
        )
    return found[0], sent.files[found[0]]
