"""Predictions with dropout left on: their means, their spread, and who has none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from api.draws import MOST_DRAWS, drawn
from api.inference import SAMPLED_GRAPH
from catalog.session import reading
from catalog.tables import Model
from tests.api.lab import FLOWERS, Lab, problem
from tests.api.test_predict import (
    FLOWER,
    FLOWER_COLUMNS,
    ask,
    describe,
    place_graph,
    refused,
)

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""A prediction asks the database for one row only."""

DROPPING = {"layers": [{"kind": "dense", "name": "hidden1", "dropout": 0.5}]}


@pytest.fixture
def flowers(lab: Lab, ledger: Path) -> str:
    """Return the id of a model of flowers, without a graph that draws."""
    model_id = lab.model("flowers")
    names = ["length", "width"]
    place_graph(ledger, model_id, FLOWERS, names, FLOWER_COLUMNS, 2)
    describe(model_id, classes=["setosa", "virginica"], target=["species"])
    return model_id


@pytest.fixture
def drawing(flowers: str, ledger: Path) -> str:
    """Return the id of a model whose second output is 0 or 2 at random."""
    with reading() as session:
        folder = ledger / session.get_one(Model, flowers).folder
    (folder / SAMPLED_GRAPH).write_bytes(coin(2).SerializeToString())
    describe(flowers, network=DROPPING)
    return flowers


def coin(features: int) -> onnx.ModelProto:
    """Return a graph with the outputs 0 and, by a fair coin, 0 or 2."""
    nodes = [
        helper.make_node("RandomUniformLike", ["input"], ["u"]),
        helper.make_node("Less", ["u", "half"], ["low"]),
        helper.make_node("Where", ["low", "one", "other"], ["thrown"]),
        helper.make_node("Mul", ["thrown", "second"], ["output"]),
    ]
    constants = {
        "half": np.array(0.5, np.float32),
        "one": np.array(0.0, np.float32),
        "other": np.array(2.0, np.float32),
        "second": np.array([0.0] * (features - 1) + [1.0], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "coin",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["b", features])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["b", features])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )


def test_probabilities_are_means_over_the_draws_with_their_deviations(
    lab: Lab, drawing: str
) -> None:
    found = ask(lab, drawing, rows=[FLOWER, FLOWER], monte_carlo_samples=1000)

    # softmax(0, 0) and softmax(0, 2), each half of the time: 0.5 and 0.8808
    mean, deviation = (0.5 + 0.8808) / 2, (0.8808 - 0.5) / 2
    assert found["monte_carlo_samples"] == 1000
    for prediction in found["predictions"]:
        assert prediction["class"] == "virginica"
        assert prediction["probability"] == pytest.approx(mean, abs=0.03)
        assert prediction["standard_deviation"] == pytest.approx(deviation, rel=0.05)
        assert sum(prediction["probabilities"]) == pytest.approx(1)
        first, second = prediction["standard_deviations"]
        assert first == pytest.approx(second)


def test_values_have_deviations_too(lab: Lab, drawing: str) -> None:
    describe(drawing, task="regression")

    (prediction,) = ask(lab, drawing, rows=[FLOWER], monte_carlo_samples=500)[
        "predictions"
    ]

    assert prediction["values"] == pytest.approx([0.0, 1.0], abs=0.2)
    assert prediction["standard_deviations"] == pytest.approx([0.0, 1.0], abs=0.05)


def test_without_samples_nothing_is_drawn(lab: Lab, drawing: str) -> None:
    first, second = (ask(lab, drawing, rows=[FLOWER]) for _ in range(2))

    assert first == second
    assert "monte_carlo_samples" not in first
    assert "standard_deviation" not in first["predictions"][0]


def test_a_model_without_dropout_says_so(lab: Lab, flowers: str) -> None:
    describe(flowers, network={"layers": [{"kind": "dense", "dropout": 0.0}]})

    found = refused(lab, flowers, rows=[FLOWER], monte_carlo_samples=20)

    assert found == [("/monte_carlo_samples", "no_dropout")]


@pytest.mark.parametrize(
    "layer",
    [{"kind": "dense", "dropout": 0.2}, {"kind": "spatial_dropout", "rate": 0.3}],
)
def test_a_model_from_before_there_were_such_graphs_says_what_to_do(
    lab: Lab, flowers: str, layer: dict[str, Any]
) -> None:
    describe(flowers, network={"layers": [layer]})

    answer = lab.client.post(
        f"/v1/models/{flowers}/predict",
        json={"rows": [FLOWER], "monte_carlo_samples": 20},
    )

    document = problem(answer, 422, "invalid_input")
    assert [fault["code"] for fault in document["errors"]] == ["no_sampled_graph"]
    assert "train it again" in json.dumps(document)
    assert ask(lab, flowers, rows=[FLOWER])["predictions"]


@pytest.mark.parametrize("samples", [1, 0, -3, 1001, 2.5, "many"])
def test_the_number_of_samples_has_limits(
    lab: Lab, drawing: str, samples: object
) -> None:
    found = refused(lab, drawing, rows=[FLOWER], monte_carlo_samples=samples)

    assert [pointer for pointer, _ in found] == ["/monte_carlo_samples"]


def test_more_work_than_one_request_may_ask_for_is_refused(
    lab: Lab, drawing: str
) -> None:
    rows = [FLOWER] * (MOST_DRAWS // 1000 + 1)

    found = refused(lab, drawing, rows=rows, monte_carlo_samples=1000)

    assert found == [("/monte_carlo_samples", "too_many")]


@pytest.mark.parametrize(("rows", "samples"), [(1, 2), (3, 1000), (600, 7), (700, 2)])
def test_means_and_deviations_are_numpys(
    database_url: str, rows: int, samples: int
) -> None:
    graph = Kept()
    given = np.arange(rows, dtype=np.float32)[:, None]

    found = drawn(graph, given, samples, _as_they_are)

    for row in (0, rows // 2, rows - 1):
        values = np.array(graph.answers[row], np.float64)
        assert len(values) == samples
        assert found.mean[row, 0] == pytest.approx(values.mean())
        assert found.deviation[row, 0] == pytest.approx(values.std(ddof=1))


class Kept:
    """A graph whose answers are kept: the row's number plus a draw."""

    def __init__(self) -> None:
        self.answers: dict[int, list[float]] = {}
        self._draw = np.random.default_rng(1)

    def run(self, _: None, given: dict[str, Any]) -> list[Any]:
        """Answer as a session does."""
        x = given["input"]
        out = x + self._draw.normal(size=x.shape).astype(np.float32)
        for number, value in zip(x[:, 0], out[:, 0], strict=True):
            self.answers.setdefault(int(number), []).append(float(value))
        return [out]


def _as_they_are(outputs: Any) -> Any:
    return outputs.astype(np.float64)
