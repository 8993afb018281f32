"""Graphs made fast as a job asked: what is served, what it costs, what it gains."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from tests.trainer import trainings
from tests.trainer.networks import network
from tests.trainer.processes import Trainer, write_pictures
from tests.trainer.spec_samples import job, resolved
from tests.trainer.trainings import numbers, pictures, spec
from trainer.export import export
from trainer.saved.reopened import drawn_rows, network_of, serving_of
from trainer.serving.held import held_rows
from trainer.serving.latency import answers, opened
from trainer.serving.served import TOLERANCE, Served, serve
from trainer.spec.serving import Serving

LAYERS: list[dict[str, Any]] = [
    {"kind": "dense", "name": "hidden1", "units": 40},
    {"kind": "dense", "name": "hidden2", "units": 30},
]


def served(
    folder: Path, layers: Any = None, shape: Any = (64,), **wish: Any
) -> tuple[Any, Served]:
    """Return a network and what was written in its graph's place."""
    net = network(LAYERS if layers is None else layers, shape)
    rows = torch.rand(40, *shape, generator=torch.Generator().manual_seed(1))
    return net, serve(net, rows, folder / "model.onnx", Serving(**wish), [])


def operators(folder: Path) -> Counter[str]:
    graph = onnx.load(folder / "model.onnx").graph
    return Counter(node.op_type for node in graph.node)


def differs(folder: Path, net: Any, shape: Any = (64,)) -> float:
    x = torch.rand(20, *shape, generator=torch.Generator().manual_seed(2))
    found = answers(opened(folder / "model.onnx"), x.numpy())
    with torch.inference_mode():
        return float((torch.from_numpy(found) - net.eval()(x)).abs().max())


def test_a_folded_graph_has_no_normalisation_and_answers_the_same(tmp_path: Path):
    net, found = served(tmp_path, fold_normalization=True)

    assert found.report["folded"] == ["hidden1", "hidden2"]
    assert operators(tmp_path)["BatchNormalization"] == 0
    assert differs(tmp_path, net) < 1e-5
    assert found.maximum_difference < 1e-5


def test_what_is_not_folded_is_in_the_report_and_in_the_graph(tmp_path: Path):
    late = {"normalization_position": "after_activation"}
    layers = [LAYERS[0], LAYERS[1] | late]

    net, found = served(tmp_path, layers, fold_normalization=True)

    assert found.report["folded"] == ["hidden1"]
    assert list(found.report["not_folded"]) == ["hidden2"]
    assert operators(tmp_path)["BatchNormalization"] == 1
    assert differs(tmp_path, net) < 1e-5


def test_a_half_precision_graph_takes_half_the_bytes(tmp_path: Path):
    net, found = served(tmp_path, precision="float16")

    assert found.report["served_precision"] == "float16"
    assert found.report["bytes"]["after"] < 0.65 * found.report["bytes"]["before"]
    assert 0 < differs(tmp_path, net) < 1e-2


def test_a_quantised_graph_multiplies_whole_numbers(tmp_path: Path):
    net, found = served(tmp_path, precision="int8", fold_normalization=True)

    assert found.report["served_precision"] == "int8"
    assert operators(tmp_path)["MatMulInteger"] == 3
    assert operators(tmp_path)["Gemm"] + operators(tmp_path)["MatMul"] == 0
    assert found.report["bytes"]["after"] < 0.5 * found.report["bytes"]["before"]
    assert 0 < differs(tmp_path, net) < 0.25


def test_convolutions_stay_as_they_are_where_dense_layers_are_quantised(
    tmp_path: Path,
):
    layers: list[dict[str, Any]] = [
        {"kind": "conv2d", "filters": 4},
        {"kind": "dense", "units": 20},
    ]

    served(tmp_path, layers, (1, 8, 8), precision="int8")

    assert operators(tmp_path)["Conv"] == 1
    assert operators(tmp_path)["MatMulInteger"] == 2


def test_a_precision_that_changes_the_answers_too_much_is_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(TOLERANCE, "int8", 1e-9)

    net, found = served(tmp_path, precision="int8", fold_normalization=True)

    assert found.report["served_precision"] == "float32"
    assert "in int8 an output differs by" in found.report["refused"]["precision"]
    assert found.report["folded"] == ["hidden1", "hidden2"]
    assert differs(tmp_path, net) < 1e-5


def test_int8_without_a_dense_product_is_not_served(tmp_path: Path):
    layers: list[dict[str, Any]] = [
        {"kind": "conv2d", "filters": 4, "kernel_size": 3},
        {"kind": "global_average_pool2d", "name": "output"},
    ]

    net, found = served(tmp_path, layers, (1, 8, 8), precision="int8")

    assert found.report["served_precision"] == "float32"
    assert "no dense product" in found.report["refused"]["precision"]
    assert differs(tmp_path, net, (1, 8, 8)) < 1e-5


