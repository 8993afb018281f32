"""One pass over the rows fills the cache at every depth, with each job's own bits."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer import trainings
from tests.trainer.networks import CONVOLUTIONAL, IMAGE, SKIPPING, examples, network
from tests.trainer.trainings import order, pictures, spec
from trainer.frozen import chunk_rows, features
from trainer.frozen.depths import chunks_at, every_depth, in_passes

CPU = torch.device("cpu")
LAYERS: list[dict[str, Any]] = [
    {"kind": "conv2d", "name": "conv1", "filters": 3, "kernel_size": 3},
    {"kind": "max_pool2d", "name": "pool1"},
    {"kind": "dense", "name": "hidden1", "units": 9, "normalization": "batch"},
    {"kind": "dense", "name": "hidden2", "units": 7, "dropout": 0.3},
]
DEPTHS = (1, 3, 4)
"""Layers to freeze: the pool between has a cut of its own, without weights."""


def job(
    folder: Path, name: str, depth: int, data: Any = None, **training: Any
) -> dict[str, Any]:
    """Train with the lowest layers frozen; return the result."""
    entry = {"from": "source", "layers": "(conv|pool|hidden).*", "freeze": depth}
    ordered = order(
        spec(LAYERS, reuse=[entry], **training),
        sources=[folder / "source"],
        model=folder / name,
        frozen_cache=folder / "cache",
        frozen_cache_bytes=10**9,
    )
    *_, result = trainings.carry_out(ordered, pictures() if data is None else data)
    return result


def sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder where one job has filled the cache at every depth."""
    folder = tmp_path_factory.mktemp("searched")
    trainings.model(folder / "source", spec(LAYERS, epochs=1), pictures(seed=9))
    first = job(folder, "first", DEPTHS[0], frozen_cache_depths="every")
    assert first["cache"]["result"] == "miss"
    assert first["cache"]["filled_for_others"] > 0
    return folder


@pytest.mark.parametrize("depth", DEPTHS)
def test_jobs_at_every_depth_find_their_outputs_and_are_their_uncached_twins(
    searched: Path, depth: int
) -> None:
    found = job(searched, f"found{depth}", depth, frozen_cache="required")
    twin = job(searched, f"twin{depth}", depth, frozen_cache="off")

    assert found["cache"]["result"] == "hit"
    assert found["cache"]["fill_seconds"] == 0
    assert found["metrics"] == twin["metrics"]
    assert sha256(searched / f"found{depth}") == sha256(searched / f"twin{depth}")


def test_filling_for_others_changes_nothing_of_the_job_itself(searched: Path) -> None:
    twin = job(searched, "twin of the first", DEPTHS[0], frozen_cache="off")

    assert sha256(searched / "first") == sha256(searched / "twin of the first")
    assert twin["cache"]["filled_for_others"] == 0


def test_without_the_wish_another_depth_is_a_miss(tmp_path: Path) -> None:
    trainings.model(tmp_path / "source", spec(LAYERS, epochs=1), pictures(seed=9))
    first = job(tmp_path, "first", 1)

    other = job(tmp_path, "other", 3)

    assert first["cache"]["filled_for_others"] == 0
    assert other["cache"]["result"] == "miss"


def test_a_later_job_with_the_wish_fills_nothing_again(searched: Path) -> None:
    again = job(searched, "again", 3, frozen_cache_depths="every")

    assert again["cache"]["result"] == "hit"
    assert again["cache"]["filled_for_others"] == 0


@pytest.mark.parametrize("layers", [CONVOLUTIONAL, SKIPPING], ids=["chain", "skips"])
def test_every_cut_has_the_bits_of_its_own_pass(layers: list[dict[str, Any]]) -> None:
    net = network(layers)
    x = examples(2100)[0]
    cuts = every_depth(net, {row.name for row in net.rows if row.name != net.output})
    assert len(cuts) >= 3

    passes = in_passes(net, cuts, CPU)
    found = {
        cut: torch.cat([few[number][0][name] for few in runs])
        for chunk, some in passes.items()
        for runs in [list(chunks_at(net, some, x, CPU, chunk))]
        for number, cut in enumerate(some)
        for name in cut.boundary[-1:]
    }

    assert set(found) == set(cuts)
    different = [
        cut.below
        for cut, value in found.items()
        if not torch.equal(
            value,
            features(net, cut, x, CPU, chunk_rows(net, cut, CPU))[0][cut.boundary[-1]],
        )
    ]
    assert different == []


def test_each_layer_is_run_once_for_all_cuts_of_a_pass() -> None:
    net = network(CONVOLUTIONAL)
    cuts = every_depth(net, {"conv1", "pool1", "conv2", "flat", "top"})
    run: list[str] = []
    for name, layer in net.layers.items():
        layer.register_forward_hook(lambda *_, name=name: run.append(name))

    for chunk, some in in_passes(net, cuts, CPU).items():
        list(chunks_at(net, some, examples(chunk)[0], CPU, chunk))

    assert run == ["conv1", "pool1", "conv2", "flat", "top"]


def test_layers_that_learn_here_are_left_awake() -> None:
    net = network(CONVOLUTIONAL).train()
    cuts = every_depth(net, {"conv1", "conv2"})

    list(chunks_at(net, cuts, examples(3)[0], CPU, 8))

    assert all(module.training for module in net.layers["conv2"].modules())


def test_wider_layers_that_need_shorter_runs_have_a_pass_of_their_own() -> None:
    wide = [
        {"kind": "conv2d", "name": "conv1", "filters": 30, "padding": "same"},
        {"kind": "conv2d", "name": "conv2", "filters": 90, "padding": "same"},
        {"kind": "dense", "name": "top", "units": 4},
    ]
    net = network(wide, (1, 20, 20))
    cuts = every_depth(net, {"conv1", "conv2"})

    passes = in_passes(net, cuts, CPU)

    assert [len(some) for some in passes.values()] == [1, 1]
    assert all(chunk_rows(net, c, CPU) == n for n, cs in passes.items() for c in cs)


def test_a_cut_that_leaves_nothing_to_learn_is_no_depth() -> None:
    net = network(CONVOLUTIONAL, IMAGE)

    cuts = every_depth(net, set(net.inputs))

    assert all(net.output in cut.above for cut in cuts)
