"""Giving back what a layer gives that rests: its target, its cache, its refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainer.spec_samples import DIGITS, job, resolved
from tests.trainer.trainings import (
    assert_same,
    build,
    history,
    model,
    pictures,
    spec,
    trained,
    weights,
)
from trainer.spec.errors import InvalidSpec
from trainer.training.loop import fit

PICTURES = {"task": "reconstruction", "features": ["image"]}
PLAIN = {"normalization": "none", "dropout": 0.0, "activation": "sigmoid"}
NOISES = [
    {"kind": "gaussian_noise", "name": "noise", "deviation": 0.5},
    {"kind": "dropout", "name": "noise", "rate": 0.5},
]


def dense(name: str, units: int, **fields: Any) -> dict[str, Any]:
    """Return a dense layer of sigmoid units."""
    return {"kind": "dense", "name": name, "units": units, **PLAIN, **fields}


def stage(
    *layers: dict[str, Any], frozen: str = "hidden1", **training: Any
) -> dict[str, Any]:
    """Return the job that learns on top of the layers of `source`."""
    reuse = [{"from": "source", "layers": frozen, "freeze": ".*"}]
    given = {"reconstruct": "hidden1"} | training
    return spec(list(layers), dataset=PICTURES, reuse=reuse, **given)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the model of an autoencoder of two hidden layers."""
    layers = [dense("hidden1", 7), dense("hidden2", 5)]
    what = spec(layers, dataset=PICTURES, epochs=1)
    return model(tmp_path_factory.mktemp("stages") / "source", what, pictures())


def first_outputs(assembly: Any) -> torch.Tensor:
    """Return what the first hidden layer gives for the clean training rows."""
    with torch.inference_mode():
        found: torch.Tensor = assembly.network.layers["hidden1"](assembly.rows[:])
    return found


def test_as_many_numbers_come_out_as_the_layer_gives(source: Path) -> None:
    what = stage(dense("hidden1", 7), dense("hidden2", 4))

    assembly = build(what, pictures(), sources=[source])

    assert assembly.network.rows[-1].output_shape == (7,)
    assert assembly.training.recipe.loss.kind == "mean_squared_error"  # type: ignore[union-attr]


def test_images_inside_the_network_are_flattened(tmp_path: Path) -> None:
    below = {"kind": "conv2d", "name": "hidden1", "filters": 3, "kernel_size": 3}
    first = spec([below, dense("code", 4)], dataset=PICTURES, epochs=1)
    source = model(tmp_path / "source", first, pictures())

    assembly = build(stage(below, dense("hidden2", 4)), pictures(), sources=[source])
    trained(assembly.training)

    expected = first_outputs(assembly).flatten(1)
    torch.testing.assert_close(assembly.training.material.train.targets, expected)


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise["kind"])
@pytest.mark.parametrize("cache", ["required", "off"])
def test_what_is_given_back_is_the_clean_output(
    source: Path, noise: Any, cache: str
) -> None:
    layers = [dense("hidden1", 7), noise, dense("hidden2", 4)]

    assembly = build(stage(*layers, frozen_cache=cache), pictures(), sources=[source])

    targets = assembly.training.material.train.targets
    torch.testing.assert_close(targets, first_outputs(assembly))


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise["kind"])
def test_a_denoising_autoencoder_gives_back_its_clean_input(noise: Any) -> None:
    what = spec([noise, dense("code", 5)], dataset=PICTURES)

    assembly = build(what, pictures())

    targets = assembly.training.material.train.targets
    assert torch.equal(targets, assembly.rows[:].flatten(1))


def test_with_augmented_rows_it_is_the_output_for_the_plain_ones(source: Path) -> None:
    what = stage(dense("hidden1", 7), dense("hidden2", 4), augmentation=["noise"])

    assembly = build(what, pictures(), sources=[source])
    trained(assembly.training)

    targets = assembly.training.material.train.targets
    torch.testing.assert_close(targets, first_outputs(assembly))


TWICE = [dense("hidden1", 7), dense("hidden2", 5), dense("hidden3", 4)]


@pytest.mark.parametrize(
    ("layers", "frozen"),
    [
        ([dense("hidden1", 7), dense("hidden2", 4)], "hidden1"),
        ([dense("hidden1", 7), NOISES[1], dense("hidden2", 4)], "hidden1"),
        (TWICE, "hidden[12]"),
    ],
    ids=["right above", "through dropout", "further below"],
)
def test_kept_outputs_and_others_train_to_the_same_bits(
    source: Path, layers: Any, frozen: str, tmp_path: Path
) -> None:
    what = stage(*layers, frozen=frozen, frozen_cache="required")
    each_time = stage(*layers, frozen=frozen, frozen_cache="off")
    disk = {"frozen_cache": tmp_path / "cache", "frozen_cache_bytes": 2**20}

    kept = told(what, source)
    told(what, source, **disk)
    again = told(what, source, **disk)
    off = told(each_time, source)

    assert again[0].outputs.report()["result"] == "hit"
    assert kept[1] == again[1] == off[1]
    assert_same(kept[2], off[2])
    assert_same(kept[2], again[2])


