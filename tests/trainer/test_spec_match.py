"""The match table: which layers of a source go where, told before anything runs."""

from typing import Any

import pytest

from tests.trainer.spec_samples import DIGITS, PASSENGERS, job, resolved
from trainer.spec.errors import InvalidSpec
from trainer.spec.reuse import BadPattern, Glob, Source, select


def _source(raw: Any = None, schema: Any = DIGITS, name: Any = "low") -> Any:
    found = resolved(raw or job(), schema)
    return Source(
        id=f"mdl_{name}",
        name=name,
        version=1,
        order=tuple(row.name for row in found.layers),
        shapes={
            row.name: {n: t.shape for n, t in row.tensors.items()}
            for row in found.layers
        },
        classes=found.classes,
        input_shape=found.inputs.shape,
        columns=tuple((f.name, f.kind) for f in found.inputs.features),
    )


def _table(entry: Any, raw: Any = None, source: Any = None, **changes: Any) -> Any:
    raw = (raw or job()) | {"reuse": [{"from": "low"} | entry]} | changes
    return resolved(raw, low=source or _source())


def _states(found: Any) -> Any:
    return {row["layer"]: row["state"] for row in found.match_table()}


def _problem(entry: Any, **changes: Any) -> Any:
    with pytest.raises(InvalidSpec) as caught:
        _table(entry, **changes)
    return caught.value.problems[0]


ORDER = ("hidden1", "hidden2", "hidden10", "output")


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        ("hidden[12]", ["hidden1", "hidden2"]),
        ("hidden1", ["hidden1"]),
        (".*", list(ORDER)),
        (Glob(glob="hidden*"), ["hidden1", "hidden2", "hidden10"]),
        (("hidden2", "output"), ["hidden2", "output"]),
        (2, ["hidden1", "hidden2"]),
        (9, ["hidden1", "hidden2", "hidden10"]),
        ("nothing", []),
    ],
)
def test_layers_are_chosen_by_regex_glob_list_and_count(selection: Any, chosen: Any):
    assert select(selection, ORDER) == chosen


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "a)|(b", "a{99999}{99999}"])
def test_a_pattern_that_cannot_be_read_is_refused(pattern: Any) -> None:
    with pytest.raises(BadPattern, match="no regular expression"):
        select(pattern, ORDER)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("pattern", ["(a|a)*b", "(a+)+b", "(a*)*b", "a*" * 30 + "b"])
def test_no_pattern_keeps_the_server_busy(pattern: Any) -> None:
    assert select(pattern, ("a" * 100,)) == []


def test_reused_frozen_and_new_layers_stand_in_the_table():
    layers = [
        *job()["network"]["layers"],
        {"name": "hidden3", "kind": "dense", "units": 9},
    ]

    found = _table(
        {"layers": "hidden.*", "freeze": "hidden1"}, network={"layers": layers}
    )

    assert _states(found) == {
        "hidden1": "frozen",
        "hidden2": "reused",
        "hidden3": "new",
        "output": "new",
    }
    assert found.frozen == {"hidden1"}
    assert found.layer_table()[0]["source"] == "mdl_low"


def test_classes_that_differ_make_a_new_output_and_the_table_shows_it():
    dataset = {"id": "d", "where": {"label": {"in": [5, 6, 7]}}}

    rows = _table({"layers": ".*"}, dataset=dataset).match_table()

    outputs = {row["state"]: row["reason"] for row in rows if row["layer"] == "output"}
    assert outputs == {"new": None, "dropped": "the classes differ"}


def test_the_same_classes_let_the_output_be_reused():
    assert _states(_table({"layers": ".*"}))["output"] == "reused"


def test_a_layer_that_the_new_network_lacks_is_dropped():
    layers = [{"name": "hidden1", "kind": "dense", "units": 30}]

    found = _table({"layers": "hidden.*"}, network={"layers": layers})

    assert _states(found)["hidden2"] == "dropped"


OTHER = {
    "layers": [
        {"name": "hidden1", "kind": "dense", "units": 30},
        {"name": "hidden2", "kind": "dense", "units": 25},
    ]
}


def test_shapes_that_differ_are_refused_by_default():
    problem = _problem({"layers": "hidden.*"}, network=OTHER)

    assert problem.code == "shape_mismatch"
    assert "[25, 30]" in problem.detail
    assert "[20, 30]" in problem.detail


@pytest.mark.parametrize(("how", "state"), [("skip", "new"), ("adapt", "reused")])
def test_shapes_that_differ_are_skipped_or_adapted_on_request(how: Any, state: Any):
    found = _table({"layers": "hidden.*", "on_mismatch": how}, network=OTHER)

    row = next(row for row in found.match_table() if row["layer"] == "hidden2")
    assert row["state"] == state
    assert row["adapted"] is (how == "adapt")


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"layers": "hiden.*"}, "nothing_matched"),
        ({"layers": {"glob": "conv*"}}, "nothing_matched"),
        ({"layers": ["hidden1", "hiden2"]}, "unknown_layer"),
        ({"layers": "hidden1", "freeze": "hidden2"}, "nothing_matched"),
        ({"layers": "(a+"}, "bad_pattern"),
    ],
)
def test_a_selection_that_finds_nothing_is_never_silent(entry: Any, code: Any):
    assert _problem(entry).code == code


def test_a_layer_taken_from_two_sources_is_refused():
    raw = job(reuse=[{"from": "low"}, {"from": "high", "layers": "hidden1"}])

    with pytest.raises(InvalidSpec, match="already taken"):
        resolved(raw, low=_source(), high=_source(name="high"))


def test_the_source_of_the_lowest_layers_brings_its_preprocessing():
    low = _table({"layers": "hidden1", "freeze": "hidden1"})
    high = _table({"layers": "hidden2"})

    assert low.preprocessing_from == 0
    assert high.preprocessing_from is None


def test_a_source_that_reads_other_columns_is_refused():
    raw = job(dataset={"id": "p", "target": "Survived"})
    fewer = job(dataset={"id": "p", "target": "Survived", "features": ["Age", "Fare"]})
    source = _source(raw, PASSENGERS)

    found = resolved(fewer | {"reuse": [{"from": "low"}]}, PASSENGERS, low=source)

    assert found.inputs.shape == source.input_shape
    with pytest.raises(InvalidSpec, match="trained on inputs of shape"):
        _table({"layers": "hidden1"}, source=source)
