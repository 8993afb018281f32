"""Averages of weights: their numbers, who sees them, and what stays out of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer import trainings
from tests.trainer.trainings import CONVOLUTIONAL, DENSE, pictures, spec
from trainer.spec.training import Training as Recipe
from trainer.training.averaging import Averages
from trainer.training.loop import fit

EMA = {"kind": "exponential_moving_average", "decay": 0.9}
SWA = {"kind": "stochastic_weight_averaging", "start": 10, "every": 5}
EACH = pytest.mark.parametrize("wish", [EMA, SWA], ids=["ema", "swa"])


def averaged(wish: dict[str, Any], values: list[float]) -> tuple[Averages, Tensor]:
    """Return the averages after one weight has had these values, one a step."""
    weight = torch.zeros(1)
    recipe = Recipe.model_validate({"averaging": wish, "epochs": 8})
    averages = Averages(recipe, {"w": weight}, 2, lambda: None)
    for step, value in enumerate(values, 1):
        weight.fill_(value)
        averages.update(step)
    return averages, weight


def test_an_exponential_average_follows_its_formula() -> None:
    averages, weight = averaged(EMA, [1.0, 2.0, 4.0])

    averages.settle()

    # decays min(0.9, (1 + t) / (10 + t)): 2 / 11 at t = 1, 3 / 12 at t = 2
    second = 2 / 11 * 1.0 + 9 / 11 * 2.0
    assert weight.item() == pytest.approx(0.25 * second + 0.75 * 4.0)


def test_an_exponential_average_reaches_the_decay_asked_for() -> None:
    values = [float(n) for n in range(200)]
    averages, weight = averaged({**EMA, "decay": 0.5}, values)

    averages.settle()

    # Σ 0.5^k 0.5 (199 - k) is 199 - 1, the first steps long forgotten
    assert weight.item() == pytest.approx(198.0)


def test_an_average_may_begin_later() -> None:
    averages, weight = averaged({**EMA, "start": {"epochs": 1}}, [7.0, 1.0, 2.0])

    averages.settle()

    # two steps an epoch: the first weight taken is that after the second step
    assert weight.item() == pytest.approx(2 / 11 * 1.0 + 9 / 11 * 2.0)


def test_the_stochastic_average_is_the_plain_mean_of_every_so_many() -> None:
    wish = {**SWA, "start": 2, "every": 3}
    averages, weight = averaged(wish, [9.0, 1.0, 9, 9, 2.0, 9, 9, 6.0, 9])

    averages.settle()

    assert averages.taken == 3
    assert weight.item() == pytest.approx((1 + 2 + 6) / 3)


def test_the_stochastic_average_begins_after_three_quarters_of_the_epochs() -> None:
    plain = {"kind": "stochastic_weight_averaging"}
    averages, weight = averaged(plain, [float(n) for n in range(1, 17)])

    averages.settle()

    # 8 epochs of 2 steps: after the 6th, 7th and 8th epoch, steps 12, 14 and 16
    assert weight.item() == pytest.approx(14.0)


def test_averages_are_in_the_network_for_a_look_only() -> None:
    averages, weight = averaged(EMA, [1.0, 3.0])

    with averages.shown():
        looked = weight.item()

    assert looked == pytest.approx(2 / 11 * 1.0 + 9 / 11 * 3.0)
    assert weight.item() == 3.0


def test_counters_are_taken_as_they_are() -> None:
    counter = torch.tensor(0)
    recipe = Recipe.model_validate({"averaging": EMA})
    averages = Averages(recipe, {"n": counter}, 1, lambda: None)
    for step in range(1, 8):
        counter.add_(1)
        averages.update(step)
    counter.zero_()

    averages.settle()

    assert counter.item() == 7


@EACH
def test_training_itself_does_not_see_the_averages(wish: dict[str, Any]) -> None:
    losses = [
        [
            row.value
            for row in trainings.history(
                trainings.trained(
                    trainings.build(spec(DENSE, averaging=w), pictures()).training
                )
            )
            if row.name == "train_loss"
        ]
        for w in (wish, "none")
    ]

    assert losses[0] == losses[1]


@EACH
def test_the_model_is_the_average(wish: dict[str, Any]) -> None:
    layers = [{**layer, "normalization": "none"} for layer in DENSE]
    training = trainings.build(spec(layers, averaging=wish), pictures()).training
    seen = [
        trainings.weights(training)
        for report in fit(training, pause_seconds=0)
        if not report.done
    ]

    found = trainings.weights(training)

    name = "layers.hidden1.weight"
    values = [state[name].double() for state in seen]
    if wish is SWA:
        expected = (values[9] + values[14]) / 2
    else:
        expected = values[0]
        for t, value in enumerate(values[1:], 1):
            decay = min(0.9, (1 + t) / (10 + t))
            expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(found[name].double(), expected, rtol=1e-5, atol=1e-6)


def test_early_stopping_keeps_the_best_average() -> None:
    training = trainings.build(
        spec(DENSE, averaging=EMA, epochs=6, early_stopping={"patience": 2}),
        pictures(),
    ).training
    validation = training.material.validation
    assert validation is not None

    rows = trainings.history(trainings.trained(training))

    losses = [row.value for row in rows if row.name == "validation_loss"]
    again = training.measured("validation", validation)
    assert again["validation_loss"] == pytest.approx(min(losses), rel=1e-6)


def test_the_average_of_batch_norms_statistics_is_taken_anew_from_the_rows() -> None:
    training = trainings.build(
        spec(DENSE, averaging={**SWA, "start": 3, "every": 2}), pictures()
    ).training
    trainings.trained(training)

    first: Any = training.network.layers["hidden1"]
    x = training.material.train.values()["input"][:].flatten(1)
    with torch.no_grad():
        sums = x @ first.weight.T + first.bias

    torch.testing.assert_close(first.normalization.running_mean, sums.mean(0))
    torch.testing.assert_close(first.normalization.running_var, sums.var(0))


def test_measuring_statistics_anew_leaves_the_training_as_it_was() -> None:
    wish = {**SWA, "start": 3, "every": 2}
    training = trainings.build(spec(CONVOLUTIONAL, averaging=wish), pictures()).training
    steps = fit(training, pause_seconds=0)
    for report in steps:
        if report.step == 4:
            break
    before, state = trainings.weights(training), torch.get_rng_state()

    with training.averages.shown():
        during = trainings.weights(training)

    trainings.assert_same(trainings.weights(training), before)
    assert torch.equal(torch.get_rng_state(), state)
    moved = "layers.conv1.normalization.running_mean"
    assert not torch.equal(during[moved], before[moved])


@EACH
def test_frozen_tensors_are_in_no_average(wish: dict[str, Any], tmp_path: Path) -> None:
    source = trainings.model(tmp_path / "m", spec(DENSE, epochs=1), pictures())
    reuse = [{"from": "source", "layers": "hidden1", "freeze": "hidden1"}]
    built = trainings.build(
        spec(DENSE, reuse=reuse, averaging=wish), pictures(), sources=[source]
    )
    before = built.frozen.hashes()

    trainings.trained(built.training)

    tensors, _ = built.training.averages.state()
    assert built.frozen.hashes() == before
    assert not [name for name in tensors if name.startswith("hidden1.")]
    assert "hidden2.weight" in tensors


def test_a_checkpoint_from_before_there_were_averages_is_read() -> None:
    training = trainings.build(spec(DENSE), pictures()).training
    next(iter(fit(training, pause_seconds=0)))
    snapshot = training.snapshot()
    memories = dict(snapshot.state["memories"])
    del memories["averages"]
    state = {**snapshot.state, "memories": memories}
    older = type(snapshot)(**{**vars(snapshot), "state": state})

    again = trainings.build(spec(DENSE), pictures()).training
    again.restore(older)

    trainings.assert_same(trainings.weights(again), trainings.weights(training))
