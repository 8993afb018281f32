"""Regression on targets of any size: scaled while training, never afterwards."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer import trainings
from tests.trainer.trainings import TOY, carry_out, order, spec
from trainer.data.dataset import Dataset, described
from trainer.network import Network
from trainer.process.commands import Commands
from trainer.saved import model_folder

LAYERS: list[dict[str, Any]] = [{"name": "hidden1", "kind": "dense", "units": 8}]
DATASET = {"target": "price", "task": "regression"}


def houses(rows: int = 300) -> Dataset:
    """Return a table of houses whose prices lie around 200,000."""
    draw = np.random.default_rng(3)
    rooms, age = draw.uniform(1, 9, rows), draw.uniform(0, 90, rows)
    price = 200_000 + 30_000 * rooms - 900 * age + draw.normal(0, 3000, rows)
    columns: dict[str, Any] = {"rooms": rooms, "age": age, "price": price}
    return described(TOY, {"train": columns}, "toy")


def regression(**fields: Any) -> dict[str, Any]:
    """Return a spec that predicts the prices by the default recipe."""
    what = spec(LAYERS, dataset=DATASET | fields.pop("dataset", {}), **fields)
    del what["training"]["batch_size"]
    return what


def answers(folder: Path, network: Network, x: torch.Tensor) -> torch.Tensor:
    """Return what the model in a folder answers."""
    tensors = model_folder.read(folder).tensors()
    network.load_state_dict({f"layers.{n}": t for n, t in tensors.items()})
    with torch.inference_mode():
        found: torch.Tensor = network.eval()(x)
    return found


def test_prices_are_learned_by_the_default_recipe_and_answered_in_their_own_units(
    tmp_path: Path,
) -> None:
    data = houses()
    run = trainings.Carried(
        order(regression(epochs=60), model=tmp_path / "m"), data, Commands()
    )
    metrics = list(run.events())[-1]["metrics"]
    assert run.assembly is not None

    found = answers(tmp_path / "m", run.assembly.network, run.assembly.rows[:])
    true = data.columns["price"][run.assembly.rows.rows]

    assert metrics["test_r2"] > 0.9
    error = np.abs(found[:, 0].numpy() - true).mean()
    assert error < 15_000
    assert metrics["test_mean_absolute_error"] == pytest.approx(error, rel=0.4)


def test_the_measured_error_is_that_of_the_model_s_own_answers(tmp_path: Path) -> None:
    data = houses()
    run = trainings.Carried(
        order(regression(epochs=5), model=tmp_path / "m"), data, Commands()
    )
    metrics = list(run.events())[-1]["metrics"]
    assert run.assembly is not None
    test = run.assembly.training.material.test
    assert test is not None

    x = torch.cat([values["input"] for values, _ in test.chunks(1000)])
    found = answers(tmp_path / "m", run.assembly.network, x)
    scale = run.assembly.scale
    assert scale is not None
    true = test.targets.numpy() * scale.deviation + scale.mean

    error = np.square(found.numpy() - true).mean()
    assert metrics["test_mean_squared_error"] == pytest.approx(error, rel=1e-4)


def test_a_reused_output_goes_on_where_it_was(tmp_path: Path) -> None:
    source = trainings.model(tmp_path / "source", regression(epochs=40), houses())
    reuse = [{"from": "source", "layers": ".*"}]
    standing = {"kind": "sgd", "learning_rate": 1e-12}
    what = regression(reuse=reuse, epochs=1, optimizer=standing)

    run = trainings.Carried(
        order(what, sources=[source], model=tmp_path / "m"), houses(200), Commands()
    )
    list(run.events())
    assert run.assembly is not None
    x, network = run.assembly.rows[:], run.assembly.network

    theirs, ours = answers(source, network, x), answers(tmp_path / "m", network, x)

    # normalisation follows the new rows a little; the output's weights do not move
    torch.testing.assert_close(ours, theirs, rtol=0.05, atol=5000)
    old, new = (
        model_folder.read(f).tensors(["output.weight"])["output.weight"]
        for f in (source, tmp_path / "m")
    )
    torch.testing.assert_close(new, old, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("output", "dataset"),
    [
        ({}, {"standardize": False}),
        ({"activation": "relu"}, {}),
        ({"normalization": "batch"}, {}),
    ],
)
def test_targets_are_left_alone_where_the_way_back_cannot_be_folded_or_is_not_wanted(
    output: dict[str, Any], dataset: dict[str, Any]
) -> None:
    layers = [*LAYERS, {"name": "output", "kind": "dense"} | output]
    what = spec(layers, dataset=DATASET | dataset)

    assembly = trainings.build(what, houses())

    assert assembly.scale is None
    assert float(assembly.training.material.train.targets.mean()) > 100_000


def test_a_frozen_output_keeps_its_bits(tmp_path: Path) -> None:
    source = trainings.model(tmp_path / "source", regression(), houses())
    reuse = [{"from": "source", "layers": ".*", "freeze": "output"}]
    what = regression(reuse=reuse, optimizer={"kind": "sgd", "learning_rate": 1e-12})

    events = list(
        carry_out(order(what, sources=[source], model=tmp_path / "m"), houses())
    )

    assert {line["tensor"] for line in events[-1]["frozen"]} == {
        "output.weight",
        "output.bias",
    }


def test_an_output_without_bias_keeps_the_mean(tmp_path: Path) -> None:
    layers = [*LAYERS, {"name": "output", "kind": "dense", "bias": False}]

    scale = trainings.build(spec(layers, dataset=DATASET), houses()).scale

    assert scale is not None
    assert scale.mean.tolist() == [0]
