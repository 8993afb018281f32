"""Outputs of frozen layers, kept or not: the same training, bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tests.trainer.networks import (
    CONVOLUTIONAL,
    DENSE,
    RESIDUAL,
    SKIPPING,
    examples,
    network,
)
from trainer.data.examples import order
from trainer.errors import CacheRefused
from trainer.frozen import Frozen, chunk_rows, features, room
from trainer.frozen.cache import FrozenCache
from trainer.frozen.outputs import FrozenOutputs, Mode
from trainer.spec.training import Training
from trainer.training.descent import Descent

CPU = torch.device("cpu")
GIBIBYTE = 2**30
RECIPES = {
    "nesterov": {
        "optimizer": {"kind": "nesterov", "learning_rate": 0.05},
        "regularization": {"l2": 0.001, "max_norm": 1.0},
    },
    "adam": {
        "optimizer": {"kind": "adam", "learning_rate": 0.01},
        "regularization": {"l1": 0.001},
        "gradient_clipping": {"kind": "value", "threshold": 0.1},
    },
}
CUTS = {
    "dense": (DENSE, {"hidden1", "hidden2"}),
    "convolution": (CONVOLUTIONAL, {"conv1", "conv2"}),
    "residual": (RESIDUAL, {"block1"}),
    "skip over the cut": (SKIPPING, {"hidden1", "hidden2"}),
    "skip from the input": (
        [
            {"kind": "flatten", "name": "flat"},
            {"kind": "dense", "name": "hidden1", "units": 9},
            {"kind": "concatenate", "name": "both", "inputs": ["flat", "hidden1"]},
            {"kind": "dense", "name": "top", "units": 9, "inputs": ["both"]},
        ],
        {"hidden1"},
    ),
}
every_cut = pytest.mark.parametrize(
    ("layers", "names"), list(CUTS.values()), ids=list(CUTS)
)
every_recipe = pytest.mark.parametrize("recipe", list(RECIPES))


def kept(
    held: Frozen,
    mode: Mode = "auto",
    cache: FrozenCache | None = None,
    **facts: Any,
) -> FrozenOutputs:
    parts = {
        "train": (examples(1100)[0], "train rows"),
        "validation": (examples(50, seed=9)[0], "validation rows"),
    }
    of_job: dict[str, Any] = {"dataset": "d", "preprocessing": "p", **facts}
    return FrozenOutputs(held, parts, device=CPU, mode=mode, cache=cache, **of_job)


def trained(
    layers: list[dict[str, Any]],
    names: set[str],
    recipe: str,
    mode: Mode,
    cache: FrozenCache | None = None,
) -> tuple[dict[str, Tensor], list[float], dict[str, object]]:
    """Return the network's tensors, its validation losses and the cache's report."""
    net = network(layers)
    held = Frozen(net, names)
    outputs = kept(held, mode, cache)
    spec = Training.model_validate(RECIPES[recipe])
    descent = Descent(net, outputs.cut, spec, cross_entropy)
    targets = {"train": examples(1100)[1], "validation": examples(50, seed=9)[1]}
    losses = []
    torch.manual_seed(4)  # dropout above the cut
    for epoch in (1, 2):
        values = outputs.of("train")
        net.train()
        held.hold()
        for rows in order(7, epoch, 1100, CPU).split(100):
            batch = {name: value[rows] for name, value in values.items()}
            descent.step(batch, targets["train"][rows], 0.05)
        net.eval()
        with torch.inference_mode():
            guess = net.run_above(outputs.cut, outputs.of("validation"))
            losses.append(cross_entropy(guess, targets["validation"]).item())
    return net.state_dict(), losses, outputs.report()


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first | second)


@every_recipe
@every_cut
def test_kept_recomputed_and_found_outputs_train_the_same_network(
    tmp_path: Path, layers: list[dict[str, Any]], names: set[str], recipe: str
) -> None:
    cache = FrozenCache(tmp_path, GIBIBYTE)

    recomputed, losses, off = trained(layers, names, recipe, "off", cache)
    filled, filled_losses, miss = trained(layers, names, recipe, "auto", cache)
    found, found_losses, hit = trained(layers, names, recipe, "required", cache)
    in_memory, memory_losses, memory = trained(layers, names, recipe, "auto")

    assert [r["result"] for r in (off, miss, hit, memory)] == [
        "off",
        "miss",
        "hit",
        "miss",
    ]
    assert same(recomputed, filled)
    assert same(recomputed, found)
    assert same(recomputed, in_memory)
    assert losses == filled_losses == found_losses == memory_losses


def test_a_second_job_on_the_same_cut_runs_no_forward_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FrozenCache(tmp_path, GIBIBYTE)
    first = kept(Frozen(network(DENSE), {"hidden1"}), cache=cache)
    values = first.of("train")

    def never(*_: object) -> None:
        raise AssertionError("the frozen layers were run")

    net = network([DENSE[0], {"kind": "dense", "name": "another", "units": 3}])
    monkeypatch.setattr(net, "run_below", never)
    second = kept(Frozen(net, {"hidden1"}), cache=cache)

    assert same(second.of("train"), values)
    assert second.report()["key"] == first.report()["key"]


@pytest.mark.parametrize("change", [{"dataset": "e"}, {"preprocessing": "q"}])
def test_other_data_or_preprocessing_is_no_hit(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    cache = FrozenCache(tmp_path, GIBIBYTE)
    kept(Frozen(network(DENSE), {"hidden1"}), cache=cache).of("train")

    other = kept(Frozen(network(DENSE), {"hidden1"}), cache=cache, **change)
    other.of("train")

    assert other.report()["result"] == "miss"


def test_what_is_saved_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FrozenCache(tmp_path, GIBIBYTE)
    outputs = kept(Frozen(network(DENSE), {"hidden1"}), cache=cache)
    for _ in range(5):
        outputs.of("train")
    again = kept(Frozen(network(DENSE), {"hidden1"}), cache=cache)
    for _ in range(3):
        again.of("train")

    filled, found = outputs.report(), again.report()

    forward = filled["frozen_forward_seconds"]
    assert isinstance(forward, float)
    assert forward > 0
    assert (filled["epochs"], found["epochs"]) == (5, 3)
    assert filled["fill_seconds"] >= forward  # type: ignore[operator]
    assert filled["seconds_saved"] == pytest.approx(
        5 * forward - filled["fill_seconds"] - filled["read_seconds"]  # type: ignore[operator]
    )
    assert found["fill_seconds"] == 0
    assert found["frozen_forward_seconds"] == forward
    assert found["seconds_saved"] == pytest.approx(3 * forward - found["read_seconds"])  # type: ignore[operator]
    assert filled["bytes"] == found["bytes"] == 1100 * 12 * 4


def test_before_the_first_epoch_nothing_is_said_of_a_hit() -> None:
    outputs = kept(Frozen(network(DENSE), {"hidden1"}))

    assert outputs.report()["result"] is None


def test_nothing_is_saved_where_nothing_is_kept() -> None:
    outputs = kept(Frozen(network(DENSE), {"hidden1"}), "off")
    outputs.of("train")
    outputs.of("train")

    report = outputs.report()

    assert report["seconds_saved"] == 0
    assert report["result"] == "off"
    assert report["frozen_forward_seconds"] > 0  # type: ignore[operator]


RANDOM_BELOW = [{"kind": "dropout", "name": "noise", "rate": 0.3}, *DENSE]


@pytest.mark.parametrize(
    ("layers", "names", "normalization", "augmentation", "why"),
    [
        (DENSE, {"hidden1"}, "eval", "a random shift", "a random shift changes the in"),
        (DENSE, {"hidden1"}, "train", None, "'hidden1' normalises by each batch"),
        (DENSE, {"hidden2"}, "eval", None, "a layer that learns"),
        (RANDOM_BELOW, {"hidden1"}, "eval", None, "dropout that is not frozen"),
    ],
)
def test_a_cache_that_would_be_wrong_is_refused_with_the_reason(
    layers: list[dict[str, Any]],
    names: set[str],
    normalization: Any,
    augmentation: str | None,
    why: str,
) -> None:
    held = Frozen(network(layers), names, normalization)

    outputs = kept(held, augmentation=augmentation)

    assert outputs.report()["result"] == "refused"
    assert why in str(outputs.report()["reason"])
    assert outputs.cut.below == ()
    assert outputs.cut.boundary == ("input",)
    with pytest.raises(CacheRefused, match=why):
        kept(held, "required", augmentation=augmentation)


def test_frozen_dropout_on_the_input_is_no_obstacle() -> None:
    held = Frozen(network(RANDOM_BELOW), {"noise", "hidden1"})

    outputs = kept(held)

    assert outputs.cut.below == ("noise", "hidden1")
    assert same(outputs.of("train"), outputs.of("train"))


def test_a_job_without_frozen_layers_has_no_cache() -> None:
    outputs = kept(Frozen(network(DENSE), set()))

    assert not outputs.applies
    assert outputs.report()["result"] == "off"
    assert outputs.report()["reason"] == "no layer is frozen"
    with pytest.raises(CacheRefused, match="no layer is frozen"):
        kept(Frozen(network(DENSE), set()), "required")


def test_outputs_too_large_for_memory_stay_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FrozenCache(tmp_path, GIBIBYTE)
    held = Frozen(network(CONVOLUTIONAL), {"conv1"})
    chunk = chunk_rows(held.network, held.cut, CPU)
    expected, _ = features(held.network, held.cut, examples(1100)[0], CPU, chunk)
    monkeypatch.setattr(room, "free", lambda _: 0)

    assert same(kept(held, cache=cache).of("train"), expected)
    assert same(kept(held, "off", cache).of("train"), expected)
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == [
        kept_key(held, cache)
    ]


def kept_key(held: Frozen, cache: FrozenCache) -> object:
    outputs = kept(held, cache=cache)
    outputs.of("train")
    return outputs.report()["key"]


def test_outputs_too_large_for_disk_are_kept_in_memory(tmp_path: Path) -> None:
    outputs = kept(Frozen(network(DENSE), {"hidden1"}), cache=FrozenCache(tmp_path, 99))
    outputs.of("train")

    assert outputs.report()["result"] == "miss"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_outputs_too_large_for_both_are_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    monkeypatch.setattr(room, "free", lambda _: 99)
    held = Frozen(network(DENSE), {"hidden1"})

    outputs = kept(held, mode, FrozenCache(tmp_path, 99))

    assert outputs.cut.boundary == ("input",)
    assert "more than the cache may hold" in str(outputs.report()["reason"])


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"memory.max": "1000\n", "memory.current": "400\n"}, [600]),
        ({"memory.max": "1000\n", "memory.current": "4000\n"}, [0]),
        ({"memory.max": "max\n", "memory.current": "400\n"}, []),
        (
            {
                "memory/memory.limit_in_bytes": "1000\n",
                "memory/memory.usage_in_bytes": "1\n",
            },
            [999],
        ),
        ({}, []),
    ],
)
def test_a_container_s_limit_counts(
    tmp_path: Path, files: dict[str, str], free: list[int]
) -> None:
    (tmp_path / "memory").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    assert room.free_in_container(tmp_path) == free


class Deleting:
    """Rows during whose reading somebody deletes the cache's folder."""

    def __init__(self, x: Tensor, folder: Path) -> None:
        self.x, self.folder = x, folder

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice, /) -> Tensor:
        if rows.start:
            shutil.rmtree(self.folder, ignore_errors=True)
        return self.x[rows]


def test_deleting_the_cache_while_it_is_filled_costs_the_job_nothing(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "cache"
    held = Frozen(network(DENSE), {"hidden1"})
    rows = Deleting(examples(1100)[0], folder)

    outputs = FrozenOutputs(
        held,
        {"train": (rows, "train rows")},
        dataset="d",
        preprocessing="p",
        device=CPU,
        cache=FrozenCache(folder, GIBIBYTE),
    )
    values = outputs.of("train")
    folder.mkdir(exist_ok=True)

    assert same(values, kept(held, "off").of("train"))
    assert same(outputs.of("train"), values)


def test_a_cache_that_cannot_be_written_costs_the_job_nothing(tmp_path: Path) -> None:
    (tmp_path / "not_a_folder").touch()
    cache = FrozenCache(tmp_path / "not_a_folder", GIBIBYTE)
    held = Frozen(network(DENSE), {"hidden1"})

    outputs = kept(held, cache=cache)

    assert same(outputs.of("train"), kept(held, "off").of("train"))
    assert "kept in memory only" in str(outputs.report()["reason"])
