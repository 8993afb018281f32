"""The loop: what it trains, what it tells, when it stops."""

from typing import Any

import pytest
import torch

from tests.trainer import trainings
from tests.trainer.trainings import DENSE, history, numbers, pictures, spec, trained
from trainer.data.examples import order
from trainer.errors import Diverged, TooFewRows
from trainer.spec.training import Training as Recipe
from trainer.training import Row
from trainer.training.batches import rows_per_epoch
from trainer.training.loop import fit

CPU = torch.device("cpu")
PLAIN = {"normalization": "none", "dropout": 0.0}


def figures(rows: list[Row], name: str) -> list[float]:
    """Return the values of one metric in order."""
    return [row.value for row in rows if row.name == name]


def test_the_same_seed_gives_the_same_bits() -> None:
    first = trainings.build(spec(DENSE), pictures()).training
    told = history(trained(first))
    second = trainings.build(spec(DENSE), pictures()).training

    assert history(trained(second)) == told
    trainings.assert_same(trainings.weights(second), trainings.weights(first))


def test_another_seed_gives_another_history() -> None:
    told = [
        history(trained(trainings.build(spec(DENSE, seed=seed), pictures()).training))
        for seed in (1, 2)
    ]

    assert told[0] != told[1]


def test_an_epoch_visits_every_row_once_in_an_order_of_its_own() -> None:
    first, second = order(3, 1, 50, CPU), order(3, 2, 50, CPU)

    assert sorted(first.tolist()) == list(range(50))
    assert first.tolist() != second.tolist()
    assert first.tolist() == order(3, 1, 50, CPU).tolist()


def test_figures_are_told_once_per_epoch_and_the_test_once_at_the_end() -> None:
    training = trainings.build(spec(DENSE), pictures()).training
    reports = trained(training)
    rows = history(reports)

    names = {row.name for row in rows if row.epoch == 2}
    assert names == {
        "train_loss",
        "train_accuracy",
        "validation_loss",
        "validation_accuracy",
        "learning_rate",
    }
    assert [r.epoch for r in rows if r.name == "train_loss"] == [1, 2, 3]
    tested = [row for row in rows if row.name.startswith("test_")]
    assert {(row.name, row.step, row.epoch) for row in tested} == {
        ("test_loss", 15, 3),
        ("test_accuracy", 15, 3),
    }
    assert [report.done for report in reports] == [False] * 15 + [True]


def test_a_regression_is_measured_by_its_own_metrics() -> None:
    what = spec([], dataset={"target": "y", "task": "regression"})
    what["training"] |= {
        "epochs": 60,
        "optimizer": {"kind": "sgd", "learning_rate": 0.05},
    }

    training = trainings.build(what, numbers(200)).training
    trained(training)

    assert training.final.keys() >= {
        "train_r2",
        "validation_mean_squared_error",
        "validation_mean_absolute_error",
        "test_r2",
    }
    assert training.final["test_r2"] > 0.95


def test_an_autoencoder_learns_to_give_back_its_input() -> None:
    layers = [{"kind": "dense", "units": 4}]
    what = spec(layers, dataset={"task": "reconstruction"}, epochs=40)
    what["dataset"]["features"] = ["image"]

    training = trainings.build(what, pictures(100)).training
    losses = figures(history(trained(training)), "train_loss")

    assert losses[-1] < losses[0] / 2


def test_the_training_loss_is_the_mean_over_the_rows_of_the_epoch() -> None:
    what = spec([], batch_size=7, epochs=1, optimizer={"kind": "sgd"})
    what["training"]["optimizer"]["learning_rate"] = 1e-12  # stands still

    training = trainings.build(what, pictures()).training
    rows = history(trained(training))
    found = training.measured("train", training.material.train)

    assert figures(rows, "train_loss") == pytest.approx([found["train_loss"]])
    assert figures(rows, "train_accuracy") == [found["train_accuracy"]]


def test_the_learning_rate_follows_its_schedule_step_by_step() -> None:
    schedule = {"kind": "exponential", "decay_steps": 10, "decay_rate": 0.1}
    what = spec(DENSE, schedule=schedule, optimizer={"kind": "sgd"}, epochs=2)

    rows = history(trained(trainings.build(what, pictures()).training))

    # five steps per epoch: after them the next step's rate is 0.01 x 0.1^(5/10)
    assert figures(rows, "learning_rate") == pytest.approx([0.01 * 0.1**0.5, 0.001])


