"""Optimizers and schedules in whole trainings: their pace, and a restart in between."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer import trainings
from tests.trainer.spec_samples import job, resolved
from tests.trainer.trainings import DENSE, pictures, spec
from trainer.network import Network
from trainer.saved import checkpoint
from trainer.spec.base import variants
from trainer.spec.errors import InvalidSpec
from trainer.spec.network import NetworkSpec, filled
from trainer.spec.optimizers import Optimizer
from trainer.spec.optimizers.layerwise import Muon
from trainer.training import Training
from trainer.training.loop import fit
from trainer.training.parameter_groups import MULTIPLIER, ROLE, parameter_groups

KINDS = [member.model_fields["kind"].default for member in variants(Optimizer)]
PLAIN: dict[str, Any] = {"activation": "tanh", "normalization": "none", "dropout": 0}
STILL: list[dict[str, Any]] = [{"kind": "dense", "name": "hidden1", "units": 6}]
"""A network without dropout, so that only the optimizer makes a difference."""
MULTIPLIED: list[dict[str, Any]] = [
    {
        "kind": "dense",
        "name": "hidden1",
        "units": 6,
        "dropout": 0,
        "learning_rate_multiplier": 0.25,
    },
    {"kind": "dense", "name": "hidden2", "units": 5, "dropout": 0},
]


def training(layers: Any = DENSE, defaults: Any = None, **recipe: Any) -> Training:
    """Return a training on the pictures: 36 rows in batches of 8 are 5 steps."""
    return trainings.build(
        spec(layers, defaults=defaults, **recipe), pictures()
    ).training


def taken(steps: int, made: Training) -> Training:
    """Take some steps."""
    for report in fit(made, pause_seconds=0):
        if report.step == steps:
            break
    return made


def assert_resumes(step: int, folder: Path, **wish: Any) -> Training:
    """Fail unless stopping after `step` changes nothing; return the whole training."""
    whole = training(**wish)
    history = trainings.history(trainings.trained(whole))
    first = training(**wish)
    reports = []
    for report in fit(first, pause_seconds=0):
        reports.append(report)
        if report.step == step:
            break
    saved = checkpoint.write(folder, first.snapshot())
    torch.manual_seed(999)  # a new process knows nothing of the old one's generators

    second = training(**wish)
    assert second.restore(checkpoint.read(saved.folder))
    reports += trainings.trained(second)

    assert trainings.history(reports) == history
    trainings.assert_same(trainings.weights(second), trainings.weights(whole))
    return whole


@pytest.mark.parametrize("kind", KINDS)
def test_any_optimizer_resumes_bit_for_bit(kind: str, tmp_path: Path) -> None:
    """Show it with layers of several rates, a momentum that changes, and a warm-up."""
    wish = {
        "layers": MULTIPLIED,
        "optimizer": kind,
        "schedule": {"kind": "one_cycle", "warmup": 2},
        "epochs": 5 if kind == "gradient_descent" else 2,
    }

    assert_resumes(3, tmp_path, **wish)


@pytest.mark.parametrize("step", [2, 5, 6, 9])
def test_a_performance_schedule_resumes_bit_for_bit(step: int, tmp_path: Path) -> None:
    schedule = {
        "kind": "performance",
        "monitor": "train_accuracy",
        "patience": 1,
        "reduction_factor": 0.5,
        "minimum_change": 0.2,
    }

    whole = assert_resumes(
        step, tmp_path, schedule=schedule, evaluate_every={"steps": 2}
    )

    assert 0 < whole.pacing.plateau.factor < 0.5


def test_the_learning_rate_follows_the_evaluations() -> None:
    schedule = {
        "kind": "performance",
        "monitor": "train_loss",
        "patience": 2,
        "minimum_change": 100.0,  # after the first nothing is an improvement
        "reduction_factor": 0.5,
    }
    made = training(schedule=schedule, evaluate_every={"steps": 1}, epochs=1)

    reports = trainings.trained(made)

    rates = [r.value for r in trainings.history(reports) if r.name == "learning_rate"]
    assert rates == pytest.approx([0.01, 0.01, 0.005, 0.005, 0.0025])


@pytest.mark.parametrize(
    ("optimizer", "field"), [("nesterov", "momentum"), ("adam", "betas")]
)
def test_the_momentum_goes_against_the_rate(optimizer: str, field: str) -> None:
    made = training(
        optimizer=optimizer,
        schedule={"kind": "one_cycle", "rising": 0.4, "annealing": "linear"},
        epochs=2,
    )

    found = []
    for _ in fit(made, pause_seconds=0):
        value = made.descent.optimizer.param_groups[0][field]
        found.append(value if field == "momentum" else value[0])

    # 10 steps: down to 0.85 at the fourth, back to 0.95 at the tenth
    expected = [0.95, 0.95 - 0.1 / 3, 0.95 - 0.2 / 3, 0.85]
    assert found[:4] == pytest.approx(expected)
    assert found[9] == pytest.approx(0.95)


def test_a_multiplier_scales_the_step_of_its_layer_alone() -> None:
    plain = [layer | {"learning_rate_multiplier": 1.0} for layer in MULTIPLIED]
    start = trainings.weights(training(plain, optimizer="sgd"))
    alike = trainings.weights(taken(1, training(plain, optimizer="sgd")))

    scaled = trainings.weights(taken(1, training(MULTIPLIED, optimizer="sgd")))

    name = "layers.hidden1.weight"
    torch.testing.assert_close(
        scaled[name] - start[name], 0.25 * (alike[name] - start[name])
    )
    assert not torch.equal(scaled[name], start[name])
    rest = [other for other in alike if not other.startswith("layers.hidden1")]
    trainings.assert_same({n: scaled[n] for n in rest}, {n: alike[n] for n in rest})


def test_layers_of_one_rate_are_one_group() -> None:
    assert len(training(optimizer="adam").descent.optimizer.param_groups) == 1


def test_a_rule_that_asks_for_roles_is_told_them() -> None:
    made = training(
        [
            {"kind": "conv2d", "filters": 2, "kernel_size": 3},
            {"kind": "dense", "units": 4},
        ],
        optimizer="muon",
    )

    groups = made.descent.optimizer.param_groups
    shapes = {g[ROLE]: [tuple(p.shape) for p in g["params"]] for g in groups}

    assert shapes["hidden"] == [(4, 32)]
    assert shapes["weight"] == [(2, 1, 3, 3), (3, 4)]
    assert all(len(shape) == 1 for shape in shapes["vector"])
    assert {group[MULTIPLIER] for group in groups} == {1.0}


def test_a_table_that_is_looked_up_in_is_no_hidden_matrix() -> None:
    layers = [
        {"kind": "embedding", "name": "words", "vocabulary_size": 9, "units": 4},
        {"kind": "lstm", "name": "reader", "units": 3},
    ]
    spec = filled(NetworkSpec.model_validate({"layers": layers}), 2)

    groups = parameter_groups(Network(spec, (5,)), Muon(), {})

    shapes = {g[ROLE]: [tuple(p.shape) for p in g["params"]] for g in groups}
    assert shapes["hidden"] == [(12, 4), (12, 3)]
    assert shapes["weight"] == [(9, 4), (2, 3)]


def full(batch_size: int, **fields: Any) -> Training:
    """Return a training by gradient descent over all rows."""
    return training(
        STILL, PLAIN, optimizer="gradient_descent", batch_size=batch_size, **fields
    )


@pytest.mark.parametrize("batch_size", [1, 5, 8, 35, 36, 1000])
def test_a_step_of_gradient_descent_is_over_all_rows(batch_size: int) -> None:
    whole = training(
        STILL, PLAIN, optimizer={"kind": "sgd", "learning_rate": 0.1}, batch_size=36
    )

    made = full(batch_size)
    found = trainings.history(trainings.trained(made))

    assert (made.steps_per_epoch, made.steps, made.step) == (1, 3, 3)
    expected = trainings.history(trainings.trained(whole))
    assert [(r.step, r.name) for r in found] == [(r.step, r.name) for r in expected]
    assert [r.value for r in found] == pytest.approx(
        [r.value for r in expected], rel=1e-4
    )


def test_an_epoch_of_gradient_descent_is_a_step_of_its_schedule() -> None:
    made = full(8, schedule={"kind": "exponential", "decay_steps": {"epochs": 1}})

    reports = trainings.trained(made)

    rates = [r.value for r in trainings.history(reports) if r.name == "learning_rate"]
    assert rates == pytest.approx([0.01, 0.001, 0.0001])


def test_batch_normalisation_takes_a_left_over_row_with_the_rows_before_it() -> None:
    made = training(STILL, optimizer="gradient_descent", batch_size=7)  # 36 = 5 x 7 + 1

    trainings.trained(made)

    assert made.rows == 36
    assert made.final["train_loss"] < 2


def recipe(**fields: Any) -> dict[str, Any]:
    """Return a job with a recipe."""
    return job(training=fields)


def test_the_estimate_has_room_for_all_rows_of_a_full_batch() -> None:
    full, parts = (
        resolved(recipe(optimizer=kind)).estimate
        for kind in ("gradient_descent", "sgd")
    )

    assert full.data_bytes - parts.data_bytes == 4 * full.training_rows * 28 * 28
    assert full.activation_bytes == parts.activation_bytes


def test_a_cycle_is_as_long_as_the_training_less_its_warm_up() -> None:
    schedule = {"kind": "one_cycle", "warmup": {"epochs": 2}}

    found = resolved(recipe(epochs=20, schedule=schedule)).spec.training.schedule

    assert found.model_dump(exclude_none=True)["cycle_steps"] == {"epochs": 18.0}
    assert found.model_dump(exclude_none=True)["warmup_factor"] == 0.1


@pytest.mark.parametrize(
    ("layers", "kept"), [([{"kind": "dense", "units": 5}], True), ([], False)]
)
def test_ftrl_starts_deep_networks_from_their_initial_weights(
    layers: Any, kept: bool
) -> None:
    wish = recipe(optimizer="ftrl") | {"network": {"layers": layers}}

    found = resolved(wish).spec.training.optimizer

    assert found.model_dump()["keep_initial_weights"] is kept


def test_a_schedule_that_watches_an_unknown_metric_is_refused() -> None:
    schedule = {"kind": "performance", "monitor": "validation_acuracy"}

    with pytest.raises(InvalidSpec, match="not measured") as refused:
        resolved(recipe(schedule=schedule))

    (problem,) = refused.value.problems
    assert problem.pointer == "/training/schedule/monitor"
    assert problem.suggestion == "validation_accuracy"


def test_a_multiplier_of_zero_is_refused_with_the_advice_to_freeze() -> None:
    layers = [{"kind": "dense", "units": 5, "learning_rate_multiplier": 0}]

    with pytest.raises(ValueError, match="freeze it instead"):
        resolved(job(network={"layers": layers}))


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"schedule": {"kind": "performance", "patience": 10}}, "never be reduced"),
        ({"schedule": "range_test"}, "a range test trains nothing"),
        (
            {"schedule": {"kind": "none", "warmup": {"epochs": 5}}, "epochs": 5},
            "as long as the training",
        ),
    ],
)
def test_a_pace_that_is_odd_is_worth_a_word(fields: Any, match: str) -> None:
    assert any(match in warning for warning in resolved(recipe(**fields)).warnings)


def test_without_validation_rows_the_schedule_watches_the_training_loss() -> None:
    wish = recipe(schedule="performance") | {
        "dataset": {"id": "digits", "split": {"validation": "none"}}
    }

    found = resolved(wish)

    schedule = found.spec.training.schedule.model_dump()
    assert schedule["monitor"] == "train_loss"
    assert any("watches train_loss" in warning for warning in found.warnings)
