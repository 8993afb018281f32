"""Checkpoints: whole or not at all, and never believed unread."""

import json
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from trainer.errors import CheckpointBroken, CheckpointsFailed
from trainer.saved import checkpoint
from trainer.saved.checkpoint import NotSaved, Saved, Saver, Snapshot


def snapshot(step: int = 7, numbers: int = 1000) -> Snapshot:
    return Snapshot(
        step=step,
        epoch=2,
        state={"best": 0.1 + 0.2, "order": None},
        tensors={"weight": torch.arange(numbers) / 3, "random": torch.get_rng_state()},
        fingerprint={"threads": 1},
    )


@contextmanager
def full_disk(limit: int = 100) -> Iterator[None]:
    """Let no file grow beyond `limit` bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_read_is_what_was_written_to_the_last_bit(tmp_path: Path) -> None:
    written = snapshot()

    saved = checkpoint.write(tmp_path, written)
    read = checkpoint.read(saved.folder)

    assert (read.step, read.epoch, read.state) == (7, 2, written.state)
    assert read.fingerprint == {"threads": 1}
    assert all(torch.equal(read.tensors[n], t) for n, t in written.tensors.items())
    assert saved.folder == tmp_path / "step-7"
    assert saved.bytes == sum(f.stat().st_size for f in saved.folder.iterdir())


def test_the_same_step_is_not_written_twice(tmp_path: Path) -> None:
    first = checkpoint.write(tmp_path, snapshot())

    assert checkpoint.write(tmp_path, snapshot()) == first


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(OSError, match="large"):
        checkpoint.write(tmp_path, snapshot())

    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_leaves_the_one_before_it(tmp_path: Path) -> None:
    before = checkpoint.write(tmp_path, snapshot(1))

    with full_disk(), pytest.raises(OSError, match="large"):
        checkpoint.write(tmp_path, snapshot(2))

    assert checkpoint.read(before.folder).step == 1


def flip(folder: Path) -> None:
    path = folder / "tensors.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


def truncate(folder: Path) -> None:
    path = folder / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-5])


def forget_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def change_a_number(folder: Path) -> None:
    (folder / "state.json").write_text('{"best": 1}')


def empty_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("[]")


def lose_everything(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        truncate,
        forget_the_manifest,
        change_a_number,
        empty_the_manifest,
        lose_everything,
    ],
)
def test_a_damaged_checkpoint_is_refused(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    saved = checkpoint.write(tmp_path, snapshot())

    damage(saved.folder)

    with pytest.raises(CheckpointBroken, match="step-7"):
        checkpoint.read(saved.folder)


def test_a_save_runs_beside_the_training(tmp_path: Path) -> None:
    saver = Saver(tmp_path)

    saver.start(snapshot(3))
    outcome = saver.collect(wait=True)

    assert isinstance(outcome, Saved)
    assert outcome.step == 3
    assert not saver.busy
    manifest = json.loads((outcome.folder / "manifest.json").read_text())
    assert manifest["step"] == 3


def test_two_failed_saves_are_told_and_the_third_ends_the_job(tmp_path: Path) -> None:
    saver = Saver(tmp_path)
    with full_disk():
        saver.start(snapshot(1))
        first = saver.collect(wait=True)
        saver.start(snapshot(2))
        second = saver.collect(wait=True)
        saver.start(snapshot(3))
        with pytest.raises(CheckpointsFailed, match="3 checkpoints in a row") as caught:
            saver.collect(wait=True)

    assert isinstance(first, NotSaved)
    assert isinstance(second, NotSaved)
    assert second.step == 2
    assert caught.value.reason == "infrastructure"


def test_a_save_that_succeeds_forgets_the_failures(tmp_path: Path) -> None:
    saver = Saver(tmp_path)
    with full_disk():
        saver.start(snapshot(1))
        saver.collect(wait=True)
    saver.start(snapshot(2))
    saver.collect(wait=True)
    with full_disk():
        saver.start(snapshot(3))
        saver.collect(wait=True)
        saver.start(snapshot(4))
        outcome = saver.collect(wait=True)

    assert isinstance(outcome, NotSaved)
