"""The doctor looks on: it changes no bit, measures what it says, survives a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer import trainings
from tests.trainer.doctor_cases import stack
from tests.trainer.trainings import (
    CONVOLUTIONAL,
    DENSE,
    carry_out,
    history,
    order,
    pictures,
    spec,
    trained,
)
from trainer.doctor.anatomy import SATURATED
from trainer.doctor.doctor import Doctor
from trainer.doctor.figures import Sample
from trainer.training import Training
from trainer.training.loop import fit

PLAIN = {"normalization": "none", "dropout": 0.0}


def samples(training: Training) -> list[Sample]:
    """Return the samples that the training's doctor has kept."""
    assert training.doctor is not None
    return training.doctor.course.first


def built(what: dict[str, Any], **fields: Any) -> Training:
    return trainings.build(what, pictures(), **fields).training


@pytest.mark.parametrize(
    ("layers", "fields"),
    [
        (DENSE, {}),
        (CONVOLUTIONAL, {}),
        (CONVOLUTIONAL, {"micro_batch": 3}),
        (DENSE, {"augmented": True}),
    ],
    ids=["dense", "convolutional", "in parts", "augmented"],
)
def test_with_and_without_the_doctor_every_bit_is_the_same(
    layers: list[dict[str, Any]], fields: dict[str, Any]
) -> None:
    more: dict[str, Any] = {"doctor": "off"}
    if fields.get("augmented"):
        more["augmentation"] = [{"kind": "shift"}]
    sizes = {name: size for name, size in fields.items() if name == "micro_batch"}
    off = built(spec(layers, **more), **sizes)
    expected = history(trained(off))

    on = built(spec(layers, **more | {"doctor": {"interval": 1}}), **sizes)
    told = history(trained(on))

    assert off.doctor is None
    assert told == expected
    trainings.assert_same(trainings.weights(on), trainings.weights(off))
    assert len(samples(on)) == 8


@pytest.mark.parametrize(
    ("wish", "steps"),
    [
        ({}, [1, 2, 4, 16, 64, 100, 200, 300]),
        ({"interval": 10}, [1, 2, 4, *range(10, 301, 10)]),
        ({"interval": 1}, list(range(1, 301))),
    ],
)
def test_samples_are_taken_at_steps_that_follow_from_their_numbers(
    wish: dict[str, int], steps: list[int]
) -> None:
    doctor = built(spec(DENSE, doctor=wish)).doctor
    assert isinstance(doctor, Doctor)

    assert [step for step in range(1, 301) if doctor.due(step)] == steps


def test_the_figures_are_those_of_the_definitions() -> None:
    layers = [{"kind": "dense", "name": "hidden", "units": 6, "activation": "relu"}]
    training = built(
        spec(layers, defaults=PLAIN, optimizer={"kind": "sgd", "learning_rate": 0.1})
    )
    layer, output = (training.network.layers[name] for name in ("hidden", "output"))
    before = {name: p.detach().clone() for name, p in layer.named_parameters()}
    chosen = training.sampler.order(1)[:8]
    values = training.material.train.values()["input"]
    x = values[:][chosen] if not isinstance(values, torch.Tensor) else values[chosen]
    hidden = layer(x)
    loss = training.descent.loss(
        output(hidden), training.material.train.targets[chosen]
    )
    gradients = torch.autograd.grad(loss, [*layer.parameters(), *output.parameters()])
    next(fit(training, pause_seconds=0))
    assert training.doctor is not None
    training.doctor.collect()

    [sample] = samples(training)
    found = sample.layers["hidden"]

    norms = [
        torch.stack([g.norm() for g in pair]).norm()
        for pair in (gradients[:2], gradients[2:])
    ]
    moved = dict(layer.named_parameters())["weight"].detach() - before["weight"]
    expected = {
        "activation_mean": hidden.mean(),
        "activation_deviation": hidden.std(correction=0),
        "dead": (hidden <= 0).all(0).double().mean(),
        "gradient_norm": norms[0],
        "weight_norm": before["weight"].norm(),
        "update_ratio": moved.norm() / before["weight"].norm(),
    }
    assert found["saturated"] is None
    assert {name: found[name] for name in expected} == pytest.approx(
        {name: float(value.detach()) for name, value in expected.items()}, rel=1e-4
    )
    assert sample.layers["output"]["gradient_ratio"] == pytest.approx(
        float(norms[1] / norms[0]), rel=1e-4
    )
    assert sample.loss == pytest.approx(float(loss.detach()), rel=1e-5)
    assert sample.input_deviation == pytest.approx(float(x.std(correction=0)), rel=1e-5)


