"""Penalties on what layers give: their numbers, their gradients, their memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.spec_samples import DIGITS, job, resolved
from tests.trainer.trainings import (
    assert_same,
    build,
    history,
    numbers,
    spec,
    trained,
    weights,
)
from trainer.spec.activity import L1, ActivityRegularization, KlDivergence
from trainer.spec.base import variants
from trainer.spec.errors import InvalidSpec
from trainer.training.activity import Activity, undone
from trainer.training.loop import fit

REBUILT = {"task": "reconstruction", "features": ["x0", "x1", "x2"]}
QUICK = {"epochs": 20, "optimizer": {"kind": "adam", "learning_rate": 0.03}}
every_penalty = pytest.mark.parametrize(
    "wish", [{"kind": "l1", "coefficient": 0.05}, {"kind": "kl_divergence"}]
)


def sparse(wish: Any, **fields: Any) -> dict[str, Any]:
    """Return an autoencoder whose code of five sigmoid units has a penalty."""
    code = {"kind": "dense", "name": "code", "units": 5, "activation": "sigmoid"}
    calm = {"normalization": "none", "dropout": 0.0}
    layers = [{**code, **calm, "activity_regularization": wish, **fields}]
    return spec(layers, dataset=REBUILT, epochs=3)


def named(reports: Any, name: str) -> list[float]:
    """Return one metric of a training, evaluation by evaluation."""
    return [row.value for row in history(reports) if row.name == name]


def test_l1_costs_the_size_of_an_examples_outputs() -> None:
    outputs = torch.tensor([[1.0, -2.0], [0.0, 3.0]])

    assert L1(coefficient=0.5).penalty(outputs).item() == pytest.approx(0.5 * 3)


def test_the_divergence_is_that_of_the_chapter() -> None:
    # Géron (2017), chapter 15: p log(p / q) + (1 - p) log((1 - p) / (1 - q)), p = 0.1
    outputs = torch.tensor([[0.4, 0.1], [0.6, 0.1]])

    found = KlDivergence(target=0.1, coefficient=0.2).penalty(outputs)

    # 0.1 log(0.1 / 0.5) + 0.9 log(0.9 / 0.5) = 0.36806, and 0 at the target
    assert found.item() == pytest.approx(0.2 * 0.368064, rel=1e-5)


@pytest.mark.parametrize("penalty", variants(ActivityRegularization))
def test_its_gradient_is_that_of_finite_differences(penalty: Any) -> None:
    draw = torch.Generator().manual_seed(1)
    outputs = 0.1 + 0.8 * torch.rand(6, 3, 2, generator=draw, dtype=torch.float64)

    assert torch.autograd.gradcheck(penalty().penalty, (outputs.requires_grad_(),))


def test_a_silent_unit_has_a_finite_divergence() -> None:
    outputs = torch.zeros(4, 2, requires_grad=True)

    KlDivergence().penalty(outputs).backward()

    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()


def test_the_metric_loss_is_that_without_the_penalty() -> None:
    reports = trained(build(sparse("kl_divergence"), numbers()).training)

    squares = named(reports, "train_mean_squared_error")
    assert named(reports, "train_loss") == pytest.approx(squares, rel=1e-6)
    assert all(value > 0 for value in named(reports, "train_activity_penalty"))


def test_no_penalty_has_no_metric() -> None:
    reports = trained(build(sparse("none"), numbers()).training)

    assert named(reports, "train_activity_penalty") == []


@every_penalty
def test_a_penalty_of_coefficient_zero_changes_no_bit(wish: Any) -> None:
    plain = build(sparse("none"), numbers()).training
    free = build(sparse({"kind": wish["kind"], "coefficient": 0.0}), numbers()).training

    trained(plain)
    trained(free)

    assert_same(weights(plain), weights(free))


def test_a_divergence_brings_the_mean_activity_to_its_target() -> None:
    what = sparse({"kind": "kl_divergence", "target": 0.1, "coefficient": 3.0})
    what["training"] |= QUICK | {"epochs": 40}
    assembly = build(what, numbers(rows=200))

    trained(assembly.training)

    code = _given(assembly.network, assembly.rows[:])
    assert code.mean().item() == pytest.approx(0.1, abs=0.03)


def test_l1_makes_outputs_smaller() -> None:
    specs = [sparse({"kind": "l1", "coefficient": cost}) for cost in (0.0, 1.0)]
    for what in specs:
        what["training"] |= QUICK
    plain, small = (build(what, numbers()) for what in specs)

    trained(plain.training)
    trained(small.training)

    before = _given(plain.network, plain.rows[:]).mean()
    assert _given(small.network, small.rows[:]).mean() < 0.8 * before


@every_penalty
def test_parts_of_a_batch_are_penalised_like_the_whole(wish: Any) -> None:
    whole = build(sparse(wish), numbers())
    parts = build(sparse(wish), numbers(), micro_batch=3)

    told = trained(whole.training), trained(parts.training)

    torch.testing.assert_close(
        weights(parts.training), weights(whole.training), atol=1e-6, rtol=1e-5
    )
    penalties = [named(reports, "train_activity_penalty") for reports in told]
    assert penalties[0] == pytest.approx(penalties[1], rel=1e-5)


def test_a_pass_that_is_undone_leaves_no_draw_and_no_statistic() -> None:
    noisy = sparse("none", normalization="batch", dropout=0.5)
    network = build(noisy, numbers()).network
    network.train()
    before = {n: t.clone() for n, t in network.state_dict().items()}
    drawn = torch.get_rng_state()

    with undone(network):
        network(torch.randn(8, 3))

    assert torch.equal(torch.get_rng_state(), drawn)
    assert_same(network.state_dict(), before)


@every_penalty
def test_a_stopped_training_goes_on_bit_for_bit(wish: Any) -> None:
    what, data = sparse(wish, dropout=0.2), numbers()
    straight = build(what, data).training
    whole = history(trained(straight))
    stopped = build(what, data).training
    for report in fit(stopped, pause_seconds=0):
        if report.step == 4:
            break
    snapshot = stopped.snapshot()

    resumed = build(what, data).training
    assert resumed.restore(snapshot)
    rest = history(trained(resumed))

    assert rest == [row for row in whole if row.step > 4]
    assert_same(weights(resumed), weights(straight))


def test_a_penalty_is_on_outputs_before_their_dropout() -> None:
    l1 = {"kind": "l1", "coefficient": 1.0}
    assembly = build(sparse(l1, dropout=0.9), numbers())
    assembly.training.awaken()
    activity = assembly.training.descent.activity

    with activity.watched() as seen:
        assembly.network(assembly.rows[:])

    assert (seen["code"][0] > 0).all()


def test_a_divergence_of_what_is_no_probability_is_refused() -> None:
    raw = job()
    raw["network"]["layers"][0]["activity_regularization"] = "kl_divergence"

    with pytest.raises(InvalidSpec) as refusal:
        resolved(raw, DIGITS)

    (problem,) = refusal.value.problems
    assert problem.pointer == "/network/layers/0/activity_regularization"
    assert "sigmoid" in str(problem.suggestion)


def test_a_frozen_layer_has_no_penalty() -> None:
    assembly = build(sparse("l1"), numbers())
    assembly.network.layers["code"].requires_grad_(requires_grad=False)

    assert not Activity(assembly.network)


def _given(network: Any, rows: Tensor) -> Tensor:
    """Return what the code gives for some rows."""
    with torch.inference_mode():
        found: Tensor = network.eval().layers["code"](rows)
    return found
