"""A training that was stopped anywhere and resumed is the one that never stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from tests.trainer import trainings
from tests.trainer.trainings import CONVOLUTIONAL, DENSE, pictures, spec
from trainer.assembly import Assembly
from trainer.saved import checkpoint
from trainer.training import Row
from trainer.training.loop import fit

LENGTHS = {"frozen": 20, "adam": 15, "convolutional": 20, "in_parts": 20}
"""Steps of each run: 36 rows in batches of 8 are 5 steps in each of 4 epochs."""

RECIPE: dict[str, Any] = {
    "epochs": 4,
    "optimizer": {"kind": "nesterov", "learning_rate": 0.05},
    "schedule": {"kind": "exponential", "decay_steps": 7, "decay_rate": 0.5},
    "early_stopping": {"patience": 2, "restore_best": True},
    "gradient_clipping": {"kind": "global_norm", "threshold": 1.0},
    "regularization": {"l1": 1e-4, "l2": 1e-3, "max_norm": 1.5},
}
ADAM: dict[str, Any] = {
    **RECIPE,
    "optimizer": {"kind": "adam", "learning_rate": 0.01},
    "evaluate_every": {"steps": 3},
    "early_stopping": {"patience": 4, "monitor": "validation_accuracy"},
}
FROZEN: dict[str, Any] = {
    "reuse": [{"from": "source", "layers": "hidden[12]", "freeze": "hidden1"}]
}


class Straight(NamedTuple):
    """A training that ran to its end without a stop."""

    build: Callable[[], Assembly]
    history: list[Row]
    weights: dict[str, torch.Tensor]
    final: dict[str, float]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "source"
    return trainings.model(folder, spec(DENSE, epochs=1, seed=1), pictures(seed=9))


def straight(build: Callable[[], Assembly]) -> Straight:
    training = build().training
    history = trainings.history(trainings.trained(training))
    return Straight(build, history, trainings.weights(training), training.final)


@pytest.fixture(scope="module")
def frozen(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Straight:
    cache = tmp_path_factory.mktemp("cache")
    return straight(
        lambda: trainings.build(
            spec(DENSE, **RECIPE, **FROZEN),
            pictures(),
            sources=[source],
            frozen_cache=cache,
            frozen_cache_bytes=10**9,
        )
    )


@pytest.fixture(scope="module")
def adam() -> Straight:
    return straight(lambda: trainings.build(spec(DENSE, **ADAM), pictures()))


@pytest.fixture(scope="module")
def convolutional() -> Straight:
    return straight(lambda: trainings.build(spec(CONVOLUTIONAL, **RECIPE), pictures()))


@pytest.fixture(scope="module")
def in_parts() -> Straight:
    return straight(
        lambda: trainings.build(spec(DENSE, **RECIPE), pictures(), micro_batch=3)
    )


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Straight:
    found: Straight = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize(
    ("run", "step"),
    [(name, step) for name, last in LENGTHS.items() for step in range(1, last + 1)],
    indirect=["run"],
)
def test_resuming_at_any_step_equals_never_having_stopped(
    run: Straight, step: int, tmp_path: Path
) -> None:
    first = run.build().training
    reports = []
    for report in fit(first, pause_seconds=0):
        reports.append(report)
        if report.step == step:
            break
    saved = checkpoint.write(tmp_path, first.snapshot())
    torch.manual_seed(999)  # a new process knows nothing of the old one's generators

    second = run.build().training
    exact = second.restore(checkpoint.read(saved.folder))
    rest = trainings.trained(second)

    assert exact
    assert trainings.history(reports + rest) == run.history
    assert second.final == run.final
    trainings.assert_same(trainings.weights(second), run.weights)


def test_stopping_and_resuming_at_every_step_changes_nothing(
    frozen: Straight, tmp_path: Path
) -> None:
    training, history = frozen.build().training, []
    while True:
        report = next(iter(fit(training, pause_seconds=0)))
        history += trainings.history([report])
        if report.done:
            break
        saved = checkpoint.write(tmp_path, training.snapshot())
        training = frozen.build().training
        training.restore(checkpoint.read(saved.folder))

    assert history == frozen.history
    trainings.assert_same(trainings.weights(training), frozen.weights)


@pytest.mark.parametrize(
    ("run", "steps"), list(LENGTHS.items()), indirect=["run"], ids=list(LENGTHS)
)
def test_every_step_of_these_runs_was_tried(run: Straight, steps: int) -> None:
    """Show also that one of them, adam's, was stopped early."""
    assert run.history[-1].step == steps


def test_another_environment_is_told_to_be_inexact(tmp_path: Path) -> None:
    training = trainings.build(spec(DENSE), pictures()).training
    next(iter(fit(training)))
    saved = checkpoint.write(tmp_path, training.snapshot())

    smaller = trainings.build(spec(DENSE), pictures(), micro_batch=2).training

    assert not smaller.restore(checkpoint.read(saved.folder))


def test_a_snapshot_does_not_change_when_training_goes_on() -> None:
    training = trainings.build(spec(DENSE), pictures()).training
    steps = fit(training, pause_seconds=0)
    next(steps)
    snapshot = training.snapshot()
    before = {name: tensor.clone() for name, tensor in snapshot.tensors.items()}

    list(steps)

    trainings.assert_same(snapshot.tensors, before)


def test_frozen_tensors_are_not_in_the_checkpoint(frozen: Straight) -> None:
    training = frozen.build().training
    next(iter(fit(training)))

    names = training.snapshot().tensors.keys()

    assert not [name for name in names if name.startswith("network/hidden1.")]
    assert "network/hidden2.weight" in names
