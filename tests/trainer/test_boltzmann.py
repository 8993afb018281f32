"""Restricted Boltzmann machines: the gradient, the likelihood, the chains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neural_network import BernoulliRBM
from torch import Tensor

from tests.trainer.machines import PERSISTENT, digits, machine, rows_of, stripes
from tests.trainer.trainings import (
    assert_same,
    build,
    carry_out,
    history,
    model,
    order,
    trained,
    weights,
)
from trainer.data.dataset import Dataset
from trainer.saved import checkpoint
from trainer.training.boltzmann import Machine
from trainer.training.loop import fit

every_rule = pytest.mark.parametrize(
    "loss",
    [{"kind": "contrastive_divergence", "steps": 2}, PERSISTENT],
    ids=["CD-2", "PCD"],
)


def learning(what: dict[str, Any], data: Dataset) -> Any:
    """Return the training of a job that is about to begin."""
    training = build(what, data).training
    training.awaken()
    return training


def gradients(training: Any, v: Tensor) -> dict[str, Tensor]:
    """Return what one step adds to the gradients, from the same draws each time."""
    torch.manual_seed(11)
    for parameter in training.network.parameters():
        parameter.grad = None
    training.descent._gradients({}, v)
    named = training.network.layers.named_parameters()
    return {name: p.grad.clone() for name, p in named}


def by_hand(training: Any, v: Tensor, start: Tensor, steps: int) -> dict[str, Tensor]:
    """Return <h v>_k - <h v>_0 and its like, from the same draws."""
    layers = training.network.layers
    weight = layers["hidden1"].weight.detach()
    c, b = layers["hidden1"].bias.detach(), layers["output"].bias.detach()
    torch.manual_seed(11)
    vk = start
    for _ in range(steps):
        h = torch.bernoulli(torch.sigmoid(vk @ weight.T + c))
        vk = torch.bernoulli(torch.sigmoid(h @ weight + b))
    h0, hk = torch.sigmoid(v @ weight.T + c), torch.sigmoid(vk @ weight.T + c)
    return {
        "hidden1.weight": hk.T @ vk / len(vk) - h0.T @ v / len(v),
        "hidden1.bias": hk.mean(0) - h0.mean(0),
        "output.bias": vk.mean(0) - v.mean(0),
    }


@pytest.mark.parametrize("steps", [1, 3])
def test_a_step_follows_the_statistics_of_rows_less_those_of_samples(
    steps: int,
) -> None:
    loss = {"kind": "contrastive_divergence", "steps": steps}
    training = learning(machine(loss=loss), stripes())
    v = training.material.train.targets[:8]

    found = gradients(training, v)

    expected = by_hand(training, v, v, steps)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient)


def test_persistent_chains_go_on_from_where_they_stood() -> None:
    training = learning(machine(loss=PERSISTENT), stripes())
    v = training.material.train.targets
    with torch.no_grad():
        training.descent.machine.hidden.weight.mul_(8)  # so that the start tells
    gradients(training, v[:8])
    stood = training.descent.chains.v.clone()

    found = gradients(training, v[8:16])

    expected = by_hand(training, v[8:16], stood, 1)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient)
    anew = by_hand(training, v[8:16], v[8:16], 1)
    assert not torch.allclose(found["output.bias"], anew["output.bias"])


def test_there_are_as_many_chains_as_are_asked_for() -> None:
    training = learning(machine(loss={**PERSISTENT, "chains": 5}), stripes())

    gradients(training, training.material.train.targets[:8])

    assert training.descent.chains.v.shape == (5, 6)


def test_parts_of_a_batch_follow_the_statistics_of_the_whole() -> None:
    data = stripes()
    whole = learning(machine(hidden=40), data)
    parts = build(machine(hidden=40), data, micro_batch=1000).training
    parts.descent.micro_batch = 300
    many = whole.material.train.targets[:20].repeat(60, 1)

    one, other = gradients(whole, many), gradients(parts, many)

    # the draws differ, so the sampled means do, by a standard error of 0.5 / √1200
    for name, gradient in one.items():
        torch.testing.assert_close(other[name], gradient, atol=0.075, rtol=0)


def log_likelihood(found: Machine, v: Tensor) -> float:
    """Return the mean log P(v), with the partition function summed state by state."""
    size = v.shape[1]
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * size)
    with torch.no_grad():
        log_z = torch.logsumexp(-found.free_energy(states).double(), 0)
        return float((-found.free_energy(v).double() - log_z).mean())


def test_the_free_energy_is_the_sum_over_hidden_states() -> None:
    training = learning(machine(hidden=3), stripes())
    found, v = training.descent.machine, training.material.train.targets[:5]
    weight, c = found.hidden.weight, found.hidden.bias
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)

    with torch.no_grad():
        minus_energy = (v @ found.visible.bias)[:, None] + (v @ weight.T + c) @ states.T
        expected = -torch.logsumexp(minus_energy, 1)

        torch.testing.assert_close(found.free_energy(v), expected)


@every_rule
def test_the_exact_likelihood_of_the_rows_rises(loss: Any) -> None:
    what = machine(loss=loss, epochs=60, batch_size=16)
    training = learning(what, stripes(rows=160))
    v = training.material.train.targets
    before = log_likelihood(training.descent.machine, v)

    trained(training)

    # the rows' own entropy is log 2 + 3 · 0.5004 = 2.19 nats, 6 log 2 = 4.16 those of
    # coins
    after = log_likelihood(training.descent.machine, v)
    assert before < -4
    assert after > -2.6


def test_the_gaussian_machine_learns_the_mean_and_gives_rows_back() -> None:
    draw = np.random.default_rng(3)
    x = 2 + draw.normal(size=(200, 5))
    what = machine(visible="none", epochs=20, batch_size=20)
    what["training"]["optimizer"] = {"kind": "sgd", "learning_rate": 0.02}
    training = learning(what, rows_of(x))

    reports = trained(training)

    told = {row.name for row in history(reports)}
    errors = [r.value for r in history(reports) if r.name == "validation_loss"]
    assert "train_free_energy" in told
    assert "train_pseudo_likelihood" not in told
    assert errors[-1] < 0.5 * errors[0]


def test_it_models_digits_no_worse_than_scikit_learn() -> None:
    x = digits()
    theirs = BernoulliRBM(
        n_components=32, learning_rate=0.05, batch_size=20, n_iter=6, random_state=0
    ).fit(x[:1400])
    what = machine(hidden=32, loss=PERSISTENT, epochs=6, batch_size=20)
    what["training"]["optimizer"] = {"kind": "sgd", "learning_rate": 0.05}
    what["dataset"]["split"] = {"validation": {"rows": [1400, 1797]}, "test": "none"}
    training = learning(what, rows_of(x))

    reports = trained(training)

    ours = [
        r.value for r in history(reports) if r.name == "validation_pseudo_likelihood"
    ]
    reached = float(theirs.score_samples(x[1400:]).mean())
    assert ours[-1] > ours[0]
    assert ours[-1] > reached - 1  # an estimate: one number of each row is turned


def test_the_pseudo_likelihood_is_scikit_learns() -> None:
    theirs = BernoulliRBM(n_components=8, n_iter=2, random_state=0).fit(digits())
    training = learning(machine(hidden=8), rows_of(digits()))
    found = training.descent.machine
    with torch.no_grad():
        found.hidden.weight.copy_(torch.from_numpy(theirs.components_))
        found.hidden.bias.copy_(torch.from_numpy(theirs.intercept_hidden_))
        found.visible.bias.copy_(torch.from_numpy(theirs.intercept_visible_))
    theirs.random_state = 7
    turned = np.random.RandomState(7).randint(0, 64, 300)

    v = torch.from_numpy(digits()[:300]).float()
    with torch.no_grad():
        ours = found.pseudo_likelihood(v, torch.from_numpy(turned))

    expected = torch.from_numpy(theirs.score_samples(v.numpy())).float()
    torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-4)


@every_rule
def test_a_stopped_machine_goes_on_bit_for_bit(loss: Any, tmp_path: Path) -> None:
    what, data = machine(loss=loss), stripes()
    straight = build(what, data).training
    whole = history(trained(straight))
    stopped = build(what, data).training
    for report in fit(stopped, pause_seconds=0):
        if report.step == 7:
            break
    saved = checkpoint.write(tmp_path, stopped.snapshot())
    torch.manual_seed(999)  # a new process knows nothing of the old one's draws

    resumed = build(what, data).training
    assert resumed.restore(checkpoint.read(saved.folder))
    rest = history(trained(resumed))

    assert rest == [row for row in whole if row.step > 7]
    assert_same(weights(resumed), weights(straight))


def test_what_is_told_as_loss_is_the_error_of_the_reconstruction() -> None:
    assembly = build(machine(), stripes())

    reports = trained(assembly.training)

    final = [r.value for r in history(reports) if r.name == "validation_loss"][-1]
    held = assembly.held["validation"][:]
    with torch.inference_mode():
        expected = (assembly.network.eval()(held) - held).square().mean().item()
    assert final == pytest.approx(expected, rel=1e-5)


def test_the_pseudo_likelihood_can_decide_when_to_stop() -> None:
    stopping = {"monitor": "validation_pseudo_likelihood", "patience": 2}
    what = machine(early_stopping=stopping, epochs=30)

    training = build(what, stripes()).training
    reports = trained(training)

    values = [
        r.value for r in history(reports) if r.name == "validation_pseudo_likelihood"
    ]
    assert training.stopping.best.value == max(values)


def test_sparse_hidden_units_are_rarely_on() -> None:
    sparse = machine(hidden=8, epochs=30)
    sparse["network"]["layers"][0]["activity_regularization"] = {
        "kind": "kl_divergence",
        "target": 0.05,
        "coefficient": 1.0,
    }
    plain = machine(hidden=8, epochs=30)

    shares = []
    for what in (plain, sparse):
        training = learning(what, stripes())
        trained(training)
        v = training.material.train.targets
        with torch.inference_mode():
            shares.append(training.descent.machine.hidden(v).mean().item())

    assert shares[1] < 0.5 * shares[0]


def test_a_machine_on_top_of_another_learns_from_its_kept_outputs(
    tmp_path: Path,
) -> None:
    source = model(tmp_path / "source", machine(), stripes())
    second = machine(
        reconstruct="hidden1",
        frozen_cache="required",
        early_stopping={"monitor": "validation_loss"},
    )
    second["network"]["layers"] = [
        second["network"]["layers"][0],
        {**second["network"]["layers"][0], "name": "hidden2", "units": 3},
        {**second["network"]["layers"][1], "tied_to": "hidden2"},
    ]
    second["reuse"] = [{"from": "source", "layers": "hidden1", "freeze": ".*"}]
    folder = tmp_path / "second"

    ordered = order(second, model=folder, sources=[source])
    for _ in carry_out(ordered, stripes()):  # the proof that it rests is part of it
        pass

    again = build(second, stripes(), sources=[source])
    with torch.inference_mode():
        given = again.network.layers["hidden1"](again.rows[:])
    torch.testing.assert_close(again.training.material.train.targets, given)
    assert (folder / "model.json").exists()


def test_a_doctor_takes_units_of_zero_and_one_for_what_they_are() -> None:
    what = machine(hidden=16, epochs=10)
    what["network"]["layers"][0]["initializer"] = {"kind": "normal", "deviation": 9}
    training = build(what, stripes(rows=120)).training

    trained(training)

    assert training.doctor is not None
    assert training.doctor.course.situation.parts[0].activation == "sigmoid"
    codes = {event.get("code") for event in training.doctor.news()}
    assert "saturated_units" not in codes


@pytest.mark.parametrize(
    "recipe",
    [
        {"schedule": {"kind": "range_test", "steps": 12}},
        {"averaging": "exponential_moving_average"},
        {"pruning": "gradual"},
        {"regularization": {"l2": 1e-3, "max_norm": 0.5, "weight_decay": 0.01}},
        {"optimizer": {"kind": "gradient_descent", "learning_rate": 0.1}},
        {"gradient_clipping": {"kind": "norm", "threshold": 0.1}},
    ],
    ids=lambda recipe: next(iter(recipe)),
)
@every_rule
def test_a_machine_goes_with_the_rest_of_a_recipe(loss: Any, recipe: Any) -> None:
    training = build(machine(loss=loss, **recipe), stripes()).training
    before = weights(training)

    trained(training)

    after = weights(training)
    assert all(tensor.isfinite().all() for tensor in after.values())
    same = torch.equal(before["layers.output.bias"], after["layers.output.bias"])
    assert same == ("schedule" in recipe)  # a range test gives the weights back