def told(what: dict[str, Any], source: Path, **fields: Any) -> tuple[Any, Any, Any]:
    """Return what a job came to, its figures and its weights."""
    assembly = build(what, pictures(), sources=[source], **fields)
    figures = history(trained(assembly.training))
    return assembly, figures, weights(assembly.training)


def test_layers_below_are_run_once_and_never_again(source: Path) -> None:
    what = stage(dense("hidden1", 7), dense("hidden2", 4), frozen_cache="required")
    what["training"] |= {"epochs": 4}
    assembly = build(what, pictures(), sources=[source])
    calls: list[int] = []
    below: nn.Module = assembly.network.layers["hidden1"]
    below.register_forward_hook(lambda *_: calls.append(1))

    trained(assembly.training)

    assert calls == []  # the targets had been computed, and with them what is kept
    report = assembly.outputs.report()
    assert report["epochs"] == 4
    assert report["result"] == "miss"


def test_the_loss_is_the_error_of_the_layers_outputs(source: Path) -> None:
    assembly = build(
        stage(dense("hidden1", 7), dense("hidden2", 4)), pictures(), sources=[source]
    )

    reports = trained(assembly.training)

    final = [r.value for r in history(reports) if r.name == "validation_loss"][-1]
    with torch.inference_mode():
        held = assembly.held["validation"][:]
        wanted = assembly.network.layers["hidden1"](held)
        expected = (assembly.network(held) - wanted).square().mean().item()
    assert final == pytest.approx(expected, rel=1e-5)


def test_a_stopped_stage_goes_on_bit_for_bit(source: Path) -> None:
    what = stage(dense("hidden1", 7), NOISES[0], dense("hidden2", 4))
    straight = build(what, pictures(), sources=[source]).training
    trained(straight)
    stopped = build(what, pictures(), sources=[source]).training
    for report in fit(stopped, pause_seconds=0):
        if report.step == 4:
            break
    snapshot = stopped.snapshot()

    resumed = build(what, pictures(), sources=[source]).training
    assert resumed.restore(snapshot)
    trained(resumed)

    assert_same(weights(resumed), weights(straight))


@pytest.fixture
def learning() -> dict[str, Any]:
    """Return a job on images that gives back a layer, which learns itself."""
    raw = job(dataset={"id": "digits", "task": "reconstruction"})
    raw["training"] = {"reconstruct": "hidden1"}
    return raw


def refusal(raw: dict[str, Any], **sources: Any) -> Any:
    """Return the only problem of a job."""
    with pytest.raises(InvalidSpec) as found:
        resolved(raw, DIGITS, **sources)
    (problem,) = found.value.problems
    return problem


def test_a_layer_that_learns_is_refused(learning: dict[str, Any]) -> None:
    problem = refusal(learning)

    assert problem.pointer == "/training/reconstruct"
    assert problem.suggestion == "freeze hidden1 in an entry of reuse"


def test_a_layer_that_draws_is_refused(learning: dict[str, Any]) -> None:
    layers = [{"kind": "dropout", "name": "noise"}, *learning["network"]["layers"]]
    learning["network"] = {"layers": layers}
    learning["training"] = {"reconstruct": "noise"}

    assert "draws at random" in refusal(learning).detail


def test_an_unknown_layer_is_refused_with_the_nearest(learning: dict[str, Any]) -> None:
    learning["training"] = {"reconstruct": "hiden2"}

    problem = refusal(learning)

    assert (problem.pointer, problem.suggestion) == ("/training/reconstruct", "hidden2")


def test_another_task_gives_nothing_back() -> None:
    problem = refusal(job(training={"reconstruct": "hidden1"}))

    assert problem.suggestion == "dataset.task: reconstruction"


def test_a_phase_in_which_it_learns_is_refused(source: Path) -> None:
    what = stage(dense("hidden1", 7), dense("hidden2", 4))
    what["phases"] = [{"epochs": 1}, {"epochs": 1, "freeze": []}]

    with pytest.raises(InvalidSpec, match="stand still"):
        build(what, pictures(), sources=[source])


def test_a_layer_without_weights_may_be_given_back() -> None:
    flat = {"kind": "flatten", "name": "flat"}
    what = spec([flat, dense("code", 5)], dataset=PICTURES, reconstruct="flat")

    assembly = build(what, pictures())
    trained(assembly.training)

    rows = assembly.rows[:].flatten(1)
    assert torch.equal(assembly.training.material.train.targets, rows)
