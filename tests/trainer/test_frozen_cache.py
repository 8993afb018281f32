"""The folder of frozen outputs: found again, checked, bounded, shared, disposable."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from trainer.frozen import cache as frozen_cache
from trainer.frozen import entries
from trainer.frozen.cache import FrozenCache, Key

GIBIBYTE = 2**30
KEY = Key(
    dataset="d",
    rows="r",
    preprocessing="p",
    layers="l",
    boundary=("hidden2",),
    dtype="float32",
    chunk=2,
    route="cpu",
)


def outputs(seed: int = 0, rows: int = 5) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "hidden2": torch.randn(rows, 3, 2, generator=generator),
        "skip": torch.randn(rows, 4, generator=generator).to(torch.bfloat16),
    }


Chunks = Iterator[tuple[dict[str, Tensor], float]]


def chunks(values: dict[str, Tensor]) -> Chunks:
    for start in range(0, len(values["skip"]), 2):
        yield {name: value[start : start + 2] for name, value in values.items()}, 0.5


def never() -> Chunks:
    raise AssertionError("the entry was computed although it was there")


def fill(cache: FrozenCache, name: str, rows: int = 5) -> None:
    cache.find_or_fill(name, rows, lambda: chunks(outputs(rows=rows)))


def kept(cache: FrozenCache) -> set[str]:
    return {path.name for path in cache.root.iterdir() if path.name != ".locks"}


@pytest.fixture
def cache(tmp_path: Path) -> FrozenCache:
    return FrozenCache(tmp_path / "frozen_cache", GIBIBYTE)


def test_what_is_found_is_bit_for_bit_what_was_kept(cache: FrozenCache) -> None:
    filled, was_there = cache.find_or_fill("k", 5, lambda: chunks(outputs()))
    found, was_there_then = cache.find_or_fill("k", 5, never)

    assert (was_there, was_there_then) == (False, True)
    assert all(torch.equal(filled.values[n], v) for n, v in outputs().items())
    assert all(torch.equal(found.values[n], v) for n, v in outputs().items())
    assert found.values["skip"].dtype == torch.bfloat16
    assert found.bytes == 5 * 6 * 4 + 5 * 4 * 2
    assert found.forward_seconds == filled.forward_seconds == 1.5


@pytest.mark.parametrize("name", ["0.npy", "1.npy", "meta.json"])
@pytest.mark.parametrize("damage", ["altered", "shortened", "emptied", "gone"])
def test_a_corrupt_entry_is_found_and_computed_anew(
    cache: FrozenCache, name: str, damage: str
) -> None:
    fill(cache, "k")
    path = cache.root / "k" / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    damaged: dict[str, bytes | bytearray] = {
        "altered": content,
        "shortened": content[:-5],
        "emptied": b"",
    }
    path.unlink() if damage == "gone" else path.write_bytes(damaged[damage])

    assert cache.find("k") is None
    entry, was_there = cache.find_or_fill("k", 5, lambda: chunks(outputs()))

    assert not was_there
    assert all(torch.equal(entry.values[n], v) for n, v in outputs().items())
    assert kept(cache) == {"k"}


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"arrays": 3}',
        '{"forward_seconds": 1, "arrays": [{"dtype": "os", "shape": [], "name": "x"}]}',
        " " * (entries.META_LIMIT + 1),
    ],
)
def test_a_foreign_description_is_thrown_away(cache: FrozenCache, text: str) -> None:
    fill(cache, "k")
    (cache.root / "k" / "meta.json").write_text(text)

    assert cache.find("k") is None
    assert kept(cache) == set()


def test_the_entries_used_longest_ago_make_room(cache: FrozenCache) -> None:
    for name in ("first", "second", "third"):
        fill(cache, name)
        time.sleep(0.01)
    size = sum(file.stat().st_size for file in (cache.root / "first").iterdir())
    cache.find("first")
    bounded = FrozenCache(cache.root, limit_bytes=int(size * 2.5))

    bounded.make_room()

    assert kept(cache) == {"first", "third"}


def test_a_new_entry_makes_its_own_room(cache: FrozenCache) -> None:
    fill(cache, "old")
    bounded = FrozenCache(cache.root, limit_bytes=700)

    fill(bounded, "new")

    assert kept(cache) == {"new"}


def test_an_entry_that_is_mapped_is_not_evicted(cache: FrozenCache) -> None:
    entry, _ = cache.find_or_fill("k", 5, lambda: chunks(outputs()))
    fill(cache, "other")

    FrozenCache(cache.root, limit_bytes=0).make_room()

    assert kept(cache) == {"k"}
    del entry
    FrozenCache(cache.root, limit_bytes=0).make_room()
    assert kept(cache) == set()


def test_an_entry_that_is_copied_to_memory_may_be_evicted(cache: FrozenCache) -> None:
    entry, _ = cache.find_or_fill("k", 5, lambda: chunks(outputs()), copied=True)
    found, was_there = cache.find_or_fill("k", 5, never, copied=True)

    FrozenCache(cache.root, limit_bytes=0).make_room()

    assert was_there
    assert kept(cache) == set()
    assert torch.equal(entry.values["hidden2"], outputs()["hidden2"])
    assert all(torch.equal(found.values[n], v) for n, v in outputs().items())


def test_a_mapped_entry_that_somebody_deletes_keeps_its_values(
    cache: FrozenCache,
) -> None:
    entry, _ = cache.find_or_fill("k", 5, lambda: chunks(outputs()))

    shutil.rmtree(cache.root)

    assert torch.equal(entry.values["hidden2"], outputs()["hidden2"])


def test_a_bound_and_a_disk_say_what_may_be_written(cache: FrozenCache) -> None:
    free = shutil.disk_usage(cache.root.parent).free

    assert FrozenCache(cache.root, limit_bytes=700).free() == 700
    assert FrozenCache(cache.root, limit_bytes=10**18).free() == pytest.approx(
        free, rel=0.2
    )
    nowhere = cache.root.parent / ("x" * 300)
    assert FrozenCache(nowhere, limit_bytes=700).free() == 0


def test_what_dead_processes_left_is_swept(
    cache: FrozenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen_cache, "ABANDONED_SECONDS", 0.0)
    fill(cache, "k")
    (cache.root / ".gone.1234").mkdir()
    (cache.root / ".locks" / "gone").touch()
    (cache.root / ".busy.1234").mkdir()

    with (cache.root / ".locks" / "busy").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        cache.make_room()

    assert kept(cache) == {"k", ".busy.1234"}
    assert {lock.name for lock in (cache.root / ".locks").iterdir()} == {"k", "busy"}


def test_waiting_for_another_process_is_bounded(
    cache: FrozenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen_cache, "WAIT_SECONDS", 0.1)
    (cache.root / ".locks").mkdir(parents=True)

    with (cache.root / ".locks" / "k").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        entry, was_there = cache.find_or_fill("k", 5, lambda: chunks(outputs()))

    assert not was_there
    assert torch.equal(entry.values["hidden2"], outputs()["hidden2"])


def test_a_forward_pass_that_fails_leaves_nothing(cache: FrozenCache) -> None:
    def failing() -> Chunks:
        yield from chunks(outputs())
        raise MemoryError

    with pytest.raises(MemoryError):
        cache.find_or_fill("k", 5, failing)

    assert kept(cache) == set()
    assert cache.find_or_fill("k", 5, lambda: chunks(outputs()))[1] is False


COMPUTE = """
import sys, time, pathlib, hashlib, torch
from trainer.frozen.cache import FrozenCache
root, log = map(pathlib.Path, sys.argv[1:])
def compute():
    with log.open("a") as file:
        file.write("computed\\n")
    time.sleep(1)
    yield {"hidden2": torch.arange(6.0).reshape(3, 2)}, 1.0
