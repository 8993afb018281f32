"""A source's layers under other names: where they go, and where they cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer import trainings
from tests.trainer.networks import DENSE, IMAGE, network
from tests.trainer.test_reuse import catalogue
from tests.trainer.trainings import order, pictures, spec
from trainer.reuse import load, source_of
from trainer.spec.layer_map import destinations
from trainer.spec.reuse import Reuse, match

ENCODER: list[dict[str, Any]] = [
    {"kind": "dense", "name": "encoder1", "units": 12},
    {"kind": "dense", "name": "encoder2", "units": 9},
    {"kind": "dense", "name": "top", "units": 5},
]


@pytest.mark.parametrize(
    ("rename", "goes"),
    [
        ({"a1": "b1"}, ["b1", "a2", "c"]),
        ({"a*": "b*"}, ["b1", "b2", "c"]),
        ({"a*": "b*", "a2": "top"}, ["b1", "top", "c"]),
        ({"*1": "*-one"}, ["a-one", "a2", "c"]),
        ({"a1": "a2", "a2": "a1"}, ["a2", "a1", "c"]),
        ({}, ["a1", "a2", "c"]),
    ],
)
def test_a_map_moves_what_it_names_and_nothing_else(
    rename: dict[str, str], goes: list[str]
) -> None:
    assert list(destinations(rename, ["a1", "a2", "c"]).values()) == goes


def matched(folder: Path, **entry: Any) -> tuple[list[Any], list[Any]]:
    wanted = Reuse.model_validate({"from": "source", **entry})
    rows = network(ENCODER).rows
    return match([wanted], [source_of(folder, "mdl_1")], rows, (0, 1, 2, 3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return catalogue(tmp_path / "source", network(DENSE, seed=8))


@pytest.mark.parametrize(
    ("layers", "rename", "place", "code", "suggestion"),
    [
        (".*", {"hiden1": "encoder1"}, "/hiden1", "unknown_layer", "hidden1"),
        (".*", {"hidden1": "encodr1"}, "/hidden1", "unknown_target", "encoder1"),
        (".*", {"h*": "code*"}, "/h*", "unknown_target", None),
        (".*", {"x*": "encoder*"}, "/x*", "nothing_matched", None),
        (".*", {"hidden*": "encoder1"}, "/hidden*", "bad_pattern", None),
        ("hidden1", {"hidden2": "encoder2"}, "/hidden2", "not_chosen", "name it"),
        (
            "hidden[12]",
            {"hidden1": "encoder1", "hidden2": "encoder1"},
            "",
            "reused_twice",
            None,
        ),
    ],
)
def test_a_map_that_leads_nowhere_is_refused_at_its_place(
    folder: Path,
    layers: Any,
    rename: dict[str, str],
    place: str,
    code: str,
    suggestion: str | None,
) -> None:
    _, problems = matched(folder, layers=layers, rename=rename)

    assert problems[0].code == code
    assert problems[0].pointer == f"/reuse/0/rename{place}"
    assert (problems[0].suggestion or "").startswith(suggestion or "")


def test_renamed_layers_hold_the_sources_numbers_under_our_names(folder: Path) -> None:
    source = network(DENSE, seed=8)
    matches, problems = matched(
        folder, layers=2, rename={"hidden*": "encoder*"}, freeze="hidden1"
    )
    net = network(ENCODER)

    loaded = load(net, matches, [folder])

    assert problems == []
    assert loaded.reused == ("encoder1", "encoder2")
    assert loaded.frozen == ("encoder1",)
    assert set(loaded.before) == {
        f"{layer}.{tensor}"
        for layer in ("encoder1", "encoder2")
        for tensor in net.layers[layer].state_dict()
    }
    assert torch.equal(
        net.layers["encoder1"].state_dict()["weight"],
        source.layers["hidden1"].state_dict()["weight"],
    )
    assert {m.layer: m.source_layer for m in matches if m.state == "reused"} == {
        "encoder1": "hidden1",
        "encoder2": "hidden2",
    }


def test_one_source_may_fill_several_layers_by_one_entry_each(folder: Path) -> None:
    rows = network(
        [
            {"kind": "dense", "name": "left", "units": 12},
            {"kind": "dense", "name": "right", "units": 12, "inputs": ["input"]},
            {"kind": "concatenate", "inputs": ["left", "right"]},
        ],
        IMAGE,
    ).rows
    entries = [
        Reuse.model_validate(
            {"from": "s", "layers": "hidden1", "rename": {"hidden1": name}}
        )
        for name in ("left", "right")
    ]
    found = source_of(folder, "mdl_1")

    matches, problems = match(entries, [found, found], rows, (0, 1, 2, 3))

    assert problems == []
    assert [m.layer for m in matches if m.source_layer == "hidden1"] == [
        "left",
        "right",
    ]


def test_a_job_proves_renamed_frozen_layers_by_the_sources_file(tmp_path: Path) -> None:
    first = trainings.model(
        tmp_path / "source", spec(DENSE, epochs=1, seed=1), pictures(seed=9)
    )
    entry = {
        "from": "source",
        "layers": "hidden[12]",
        "rename": {"hidden*": "encoder*"},
        "freeze": "hidden[12]",
    }
    wanted = spec(ENCODER, reuse=[entry], epochs=1)
    asked = order(wanted, sources=[first], model=tmp_path / "model")

    *_, result = trainings.carry_out(asked, pictures())

    assert {row["tensor"].partition(".")[0] for row in result["frozen"]} == {
        "encoder1",
        "encoder2",
    }
    assert all(row["before"] == row["after"] for row in result["frozen"])