def test_training_stops_when_patience_runs_out_and_the_best_weights_come_back() -> None:
    what = spec(
        DENSE,
        epochs=200,
        early_stopping={"patience": 3, "monitor": "validation_loss"},
        optimizer={"kind": "sgd", "learning_rate": 0.5},
    )
    training = trainings.build(what, pictures()).training

    rows = history(trained(training))
    losses = figures(rows, "validation_loss")
    best = min(range(len(losses)), key=losses.__getitem__)

    assert len(losses) < 200
    assert len(losses) == best + 1 + 3
    assert training.stopping.best.epoch == best + 1
    assert training.final["validation_loss"] == losses[best]
    validation = training.material.validation
    assert validation is not None
    again = training.measured("validation", validation)
    assert again["validation_loss"] == losses[best]


def test_without_early_stopping_the_last_weights_count() -> None:
    training = trainings.build(spec(DENSE), pictures()).training
    rows = history(trained(training))

    assert training.final["validation_loss"] == figures(rows, "validation_loss")[-1]


@pytest.mark.parametrize(
    ("every", "steps"),
    [
        ({"steps": 4}, [4, 8, 12, 15]),
        ({"epochs": 2}, [10, 15]),
        ({"epochs": 1}, [5, 10, 15]),
    ],
)
def test_evaluations_come_when_they_are_asked_for_and_at_the_end(
    every: dict[str, int], steps: list[int]
) -> None:
    what = spec(DENSE, evaluate_every=every)

    rows = history(trained(trainings.build(what, pictures()).training))

    assert [row.step for row in rows if row.name == "validation_loss"] == steps


def test_a_loss_that_leaves_the_numbers_ends_the_training() -> None:
    what = spec([], optimizer={"kind": "sgd", "learning_rate": 1e6})
    what["dataset"] |= {"target": "y", "task": "regression"}

    with pytest.raises(Diverged, match="lower the learning rate or clip") as caught:
        trained(trainings.build(what, numbers()).training)

    assert caught.value.reason == "diverged"


def test_a_last_row_alone_is_left_out_where_batches_are_normalised() -> None:
    # 36 training rows in batches of 7: the sixth batch would have one row
    normalised = trainings.build(spec(DENSE, batch_size=7), pictures()).training
    plain = trainings.build(
        spec(DENSE, batch_size=7, defaults=PLAIN), pictures()
    ).training

    assert (normalised.rows, normalised.steps_per_epoch) == (35, 5)
    assert (plain.rows, plain.steps_per_epoch) == (36, 6)


def test_a_single_row_cannot_be_normalised() -> None:
    with pytest.raises(TooFewRows, match="at least two rows"):
        rows_per_epoch(torch.nn.BatchNorm1d(3), 1, Recipe())


def test_the_first_step_is_told_at_once_and_later_ones_rarely() -> None:
    what = spec(DENSE, epochs=20, evaluate_every={"epochs": 20})
    training = trainings.build(what, pictures()).training

    steps = [report.step for report in fit(training, pause_seconds=3600)]

    assert steps == [1, 100, 100]  # the first, the evaluation, the test


def test_an_interruption_is_seen_after_the_step_that_runs() -> None:
    training = trainings.build(spec(DENSE), pictures()).training
    asked: list[bool] = []
    reports = fit(training, pause_seconds=3600, interrupted=lambda: bool(asked))
    next(reports)

    asked.append(True)

    assert next(reports).step == 2


def test_evaluating_changes_neither_weights_nor_chance() -> None:
    training = trainings.build(spec(DENSE), pictures()).training
    next(iter(fit(training)))
    before, chance = trainings.weights(training), torch.get_rng_state()

    training.measured("train", training.material.train)

    trainings.assert_same(trainings.weights(training), before)
    assert torch.equal(torch.get_rng_state(), chance)


@pytest.mark.parametrize("micro_batch", [3, 8, 100])
def test_parts_of_a_batch_train_as_the_whole_where_nothing_depends_on_the_batch(
    micro_batch: int,
) -> None:
    what = spec(DENSE, defaults=PLAIN)
    what["network"]["layers"] = [layer | {"dropout": 0.0} for layer in DENSE]
    data = pictures()
    whole = trainings.build(what, data).training
    told = history(trained(whole))

    parted = trainings.build(what, data, micro_batch=micro_batch).training
    also = history(trained(parted))

    assert [row.name for row in also] == [row.name for row in told]
    expected = [row.value for row in told]
    assert [row.value for row in also] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_frozen_layers_neither_move_nor_drop_nor_count_statistics(
    tmp_path: Any,
) -> None:
    source = trainings.model(tmp_path / "source", spec(DENSE), pictures(seed=9))
    reuse = [{"from": "source", "layers": "hidden.*", "freeze": "hidden2"}]
    training = trainings.build(
        spec(DENSE, reuse=reuse), pictures(), sources=[source]
    ).training
    before = {n: t.clone() for n, t in training.frozen.tensors().items()}

    trained(training)

    trainings.assert_same(training.frozen.tensors(), before)
    assert not training.network.layers["hidden2"].training
