"""Branches that see different columns of one table."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.inputs import dataset, made, reopened, reviews
from tests.trainer.trainings import build, spec, trained
from trainer.export import export
from trainer.modules.shaping import Columns
from trainer.saved.model_folder import GRAPH
from trainer.saved.reopened import network_of
from trainer.spec.errors import InvalidSpec

Layers = list[dict[str, Any]]
TWO: Layers = [
    {"name": "words", "kind": "columns", "columns": ["review"], "inputs": ["input"]},
    {"name": "vectors", "kind": "embedding", "units": 6},
    {"name": "read", "kind": "lstm", "units": 5},
    {"name": "prices", "kind": "columns", "columns": ["price"], "inputs": ["input"]},
    {"name": "paid", "kind": "dense", "units": 3},
    {"name": "where", "kind": "columns", "columns": ["shop"], "inputs": ["input"]},
    {"name": "shops", "kind": "column_embedding"},
    {"name": "all", "kind": "concatenate", "inputs": ["read", "paid", "shops"]},
    {"name": "top", "kind": "dense", "units": 6},
]
TARGET: dict[str, Any] = {
    "target": "good",
    "encodings": {"review": {"kind": "text", "length": 6}, "shop": "embedding"},
}


def refused(layers: Layers, **fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidSpec) as found:
        build(spec(layers, dataset=TARGET | fields), reviews())
    return [(problem.pointer, problem.code) for problem in found.value.problems]


def test_an_lstm_reads_the_text_beside_a_dense_branch_over_the_numbers() -> None:
    made_of = build(spec(TWO, dataset=TARGET, epochs=30), reviews())

    trained(made_of.training)

    shapes = {row.name: row.output_shape for row in made_of.resolution.layers}
    assert (shapes["words"], shapes["vectors"], shapes["read"]) == ((6,), (6, 6), (5,))
    assert shapes["prices"] == (1,)
    assert made_of.training.final["train_accuracy"] > 0.9


def test_padding_behind_a_text_is_left_out_as_if_the_text_stood_alone() -> None:
    found = build(spec(TWO, dataset=TARGET), reviews()).resolution

    (read,) = (row for row in found.layers if row.name == "read")

    assert [mask.source for mask in read.masks if mask] == ["words"]


def test_the_model_answers_the_same_when_it_is_read_back(tmp_path: Path) -> None:
    made(tmp_path / "model", reviews(), TWO, **TARGET)
    folder, preprocessing = reopened(tmp_path / "model")
    data = reviews(20, seed=8)

    x = torch.from_numpy(
        preprocessing.apply(preprocessing.recoded(data.schema, data.columns))
    )
    network = network_of(tmp_path / "model").eval()

    runs = {
        layer["name"]: layer["runs"]
        for layer in folder.description["network"]["layers"]
        if layer["kind"] == "columns"
    }
    assert runs == {"words": [[0, 6]], "where": [[6, 7]], "prices": [[7, 8]]}
    with torch.no_grad():
        assert network(x).shape == (20, 2)


def test_the_graph_answers_what_the_network_answers(tmp_path: Path) -> None:
    assembly = build(spec(TWO, dataset=TARGET), reviews())
    trained(assembly.training)

    report = export(assembly.network, assembly.rows[:16].clone(), tmp_path / GRAPH)

    assert report.maximum_difference < 1e-5


def test_columns_come_in_the_data_sets_order_and_neighbours_are_one_run() -> None:
    rows = np.arange(40)
    data = dataset(
        dict.fromkeys(("a", "b", "c", "d"), ("number", rows * 1.0))
        | {"y": ("integer", rows % 2)}
    )
    layers: Layers = [
        {"kind": "columns", "columns": ["d", "b", "a"]},
        {"kind": "dense", "units": 2},
    ]

    found = build(spec(layers, dataset={"target": "y"}), data).resolution.spec

    assert found.network.layers[0].model_dump()["runs"] == ((0, 2), (3, 4))


def test_runs_are_taken_from_the_last_axis() -> None:
    x = torch.arange(24.0).reshape(2, 3, 4)

    assert torch.equal(Columns([(0, 1), (2, 4)])(x), x[..., [0, 2, 3]])


def test_a_column_that_is_no_feature_is_refused_with_the_nearest() -> None:
    layers: Layers = [
        {"kind": "columns", "columns": ["pric"]},
        {"kind": "dense", "units": 2},
    ]

    assert refused(layers) == [("/network/layers/0/columns/0", "unknown_column")]


def test_names_that_nothing_looks_up_are_refused() -> None:
    layers: Layers = [
        {"kind": "columns", "columns": ["shop"]},
        {"kind": "dense", "units": 2},
    ]

    assert refused(layers) == [("/network/layers/1/inputs", "mixed_features")]


def test_columns_of_another_layer_than_the_input_are_refused() -> None:
    layers: Layers = [
        {"kind": "column_embedding", "name": "all"},
        {"kind": "columns", "columns": ["price"], "inputs": ["all"]},
        {"kind": "dense", "units": 2},
    ]

    assert ("/network/layers/1/inputs", "impossible_shape") in refused(layers)
