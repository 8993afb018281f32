"""Where frozen outputs are kept and whether kept ones are read: by measurement."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.networks import network
from trainer.frozen import Frozen, entries, room
from trainer.frozen.cache import FrozenCache
from trainer.frozen.entries import Slower
from trainer.frozen.outputs import FrozenOutputs, Mode
from trainer.frozen.savings import summary

GIBIBYTE = 2**30
Chunks = Iterator[tuple[dict[str, Tensor], float]]
WIDE = [
    {"kind": "dense", "name": "wide", "units": 4000, "activation": "none"},
    {"kind": "dense", "name": "top", "units": 3},
]
"""Four numbers become four thousand: cheap to compute, long to read."""
DEEP = [
    {"kind": "dense", "name": "wide", "units": 1500},
    {"kind": "dense", "name": "deep", "units": 1500},
    {"kind": "dense", "name": "narrow", "units": 20},
    {"kind": "dense", "name": "top", "units": 3},
]


def chunks(seconds: float, rows: int = 6) -> Chunks:
    """Yield outputs that took so long, two rows at a time."""
    values = torch.arange(rows * 5.0).reshape(rows, 5)
    for few in values.split(2):
        yield {"hidden": few}, seconds


def never() -> Chunks:
    raise AssertionError("the entry was computed although it was there")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FrozenCache:
    monkeypatch.setattr(entries, "JUDGED", 1)
    monkeypatch.setattr(entries, "BLOCK", 40)
    return FrozenCache(tmp_path / "cache", GIBIBYTE)


def test_what_took_long_to_compute_is_read(cache: FrozenCache) -> None:
    cache.find_or_fill("k", 6, lambda: chunks(100.0), copied=True)

    entry, was_there = cache.find_or_fill("k", 6, never, copied=True)

    assert was_there
    assert entry.values["hidden"].tolist() == next(whole()).tolist()


def whole() -> Iterator[Tensor]:
    yield torch.arange(30.0).reshape(6, 5)


def test_what_is_computed_faster_than_read_is_not_kept_on_disk(
    cache: FrozenCache,
) -> None:
    with pytest.raises(Slower) as told:
        cache.find_or_fill("k", 6, lambda: chunks(0.0), copied=True)

    assert told.value.reading > told.value.computing
    assert [p.name for p in cache.root.iterdir()] == [".locks"]


def test_what_is_computed_faster_than_read_is_not_read(cache: FrozenCache) -> None:
    cache.find_or_fill("k", 6, lambda: chunks(0.0))  # mapped: it had to be kept

    with pytest.raises(Slower, match="reading what was kept takes"):
        cache.find("k", copied=True)

    mapped = cache.find("k")
    assert mapped is not None
    assert mapped.mapped


def outputs(
    layers: list[dict[str, Any]],
    shape: tuple[int, ...],
    cache: FrozenCache | None,
    mode: Mode = "auto",
    frozen: str = "wide",
) -> FrozenOutputs:
    net = network(layers, shape, normalization="none")
    names = [row.name for row in net.rows]
    rows = torch.rand(3000, *shape, generator=torch.Generator().manual_seed(3))
    return FrozenOutputs(
        Frozen(net, set(names[: names.index(frozen) + 1])),
        {"train": (rows, "rows")},
        dataset="d",
        preprocessing="p",
        device=torch.device("cpu"),
        mode=mode,
        cache=cache,
    )


def test_a_wide_cheap_layer_is_computed_again_and_the_report_says_why(
    tmp_path: Path,
) -> None:
    cache = FrozenCache(tmp_path, GIBIBYTE)
    apart = outputs(WIDE, (4,), cache, "off")
    expected = apart.of("train")["wide"]

    found = outputs(WIDE, (4,), cache)
    values = found.of("train")["wide"]

    report = found.report()
    assert report["result"] == "recomputed"
    assert "computed again, because reading what was kept takes" in str(
        report["reason"]
    )
    assert str(report["reason"]) in str(report["summary"])
    assert report["place"] == "memory"
    assert torch.equal(values, expected)
    assert found.of("train")["wide"] is values  # once for all epochs
    assert [p.name for p in tmp_path.iterdir()] == [".locks"]


def test_a_deep_narrow_cut_is_read(tmp_path: Path) -> None:
    cache = FrozenCache(tmp_path, GIBIBYTE)
    outputs(DEEP, (64,), cache, frozen="narrow").of("train")

    found = outputs(DEEP, (64,), cache, frozen="narrow")
    found.of("train")

    report = found.report()
    assert report["result"] == "hit"
    assert report["read_seconds"] < report["frozen_forward_seconds"]  # type: ignore[operator]


def test_what_fits_no_memory_is_read_from_disk_however_long_that_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "free", lambda _: 0)
    cache = FrozenCache(tmp_path, GIBIBYTE)

    found = outputs(WIDE, (4,), cache)
    values = found.of("train")["wide"]

    assert found.report()["place"] == "disk"
    assert found.report()["result"] == "miss"
    FrozenCache(tmp_path, 0).make_room()
    assert len([p for p in tmp_path.iterdir() if p.name != ".locks"]) == 1
    monkeypatch.undo()
    assert torch.equal(values, outputs(WIDE, (4,), None).of("train")["wide"])


@contextmanager
def longest_file(size: int) -> Iterator[None]:
    """Let the system refuse to write longer files, as it does where a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_refuses_in_the_midst_of_filling_costs_the_job_nothing(
    tmp_path: Path,
) -> None:
    found = outputs(DEEP, (64,), FrozenCache(tmp_path, GIBIBYTE), frozen="narrow")

    with longest_file(2**17):
        values = found.of("train")["narrow"]

    report = found.report()
    assert "kept in memory only: File too large" in str(report["reason"])
    assert report["place"] == "memory"
    assert [p.name for p in tmp_path.iterdir()] == [".locks"]
    apart = outputs(DEEP, (64,), None, "off", frozen="narrow")
    assert torch.equal(values, apart.of("train")["narrow"])


