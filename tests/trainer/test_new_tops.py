"""A network made from a model: upper layers dropped, replaced, added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trainer import trainings
from tests.trainer.spec_samples import DIGITS, job, resolved
from tests.trainer.test_spec_match import _source as source_of
from tests.trainer.trainings import order, pictures, spec
from trainer.doctor.patches import difference
from trainer.doctor.patient import Patient
from trainer.saved import model_folder
from trainer.spec.errors import InvalidSpec
from trainer.spec.job import JobSpec
from trainer.spec.reuse import Source

LAYERS: list[dict[str, Any]] = [
    {"kind": "conv2d", "name": "conv1", "filters": 4},
    {"kind": "max_pool2d", "name": "pool1"},
    {"kind": "conv2d", "name": "conv2", "filters": 5, "activation": "relu"},
    {"kind": "global_average_pool2d", "name": "mean"},
    {"kind": "dense", "name": "hidden1", "units": 9},
]
FORKED = [
    {"kind": "dense", "name": "trunk", "units": 9},
    {"kind": "dense", "name": "left", "units": 6, "inputs": ["trunk"]},
    {"kind": "dense", "name": "right", "units": 6, "inputs": ["trunk"]},
    {"kind": "add", "name": "sum", "inputs": ["left", "right"]},
]


def source(layers: Any = None) -> Source:
    """Return a model of all ten digits."""
    raw = job(network={"layers": layers or LAYERS})
    network = resolved(raw, DIGITS).resolved()["network"]
    return Source(**vars(source_of(raw)) | {"network": network})


def made(network: Any, layers: Any = None, **changes: Any) -> Any:
    reuse = [{"from": "low", "freeze": "conv."}]
    raw = job(network={"from": "low"} | network, reuse=reuse) | changes
    return resolved(raw, DIGITS, low=source(layers))


def names(found: Any) -> list[str]:
    return [row.name for row in found.layers]


BELOW = [str(layer["name"]) for layer in LAYERS]
TOP = {"kind": "dense", "name": "top", "units": 3}


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ({}, [*BELOW, "output"]),
        ({"layers": [TOP]}, [*BELOW, "top", "output"]),
        ({"drop_top": 1}, [*BELOW[:4], "output"]),
        ({"drop_top": 1, "layers": [TOP]}, [*BELOW[:4], "top", "output"]),
        ({"drop_top": 2}, ["conv1", "pool1", "output"]),
    ],
)
def test_upper_layers_are_dropped_replaced_and_added(
    network: Any, expected: list[str]
) -> None:
    assert names(made(network)) == expected


def test_what_only_dropped_layers_took_goes_with_them() -> None:
    found = made({"drop_top": 1}, FORKED, reuse=[])

    assert names(found) == ["trunk", "left", "output"]


def test_the_resolved_spec_writes_the_layers_out_and_stays_as_it_is() -> None:
    found = made({"drop_top": 1, "layers": [TOP]})

    written = found.resolved()

    assert {"from", "drop_top"}.isdisjoint(written["network"])
    assert written["network"]["layers"][2]["activation"]["kind"] == "relu"
    again = resolved(written, DIGITS, low=source())
    assert again.resolved() == written
    assert again.match_table() == found.match_table()


def test_the_match_table_tells_what_was_kept_dropped_and_new() -> None:
    table = made({"drop_top": 1, "layers": [TOP]}).match_table()

    assert {row["layer"]: row["state"] for row in table} == {
        "conv1": "frozen",
        "pool1": "reused",
        "conv2": "frozen",
        "mean": "reused",
        "top": "new",
        "output": "new",
        "hidden1": "dropped",
    }


@pytest.mark.parametrize(
    ("network", "place", "code"),
    [
        ({"drop_top": 3}, "/network/drop_top", "too_many"),
        ({"from": "nobody"}, "/network/from", "unknown_model"),
        (
            {"from": None, "drop_top": 1, "layers": [TOP]},
            "/network/drop_top",
            "conflict",
        ),
        ({"layers": [TOP | {"name": "conv2"}]}, "/network/layers/0/name", "duplicate"),
        (
            {"layers": [{"kind": "dense", "name": "top"}]},
            "/network/layers/0/units",
            "impossible_shape",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_where_it_was_written(
    network: Any, place: str, code: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        made(network, reuse=[])

    assert caught.value.problems[0].pointer == place
    assert caught.value.problems[0].code.startswith(code)


def test_the_doctor_leaves_the_model_named_unless_it_changes_a_layer() -> None:
    found = made({"drop_top": 1})
    written = job(network={"from": "low", "drop_top": 1})
    patient = Patient(written, JobSpec.model_validate(found.resolved()), lambda _: True)
    slower = {**patient.written, "training": {"epochs": 9}}
    layers = patient.written["network"]["layers"]
    other = {**patient.written, "network": {"layers": layers[:1]}}

    assert "network" not in difference(written, patient.whole(slower))
    patch = difference(written, patient.whole(other))["network"]
    assert patch["from"] is patch["drop_top"] is None
    assert patch["layers"] == layers[:1]


def test_a_model_is_trained_on_under_a_new_top_in_three_lines(tmp_path: Path) -> None:
    first = trainings.model(tmp_path / "first", spec(epochs=1), pictures(seed=9))
    what = spec(epochs=1) | {
        "network": {"from": "first", "drop_top": 1, "layers": [TOP]},
        "reuse": [{"from": "first", "freeze": 1}],
    }

    *_, result = trainings.carry_out(
        order(what, sources=[first], model=tmp_path / "second"), pictures()
    )

    description = model_folder.read(tmp_path / "second").description
    assert [layer["name"] for layer in description["layers"]] == [
        "hidden1",
        "top",
        "output",
    ]
    assert result["frozen"]
    assert all(row["before"] == row["after"] for row in result["frozen"])
