"""Zeros in place of small weights: which, how many, when, and what stays as it is."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from tests.trainer import trainings
from tests.trainer.networks import DENSE, network
from tests.trainer.spec_samples import job, resolved
from tests.trainer.trainings import history, pictures, spec, trained, weights
from trainer.saved.model_folder import read
from trainer.spec.errors import InvalidSpec
from trainer.spec.pruning import Gradual, Magnitude, Pruning
from trainer.spec.schedules.lengths import Epochs
from trainer.spec.training import Training
from trainer.training.loop import fit
from trainer.training.pruning import Pruner, zero_fraction, zero_fractions

STEPS = 5
"""Optimizer steps in an epoch of the pictures at batch size 8, validation held back."""


def zeros(values: torch.Tensor) -> float:
    return float((values == 0).double().mean())


def pruned(wish: Any, net: Any = None) -> Any:
    net = network(DENSE) if net is None else net
    Pruner(Training(pruning=wish), net, STEPS).prune(wish)
    return net


@pytest.mark.parametrize(
    ("step", "share"),
    [
        (0, 0.1),
        (50, 0.9 - 0.8 * 0.75**3),
        (100, 0.9 - 0.8 * 0.5**3),
        (200, 0.9),
        (1000, 0.9),
    ],
)
def test_the_schedule_is_the_cubic_of_its_paper(step: int, share: float):
    wish = Gradual(initial_sparsity=0.1, final_sparsity=0.9)

    assert wish.share(step / 200) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize(
    ("fields", "span"),
    [
        ({}, (0, 500, 100)),
        ({"begin": 20, "end": 60, "every": 10}, (20, 60, 10)),
        ({"begin": Epochs(epochs=1), "end": Epochs(epochs=3)}, (100, 300, 100)),
        ({"end": 5000}, (0, 1000, 100)),
    ],
)
def test_the_schedule_counts_in_steps_and_ends_with_training(fields: Any, span: Any):
    assert Gradual(**fields).span(steps_per_epoch=100, epochs=10) == span


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.9])
def test_the_smallest_weights_of_each_layer_become_zero(sparsity: float):
    before = network(DENSE)
    net = pruned(Magnitude(sparsity=sparsity, scope="layer"))

    for each in net.described():
        old = before.layers[each.layer].state_dict()[each.name]
        if not each.weighs:
            assert torch.equal(each.parameter, old)
            continue
        gone = each.parameter == 0
        assert gone.sum().item() == round(sparsity * gone.numel())
        assert torch.equal(each.parameter[~gone], old[~gone])
        largest_gone = old[gone].abs().max().item() if gone.any() else 0.0
        assert largest_gone <= old[~gone].abs().min().item()


def test_global_pruning_takes_more_from_layers_of_small_weights():
    net = network(DENSE)
    with torch.no_grad():
        net.layers.get_parameter("hidden2.weight").mul_(0.01)

    found = zero_fractions(pruned(Magnitude(sparsity=0.3, scope="global"), net))

    assert found["hidden2"] == pytest.approx(1.0)
    assert zero_fraction(net) == pytest.approx(0.3, abs=0.001)


def test_a_threshold_takes_what_is_smaller():
    before = network(DENSE)

    net = pruned(Magnitude(threshold=0.1))

    weight, old = (n.layers.get_parameter("hidden1.weight") for n in (net, before))
    assert torch.equal(weight == 0, old.abs() < 0.1)
    assert 0 < zeros(weight) < 1


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"kind": "magnitude", "sparsity": 0.5, "threshold": 0.1}, "not both"),
        (
            {"kind": "gradual", "initial_sparsity": 0.9, "final_sparsity": 0.5},
            "what is 0 stays 0",
        ),
    ],
)
def test_a_wish_that_contradicts_itself_is_refused(given: Any, why: str):
    with pytest.raises(ValidationError, match=why):
        TypeAdapter(Pruning).validate_python(given)


@pytest.mark.parametrize(
    ("pruning", "place"),
    [
        ({"kind": "gradual", "end": {"epochs": 200}}, "end"),
        ({"kind": "gradual", "begin": {"epochs": 100}}, "begin"),
        ({"kind": "gradual", "begin": 50, "end": 10}, "end"),
    ],
)
def test_a_schedule_that_training_does_not_reach_is_refused(pruning: Any, place: str):
    with pytest.raises(InvalidSpec) as refused:
        resolved(job(training={"pruning": pruning}))

    (problem,) = refused.value.problems
    assert problem.pointer == f"/training/pruning/{place}"


GRADUAL = {
    "kind": "gradual",
    "final_sparsity": 0.75,
    "begin": 2,
    "end": {"epochs": 2},
    "every": 3,
}


def test_what_is_pruned_stays_zero_and_the_rest_goes_on_learning():
    training = trainings.build(spec(pruning=GRADUAL), pictures()).training
    held: list[torch.Tensor] = []
    values: list[torch.Tensor] = []

    for _ in fit(training, pause_seconds=0):
        weight = weights(training)["layers.hidden1.weight"]
        held.append(weight == 0)
        values.append(weight)

    assert all((~now[before]).sum() == 0 for before, now in pairwise(held))
    assert zeros(values[0]) == 0.0
    assert zeros(values[-1]) == pytest.approx(0.75, abs=0.01)
    end = 2 * training.steps_per_epoch
    assert zeros(values[end]) == zeros(values[-1])
    assert not torch.equal(values[end], values[-1])


def test_every_layer_reaches_the_final_share_and_biases_keep_theirs():
    training = trainings.build(spec(pruning=GRADUAL), pictures()).training

    trained(training)

    shares = zero_fractions(training.network)
    assert list(shares) == ["hidden1", "hidden2", "output"]
    assert all(abs(share - 0.75) < 0.04 for share in shares.values())
    assert training.final["zero_fraction"] == zero_fraction(training.network)


def test_the_share_of_zeros_is_in_the_history():
    training = trainings.build(spec(pruning=GRADUAL), pictures()).training

    rows = history(trained(training))

    found = [row.value for row in rows if row.name == "zero_fraction"]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(0.75, abs=0.01)


def test_pruning_at_each_step_learns_the_same_where_nothing_is_pruned():
    nothing = {"kind": "gradual", "final_sparsity": 0.0}
    plain = trainings.build(spec(), pictures()).training
    expected = history(trained(plain))
    pruning = trainings.build(spec(pruning=nothing), pictures()).training

    found = history(trained(pruning))
    assert [row for row in found if row.name != "zero_fraction"] == expected
    trainings.assert_same(weights(plain), weights(pruning))


def test_the_best_weights_have_the_final_share_of_zeros():
    stopping = {"monitor": "validation_loss", "patience": 1}
    what = spec(pruning=GRADUAL, epochs=6, early_stopping=stopping)
    training = trainings.build(what, pictures()).training

    trained(training)

    assert training.stopping.best.step >= 2 * training.steps_per_epoch
    assert training.final["zero_fraction"] == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize(
    "averaging", ["exponential_moving_average", "stochastic_weight_averaging"]
)
def test_averaged_weights_have_the_final_share_of_zeros(averaging: str):
    what = spec(pruning=GRADUAL, averaging=averaging)
    training = trainings.build(what, pictures()).training

    trained(training)

    assert training.final["zero_fraction"] == pytest.approx(0.75, abs=0.01)


def test_frozen_layers_are_never_pruned(tmp_path: Path):
    source = trainings.model(tmp_path / "source", spec(), pictures())
    entry = {"from": "mdl_source", "layers": "hidden1", "freeze": "hidden1"}
    what = spec(reuse=[entry], pruning=GRADUAL | {"scope": "global"})
    found = trainings.build(what, pictures(), sources=[source])
    before = found.frozen.hashes()

    trained(found.training)

    assert found.frozen.hashes() == before
    shares = zero_fractions(found.network)
    assert shares["hidden1"] == 0.0
    assert shares["hidden2"] > 0.5


@pytest.mark.parametrize("step", [1, 5, 8])
def test_a_run_that_was_stopped_holds_the_same_weights(step: int):
    what = spec(pruning=GRADUAL)
    whole = trainings.build(what, pictures()).training
    trained(whole)
    stopped = trainings.build(what, pictures()).training
    for report in fit(stopped, pause_seconds=0):
        if report.step == step:
            break
    snapshot = stopped.snapshot()

    resumed = trainings.build(what, pictures()).training
    resumed.restore(snapshot)
    trained(resumed)

    trainings.assert_same(weights(resumed), weights(whole))
    assert resumed.final == whole.final


def test_pruning_after_training_is_measured_again():
    stopping = {"monitor": "validation_loss", "patience": 5}
    pruning = {"kind": "magnitude", "sparsity": 0.9}
    plain = trainings.build(spec(early_stopping=stopping), pictures()).training
    trained(plain)
    what = spec(early_stopping=stopping, pruning=pruning)
    training = trainings.build(what, pictures()).training

    trained(training)

    before, after = plain.final["validation_loss"], training.final["validation_loss"]
    assert training.final["validation_loss_before_pruning"] == before
    assert after != before
    rows = training.material.validation
    assert rows is not None
    assert after == training.measured("validation", rows)["validation_loss"]
    assert training.final["test_loss"] != plain.final["test_loss"]
    assert training.final["zero_fraction"] == pytest.approx(0.9, abs=0.01)


def test_statistics_of_unpruned_sums_are_measured_anew_unless_told_otherwise():
    pruning = {"kind": "magnitude", "sparsity": 0.9}
    name = "layers.hidden1.normalization.running_var"
    anew = trainings.build(spec(pruning=pruning), pictures()).training
    trained(anew)
    stale = pruning | {"recompute_statistics": False}
    kept = trainings.build(spec(pruning=stale), pictures()).training
    trained(kept)

    trainings.assert_same(
        {n: w for n, w in weights(anew).items() if n.endswith("weight")},
        {n: w for n, w in weights(kept).items() if n.endswith("weight")},
    )
    assert not torch.equal(weights(anew)[name], weights(kept)[name])


SPARSE = {
    "kind": "ftrl",
    "learning_rate": 0.05,
    "l1": 0.05,
    "keep_initial_weights": False,
}


def test_ftrl_with_l1_makes_zeros_that_are_reported_for_each_layer(tmp_path: Path):
    what = spec(optimizer=SPARSE, epochs=6)

    folder = trainings.model(tmp_path / "model", what, pictures())

    described = read(folder).description
    shares = {each["name"]: each["zero_fraction"] for each in described["layers"]}
    assert shares["hidden1"] > 0.2
    assert described["metrics"]["zero_fraction"] > 0.2


def test_a_layer_without_weights_has_no_share(tmp_path: Path):
    layers: list[dict[str, Any]] = [
        {"kind": "flatten", "name": "flat"},
        {"kind": "dense", "units": 3},
    ]

    folder = trainings.model(tmp_path / "model", spec(layers), pictures())

    flat, dense, _ = read(folder).description["layers"]
    assert flat["zero_fraction"] is None
    assert dense["zero_fraction"] == 0.0