def test_a_full_disk_is_given_room_by_what_nobody_has_open(tmp_path: Path) -> None:
    cache = FrozenCache(tmp_path, GIBIBYTE)
    cache.find_or_fill("old", 6, lambda: chunks(9.0), copied=True)
    mapped, _ = cache.find_or_fill("mapped", 6, lambda: chunks(9.0))
    tries = []

    def filling() -> Chunks:
        tries.append(sorted(p.name for p in tmp_path.iterdir() if "." not in p.name))
        yield from chunks(9.0, rows=2)
        if len(tries) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        yield from ((v, s) for n, (v, s) in enumerate(chunks(9.0)) if n)

    entry, _ = cache.find_or_fill("new", 6, filling)

    assert tries == [["mapped", "old"], ["mapped"]]
    assert torch.equal(entry.values["hidden"], next(whole()))
    assert torch.equal(mapped.values["hidden"], next(whole()))


def test_a_disk_that_is_full_twice_is_given_up(tmp_path: Path) -> None:
    def full() -> Chunks:
        yield from chunks(1.0, rows=2)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        FrozenCache(tmp_path, GIBIBYTE).find_or_fill("k", 6, full)

    assert [p.name for p in tmp_path.iterdir()] == [".locks"]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (
            {},
            "saved 41 s of 58 s in the frozen layers; filling took 16 s, reading 1.0 s",
        ),
        (
            {"seconds_saved": -0.25, "seconds_without": 0.5, "reason": "why"},
            "lost 0.25 s of 0.5 s in the frozen layers; filling took 16 s, ",
        ),
        ({"result": "off"}, "saved nothing: frozen_cache is off"),
        ({"result": "off", "reason": "no layer is frozen"}, "saved nothing: no layer"),
        ({"result": "refused", "reason": "an augmentation"}, "saved nothing: an aug"),
        ({"result": None}, "nothing was asked for yet"),
    ],
)
def test_the_summary_says_what_was_saved_of_what(
    facts: dict[str, Any], expected: str
) -> None:
    report = {
        "result": "miss",
        "seconds_without": 58.2,
        "seconds_saved": 41.3,
        "fill_seconds": 15.9,
        "read_seconds": 1.0,
        "reason": None,
    }

    assert summary(report | facts).startswith(expected)


@pytest.mark.parametrize("rows", [3, 2**21])
def test_a_room_has_its_shape_whatever_pages_it_is_made_of(rows: int) -> None:
    made = room.empty((rows, 1, 3), torch.bfloat16, torch.device("cpu"))

    made.zero_()
    made[-1] = 1

    assert made.shape == (rows, 1, 3)
    assert made.is_contiguous()
    assert made.data_ptr() % made.dtype.itemsize == 0
    assert made.sum(dtype=torch.float64) == 3