entry, was_there = FrozenCache(root, 2**30).find_or_fill("k", 3, compute)
print(was_there, entry.values["hidden2"].sum().item())
"""


def computing(folder: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        COMPUTE,
        str(folder / "cache"),
        str(folder / "log"),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_of_two_processes_one_computes_and_the_other_waits(tmp_path: Path) -> None:
    twins = [computing(tmp_path) for _ in range(2)]
    answers = sorted(twin.communicate(timeout=60)[0] for twin in twins)

    assert answers == ["False 15.0\n", "True 15.0\n"]
    assert (tmp_path / "log").read_text() == "computed\n"


def test_a_process_killed_while_computing_blocks_nobody(tmp_path: Path) -> None:
    victim = computing(tmp_path)
    while not (tmp_path / "log").exists():
        time.sleep(0.01)
    victim.kill()
    victim.communicate()

    started = time.monotonic()
    fill(FrozenCache(tmp_path / "cache", GIBIBYTE), "k")

    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "e"},
        {"rows": "s"},
        {"preprocessing": "q"},
        {"layers": "m"},
        {"boundary": ("hidden1", "hidden2")},
        {"dtype": "bfloat16"},
        {"chunk": 4},
        {"route": "cuda"},
    ],
)
def test_whatever_outputs_depend_on_is_in_the_key(change: dict[str, object]) -> None:
    assert replace(KEY, **change).digest != KEY.digest  # type: ignore[arg-type]


def test_the_torch_version_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = KEY.digest
    monkeypatch.setattr(torch, "__version__", "0.0")

    assert before != KEY.digest


def test_the_description_says_what_is_held(cache: FrozenCache) -> None:
    fill(cache, "k")

    meta = json.loads((cache.root / "k" / "meta.json").read_text())

    assert [a["name"] for a in meta["arrays"]] == ["hidden2", "skip"]
    assert [a["shape"] for a in meta["arrays"]] == [[5, 3, 2], [5, 4]]
    assert sorted(os.listdir(cache.root / "k")) == ["0.npy", "1.npy", "meta.json"]  # noqa: PTH208