@pytest.mark.parametrize(
    ("activation", "inside", "outside"),
    [
        ("sigmoid", 3.6, 3.7),
        ("tanh", 1.8, 1.85),
        ("softsign", 2.1, 2.2),
    ],
)
def test_saturated_means_a_slope_below_a_tenth_of_the_steepest(
    activation: str, inside: float, outside: float
) -> None:
    function = {
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "softsign": torch.nn.functional.softsign,
    }[activation]
    low, high = SATURATED[activation]
    z = torch.tensor([0.0, inside, outside, -inside, -outside], requires_grad=True)

    outputs = function(z)
    [slopes] = torch.autograd.grad(outputs.sum(), z)

    saturated = (outputs <= low) | (outputs >= high)
    assert saturated.tolist() == [False, False, True, False, True]
    assert ((slopes < 0.1 * slopes[0]) == saturated).all()


def test_a_batch_in_parts_is_measured_as_a_whole() -> None:
    whole, parts = (
        built(spec(stack(2, 6), defaults=PLAIN), micro_batch=size) for size in (None, 4)
    )
    for training in (whole, parts):
        next(fit(training, pause_seconds=0))
        assert training.doctor is not None
        training.doctor.collect()

    one, other = samples(whole)[0].layers, samples(parts)[0].layers
    for name in ("activation_mean", "gradient_norm", "update_ratio"):
        assert [layer[name] for layer in other.values()] == pytest.approx(
            [layer[name] for layer in one.values()], rel=1e-3
        )


def test_a_resumed_doctor_knows_what_was_seen_and_told() -> None:
    what = spec(
        stack(2, 6), defaults={**PLAIN, "initializer": "zeros"}, doctor={"interval": 1}
    )
    first = built(what)
    reports = fit(first, pause_seconds=0)
    for _ in range(7):
        next(reports)
    snapshot = first.snapshot()
    assert first.doctor is not None
    told = [one["code"] for one in first.doctor.news() if one["event"] == "diagnostic"]

    second = built(what)
    second.restore(snapshot)
    rest = trained(second)

    assert second.doctor is not None
    later = [one for one in second.doctor.news() if one["event"] == "diagnostic"]
    assert told == ["poor_initialization"]
    assert "poor_initialization" not in [one["code"] for one in later]
    assert json.dumps(snapshot.state, allow_nan=False)
    whole = trained(never_stopped := built(what))
    assert history(rest) == history(whole)[-len(history(rest)) :]
    trainings.assert_same(trainings.weights(second), trainings.weights(never_stopped))


def test_frozen_layers_are_not_measured_and_found_unchanged(tmp_path: Path) -> None:
    source = trainings.model(tmp_path / "source", spec(DENSE), pictures())
    reuse = [{"from": "source", "layers": ["hidden1"], "freeze": ["hidden1"]}]
    what = spec(DENSE, reuse=reuse, doctor={"interval": 1})

    events = list(carry_out(order(what, sources=[source]), pictures()))

    told = [event["layers"] for event in events if event["event"] == "layers"]
    assert {row["layer"] for row in told[0]} == {"hidden2", "output"}
    codes = [e["code"] for e in events if e["event"] == "diagnostic"]
    assert "frozen_changed" not in codes


def test_a_frozen_layer_that_moves_is_told_at_the_next_evaluation(
    tmp_path: Path,
) -> None:
    source = trainings.model(tmp_path / "source", spec(DENSE), pictures())
    reuse = [{"from": "source", "layers": ["hidden1"], "freeze": ["hidden1"]}]
    what = spec(DENSE, reuse=reuse)
    training = trainings.build(what, pictures(), sources=[source]).training
    reports = fit(training, pause_seconds=0)
    next(reports)
    with torch.no_grad():
        weight = dict(training.network.named_parameters())["layers.hidden1.weight"]
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))

    list(reports)

    assert training.doctor is not None
    [found] = [e for e in training.doctor.news() if e.get("code") == "frozen_changed"]
    assert found["severity"] == "critical"
    assert found["evidence"]["tensors"] == ["hidden1.weight"]


def test_figures_are_told_as_events_less_often_as_time_goes_by() -> None:
    what = spec(DENSE, epochs=40, doctor={"interval": 1})

    events = list(carry_out(order(what), pictures()))

    steps = [event["step"] for event in events if event["event"] == "layers"]
    assert steps[:64] == list(range(1, 65))
    assert steps[64:] == [*range(66, 129, 2), *range(132, 201, 4)]
