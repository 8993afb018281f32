"""Why a trainer died, and whether files are what it said: from evidence only."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.jobs import Cause
from catalog.tables import Reason
from worker import endings, frames
from worker.death import explain, out_of_memory_kills
from worker.verify import FileFact, NotAsTold, checkpoint_is, files_are

VERSION_2 = "0::/service/worker\n"
VERSION_1 = "9:name=systemd:/\n4:memory:/worker\n0::/\n"


@pytest.mark.parametrize(
    ("own", "counter"),
    [
        (VERSION_2, "service/worker/memory.events"),
        (VERSION_2, "memory.events"),
        (VERSION_1, "memory/worker/memory.oom_control"),
    ],
)
def test_the_kernels_count_is_read_from_the_nearest_control_group(
    tmp_path: Path, own: str, counter: str
) -> None:
    (tmp_path / counter).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / counter).write_text("low 0\noom 3\noom_kill 2\n")
    (tmp_path / "self").write_text(own)
    (tmp_path / "vmstat").write_text("oom_kill 9\n")

    found = out_of_memory_kills(tmp_path, tmp_path / "vmstat", tmp_path / "self")

    assert found == 2


def test_without_control_groups_the_machines_count_is_read(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("nr_free_pages 5\noom_kill 9\n")

    found = out_of_memory_kills(tmp_path, tmp_path / "vmstat", tmp_path / "none")

    assert found == 9


def test_without_any_count_nothing_is_claimed(tmp_path: Path) -> None:
    assert out_of_memory_kills(tmp_path, tmp_path / "none", tmp_path / "none") == 0


@pytest.mark.parametrize(
    ("exit_code", "killed_for_memory", "reason"),
    [
        (-signal.SIGKILL, True, "out_of_memory"),
        (-signal.SIGKILL, False, "infrastructure"),
        (-signal.SIGSEGV, True, "infrastructure"),
        (0, False, "infrastructure"),
        (1, True, "infrastructure"),
    ],
)
def test_out_of_memory_needs_a_sigkill_and_the_kernels_word(
    exit_code: int, killed_for_memory: bool, reason: str
) -> None:
    death = explain(exit_code, killed_for_memory=killed_for_memory)

    assert death.reason == reason


def failed(reason: str) -> frames.Failed:
    return frames.Failed(event="failed", reason=reason, error="why")


@pytest.mark.parametrize(
    ("told", "reason", "cause"),
    [
        (
            endings.Told(0, 5, cancelling=True, failed=failed("diverged")),
            None,
            "cancel",
        ),
        (endings.Told(1, 5, failed=failed("diverged")), "diverged", None),
        (endings.Told(1, 5, failed=failed("infrastructure")), None, "infrastructure"),
        (endings.Told(1, 5, failed=failed("crash_loop")), None, "infrastructure"),
        (endings.Told(0, 5, stopped=True), None, "drain"),
        (endings.Told(-9, 5, stopping=True, killed_by_us=True), None, "drain"),
        (endings.Told(-9, 5, stopping=True), None, "infrastructure"),
        (endings.Told(-6, 5, stalled_seconds=600), None, "infrastructure"),
        (endings.Told(-9, 5, killed_for_memory=True), "out_of_memory", None),
        (
            endings.Told(-9, 5, killed_for_memory=True, killed_by_us=True),
            None,
            "infrastructure",
        ),
    ],
)
def test_each_end_is_told_as_what_it_was(
    told: endings.Told, reason: str | None, cause: str | None
) -> None:
    found = endings.word(told)

    assert found.reason == (Reason(reason) if reason else None)
    assert reason is not None or found.cause == Cause(cause or "")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return the folder of a good checkpoint."""
    folder = tmp_path / "checkpoints" / "step-3"
    folder.mkdir(parents=True)
    (folder / "state.json").write_bytes(b"state")
    fact = {"bytes": 5, "sha256": hashlib.sha256(b"state").hexdigest()}
    manifest = json.dumps({"files": {"state.json": fact}})
    (folder / "manifest.json").write_text(manifest)
    return folder


def manifest_hash(folder: Path) -> str:
    return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()


def test_a_good_checkpoint_is_taken(checkpoint: Path) -> None:
    checkpoint_is(checkpoint, checkpoint.parent, manifest_hash(checkpoint))


def flipped(folder: Path) -> None:
    (folder / "state.json").write_bytes(b"stbte")


def cut(folder: Path) -> None:
    (folder / "state.json").write_bytes(b"stat")


def gone(folder: Path) -> None:
    (folder / "state.json").unlink()


def without_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def other_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"files": {}}')


def linked(folder: Path) -> None:
    (folder / "elsewhere").write_bytes(b"state")
    (folder / "state.json").unlink()
    (folder / "state.json").symlink_to("elsewhere")


@pytest.mark.parametrize(
    "spoil", [flipped, cut, gone, without_manifest, other_manifest, linked]
)
def test_a_spoilt_checkpoint_is_refused(
    checkpoint: Path, spoil: Callable[[Path], None]
) -> None:
    told = manifest_hash(checkpoint)

    spoil(checkpoint)

    with pytest.raises(NotAsTold):
        checkpoint_is(checkpoint, checkpoint.parent, told)


@pytest.mark.parametrize("name", ["../state.json", "a/b", "..", ".", ""])
def test_a_file_outside_its_folder_is_refused(checkpoint: Path, name: str) -> None:
    with pytest.raises(NotAsTold):
        files_are(checkpoint, checkpoint, {name: FileFact(5, "0")})


def test_a_folder_in_another_place_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()

    with pytest.raises(NotAsTold, match="another place"):
        checkpoint_is(checkpoint, other, manifest_hash(checkpoint))


def test_a_result_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAsTold, match="none named"):
        files_are(tmp_path, tmp_path, {})


def test_the_counter_of_this_machine_can_be_read() -> None:
    assert out_of_memory_kills() >= 0
    assert os.getpid() > 0