def test_latency_is_told_before_and_after_and_nothing_else_is_left(tmp_path: Path):
    _, found = served(tmp_path, precision="int8")

    measured = found.report["latency"]
    assert measured.keys() == {"before", "after"}
    assert all(
        0 < graph[name] < 1000
        for graph in measured.values()
        for name in ("single_ms", "batch_ms")
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert json.dumps(found.report, allow_nan=False)


def test_serving_changes_nothing_in_the_network(tmp_path: Path):
    net = network(LAYERS, (64,))
    before = {name: value.clone() for name, value in net.state_dict().items()}

    wish = Serving(fold_normalization=True, precision="int8")
    serve(net, torch.rand(5, 64), tmp_path / "model.onnx", wish, [])

    assert all(torch.equal(net.state_dict()[n], v) for n, v in before.items())
    assert net.state_dict().keys() == before.keys()


def test_accuracy_before_is_that_of_the_training(tmp_path: Path):
    found = trainings.build(spec(LAYERS), pictures())
    trainings.trained(found.training)
    wish = Serving(fold_normalization=True, precision="int8")

    report = serve(
        found.network, found.rows[:], tmp_path / "model.onnx", wish, held_rows(found)
    ).report

    final = found.training.final
    for purpose in ("validation", "test"):
        before, after = (report["metrics"][purpose][n] for n in ("before", "after"))
        assert before["accuracy"] == final[f"{purpose}_accuracy"]
        assert before["loss"] == pytest.approx(final[f"{purpose}_loss"], abs=1e-4)
        assert after["loss"] == pytest.approx(before["loss"], abs=0.1)
        assert after["loss"] != before["loss"]


def test_a_regression_is_measured_as_it_was_trained(tmp_path: Path):
    found = trainings.build(spec(LAYERS), numbers(60))
    trainings.trained(found.training)
    assert found.scale is not None
    found.scale.fold(found.network)
    wish = Serving(precision="float16")

    report = serve(
        found.network, found.rows[:], tmp_path / "model.onnx", wish, held_rows(found)
    ).report

    final = found.training.final
    before = report["metrics"]["test"]["before"]
    assert before["loss"] == pytest.approx(final["test_loss"], rel=1e-4)
    assert before["mean_absolute_error"] == pytest.approx(
        final["test_mean_absolute_error"], rel=1e-4
    )


@pytest.fixture
def trainer() -> Iterator[Trainer]:
    started = Trainer()
    assert started.hear()["event"] == "ready"
    yield started
    started.close()


def test_a_trainer_process_serves_what_was_asked(trainer: Trainer, tmp_path: Path):
    data = write_pictures(tmp_path / "pictures.npz")
    asked = spec(LAYERS) | {"serving": {"fold_normalization": True}}

    trainer.order(asked, data, tmp_path)
    trainer.hear("result", "failed")
    trainer.say({"command": "export"})
    told = trainer.hear("exported", "failed")

    assert trainer.end() == (0, "")
    assert told["serving"]["folded"] == ["hidden1", "hidden2"]
    assert told["serving"]["metrics"]["test"]["after"]["accuracy"] >= 0
    assert operators(tmp_path / "model")["BatchNormalization"] == 0


def test_a_graph_that_was_never_finished_is_served_as_its_job_asked(tmp_path: Path):
    what = spec(LAYERS) | {"serving": {"precision": "int8"}}
    folder = trainings.model(tmp_path / "model", what, pictures())
    net = network_of(folder)

    wish = serving_of(folder)
    found = serve(net, drawn_rows(net), folder / "model.onnx", wish, [])

    assert wish == Serving(precision="int8")
    assert found.report["served_precision"] == "int8"
    assert found.report["metrics"] == {}


def test_a_plain_job_has_the_plain_graph(tmp_path: Path):
    net = network(LAYERS, (64,))

    export(net, torch.rand(5, 64), tmp_path / "model.onnx")

    assert operators(tmp_path)["BatchNormalization"] == 2


@pytest.mark.parametrize(
    ("serving", "activation", "told"),
    [
        ({"precision": "int8"}, "elu", True),
        ({"precision": "int8"}, "leaky_relu", False),
        ({}, "elu", False),
    ],
)
def test_leaky_relu_is_advised_to_who_asks_for_speed(
    serving: Any, activation: str, told: bool
):
    layer = {"kind": "dense", "units": 4, "activation": activation}

    warnings = resolved(job(network={"layers": [layer]}, serving=serving)).warnings

    assert any("leaky_relu is advised" in each for each in warnings) == told


def test_folding_where_nothing_is_normalised_is_worth_a_warning():
    layer = {"kind": "dense", "units": 4, "normalization": "none"}
    asked = job(network={"layers": [layer]}, serving={"fold_normalization": True})

    assert any("no batch normalisation" in each for each in resolved(asked).warnings)
