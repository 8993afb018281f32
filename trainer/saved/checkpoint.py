"""Checkpoints on disk: written whole or not at all, verified before they are used.

    step-<n>/state.json           position, counters, what is not a tensor
    step-<n>/tensors.safetensors  weights, optimizer, generators, best weights
    step-<n>/manifest.json        size and SHA-256 of the two, written last

Here belongs how a snapshot reaches the disk and comes back; what is in a snapshot is
the loop's business. Nothing is pickled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import secrets
import shutil
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from trainer.errors import CheckpointBroken, CheckpointsFailed
from trainer.saved.model_folder import sync

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

STATE = "state.json"
TENSORS = "tensors.safetensors"
MANIFEST = "manifest.json"
FORMAT = 2
TOLERATED = 2
"""Saves in a row that may fail; one more fails the job."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that is needed to go on, copied out of the running training."""

    step: int
    epoch: int
    state: Mapping[str, Any]
    """What is no tensor; survives JSON."""
    tensors: Mapping[str, Tensor]
    """On the CPU, shared with nothing that still changes."""
    fingerprint: Mapping[str, Any]
    """The environment that the exact bits depend on."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint that is safe on disk."""

    folder: Path
    step: int
    epoch: int
    manifest_sha256: str
    bytes: int


@dataclass(frozen=True)
class NotSaved:
    """A checkpoint that could not be written; the one before it still counts."""

    step: int
    why: str


def write(parent: Path, snapshot: Snapshot) -> Saved:
    """Write ``step-<n>`` under `parent`; it appears complete and synced.

    Raises: OSError, for instance when the disk is full; nothing is left behind then.
    """
    folder = parent / f"step-{snapshot.step}"
    if (folder / MANIFEST).exists():
        return _saved(folder, snapshot.step, snapshot.epoch)
    parent.mkdir(parents=True, exist_ok=True)
    unfinished = parent / f".tmp-{snapshot.step}-{secrets.token_hex(4)}"
    unfinished.mkdir()
    try:
        text = json.dumps({**snapshot.state}, allow_nan=False)
        (unfinished / STATE).write_text(text, encoding="utf-8")
        _write_tensors(unfinished / TENSORS, snapshot.tensors)
        files = {name: _described(unfinished / name) for name in (STATE, TENSORS)}
        manifest = {
            "format": FORMAT,
            "step": snapshot.step,
            "epoch": snapshot.epoch,
            "fingerprint": {**snapshot.fingerprint},
            "files": files,
        }
        (unfinished / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        for name in (STATE, TENSORS, MANIFEST):
            sync(unfinished / name)
        sync(unfinished)
        unfinished.rename(folder)
        sync(parent)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return _saved(folder, snapshot.step, snapshot.epoch)


def read(folder: Path) -> Snapshot:
    """Read a checkpoint after checking every byte of it.

    Raises: CheckpointBroken.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            raise CheckpointBroken(folder, f"format {manifest['format']}, not {FORMAT}")
        for name in (STATE, TENSORS):
            if _described(folder / name) != manifest["files"][name]:
                raise CheckpointBroken(folder, f"{name} is not what was written")
        state = json.loads((folder / STATE).read_bytes())
        return Snapshot(
            manifest["step"],
            manifest["epoch"],
            state,
            load_file(folder / TENSORS),
            manifest["fingerprint"],
        )
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CheckpointBroken(folder, f"{type(error).__name__}: {error}") from error


class Saver:
    """Writes snapshots in a thread, one at a time, while training goes on."""

    def __init__(self, parent: Path) -> None:
        self.parent = parent
        self._thread: Thread | None = None
        self._outcome: Saved | NotSaved | None = None
        self._failures = 0

    @property
    def busy(self) -> bool:
        """Return whether a save is in flight or its outcome not yet collected."""
        return self._thread is not None

    def start(self, snapshot: Snapshot) -> None:
        """Begin to write; the caller has seen that no other save is in flight."""
        assert self._thread is None
        self._thread = Thread(
            target=self._save, args=(snapshot,), name=f"save-{snapshot.step}"
        )
        self._thread.start()

    def collect(self, *, wait: bool = False) -> Saved | NotSaved | None:
        """Return the outcome of the save in flight, if it has ended.

        Raises: CheckpointsFailed after too many failures in a row.
        """
        if self._thread is None or (self._thread.is_alive() and not wait):
            return None
        self._thread.join()
        self._thread = None
        outcome, self._outcome = self._outcome, None
        if isinstance(outcome, NotSaved):
            self._failures += 1
            if self._failures > TOLERATED:
                raise CheckpointsFailed(
                    step=outcome.step, failures=self._failures, why=outcome.why
                )
        else:
            self._failures = 0
        return outcome

    def _save(self, snapshot: Snapshot) -> None:
        try:
            self._outcome = write(self.parent, snapshot)
        except OSError as error:
            self._outcome = NotSaved(snapshot.step, str(error))


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    try:
        save_file(dict(tensors), path)
    except SafetensorError as error:  # it wraps the reason: disk full, no permission
        raise OSError(errno.EIO, str(error), str(path.name)) from error
    path.chmod(0o644)


def _described(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return {"bytes": file.tell(), "sha256": digest.hexdigest()}


def _saved(folder: Path, step: int, epoch: int) -> Saved:
    files = [_described(folder / name) for name in (STATE, TENSORS, MANIFEST)]
    size = sum(file["bytes"] for file in files)
    return Saved(folder, step, epoch, files[-1]["sha256"], size)
