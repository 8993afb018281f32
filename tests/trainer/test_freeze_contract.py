"""Frozen means equal to the last bit, whatever trains the layers above."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trainer import trainings
from tests.trainer.trainings import assert_same, build, order, pictures, spec
from trainer.spec.averaging import Averaging
from trainer.spec.base import Spec, variants
from trainer.spec.clipping import GradientClipping
from trainer.spec.optimizers import Optimizer
from trainer.spec.pruning import Pruning
from trainer.training.loop import fit

LAYERS: list[dict[str, Any]] = [
    {"kind": "conv2d", "name": "conv1", "filters": 2, "kernel_size": 3},
    {
        "kind": "dense",
        "name": "hidden1",
        "units": 4,
        "activation": "prelu",
        "regularization": {"l1": 0.01, "l2": 0.01, "max_norm": 0.1},
    },
    {"kind": "dense", "name": "hidden2", "units": 4},
]
HARSH: dict[str, Any] = {
    "l1": 0.01,
    "l2": 0.01,
    "max_norm": 0.1,
    "weight_decay": 0.05,
}
"""Everything that pulls at a weight without being asked by a gradient."""


def kinds(union: object) -> list[str]:
    return [str(each.model_fields["kind"].default) for each in variants(union)]


def fields(rule: type[Spec]) -> dict[str, Any]:
    return dict(rule.model_fields)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contract") / "source"
    return trainings.model(folder, spec(LAYERS, epochs=1), pictures(seed=9))


def reusing(freeze: str = "conv1|hidden1", **training: Any) -> dict[str, Any]:
    entry = {"from": "source", "layers": "conv1|hidden.", "freeze": freeze}
    return spec(LAYERS, reuse=[entry], **{"epochs": 1, "batch_size": 16} | training)


def proved(what: dict[str, Any], source: Path, folder: Path, **wish: Any) -> Any:
    """Carry a job out; return its proof, whose every line was compared."""
    asked = order(what, sources=[source], model=folder / "model", **wish)
    *_, result = trainings.carry_out(asked, pictures())
    assert result["frozen"]
    assert [r for r in result["frozen"] if r["before"] != r["after"]] == []
    return {row["tensor"] for row in result["frozen"]}


def learning(what: dict[str, Any], source: Path) -> Any:
    """Train; return the training, in which no tensor of frozen layers has moved."""
    made = build(what, pictures(), sources=[source])
    frozen = made.frozen.hashes()
    list(fit(made.training, pause_seconds=0))
    assert made.frozen.hashes() == frozen
    return made.training


@pytest.mark.parametrize("rule", variants(Optimizer), ids=kinds(Optimizer))
def test_no_optimizer_moves_a_frozen_tensor(
    rule: Any, source: Path, tmp_path: Path
) -> None:
    own: dict[str, Any] = {
        name: 0.05 for name in ("weight_decay", "l1", "l2") if name in fields(rule)
    }
    pulls = {name: value for name, value in HARSH.items() if name not in own}
    if own:  # two that pull alike are refused
        pulls.pop("weight_decay", None)
    optimizer = {"kind": str(fields(rule)["kind"].default)} | own

    tensors = proved(
        reusing(optimizer=optimizer, regularization=pulls, batch_size=44),
        source,
        tmp_path,
    )

    assert "conv1.normalization.running_mean" in tensors
    assert "hidden1.activation.weight" in tensors


@pytest.mark.parametrize("kind", [k for k in kinds(Averaging) if k != "none"])
def test_no_average_moves_a_frozen_tensor(
    kind: str, source: Path, tmp_path: Path
) -> None:
    proved(reusing(averaging=kind, regularization=HARSH), source, tmp_path)


@pytest.mark.parametrize("kind", [k for k in kinds(GradientClipping) if k != "none"])
def test_no_clipping_moves_a_frozen_tensor(kind: str, source: Path) -> None:
    learning(reusing(gradient_clipping=kind, regularization=HARSH), source)


@pytest.mark.parametrize("kind", [k for k in kinds(Pruning) if k != "none"])
def test_pruning_leaves_frozen_weights_whole(
    kind: str, source: Path, tmp_path: Path
) -> None:
    proved(reusing(pruning=kind), source, tmp_path)


@pytest.mark.parametrize("cache", ["auto", "off"])
@pytest.mark.parametrize("freeze", ["conv1", "hidden1", "conv1|hidden1|hidden2"])
def test_a_layer_frozen_anywhere_keeps_its_stored_statistics(
    freeze: str, cache: str, source: Path
) -> None:
    learning(reusing(freeze, frozen_cache=cache, regularization=HARSH), source)


def test_statistics_that_were_asked_to_follow_are_all_that_moves(source: Path) -> None:
    what = reusing(frozen_normalization="train", regularization=HARSH)
    made = build(what, pictures(), sources=[source])
    layer = made.network.layers["conv1"]
    before = {name: value.clone() for name, value in layer.state_dict().items()}

    list(fit(made.training, pause_seconds=0))

    moved = {n for n, v in layer.state_dict().items() if not v.equal(before[n])}
    assert moved == {
        f"normalization.{name}"
        for name in ("running_mean", "running_var", "num_batches_tracked")
    }


@pytest.mark.parametrize("micro_batch", [3, 8])
def test_micro_batches_move_no_frozen_tensor(
    micro_batch: int, source: Path, tmp_path: Path
) -> None:
    what = reusing(regularization=HARSH, averaging="exponential_moving_average")
    proved(what, source, tmp_path, micro_batch=micro_batch)


def test_a_resumed_job_proves_the_same_hashes_as_one_that_ran_through(
    source: Path,
) -> None:
    what = reusing(epochs=2, optimizer="adam", averaging="exponential_moving_average")
    whole = build(what, pictures(), sources=[source])
    list(fit(whole.training, pause_seconds=0))
    first = build(what, pictures(), sources=[source])
    reports = fit(first.training, pause_seconds=0)
    next(reports)
    held = first.phases.snapshot()
    second = build(what, pictures(), sources=[source])

    second.phases.restore(held)
    list(fit(second.training, pause_seconds=0))

    assert second.frozen.hashes() == first.frozen.hashes() == whole.frozen.hashes()
    assert_same(trainings.weights(second.training), trainings.weights(whole.training))
