"""What a short spec becomes, and what it is refused for."""

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from tests.trainer.spec_samples import DIGITS, PASSENGERS, job, resolved
from trainer.spec.errors import InvalidSpec, problems_of
from trainer.spec.job import JobSpec
from trainer.spec.resolve import Limits, resolve


def _problems(raw: Any, schema: Any = DIGITS, limits: Any = None) -> Any:
    with pytest.raises(InvalidSpec) as caught:
        resolve(JobSpec.model_validate(raw), schema, {}, limits)
    return {p.pointer: p for p in caught.value.problems}


def _mistakes(raw: Any) -> Any:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate(raw)
    return {p.pointer: p for p in problems_of(caught.value, raw, JobSpec)}


def test_a_short_spec_gets_the_practical_guides_defaults():
    spec = resolved(job()).resolved()

    hidden, output = spec["network"]["layers"][0], spec["network"]["layers"][-1]
    training = spec["training"]
    assert hidden["activation"] == {"kind": "elu", "alpha": 1.0}
    assert hidden["initializer"] == {"kind": "he_normal"}
    assert hidden["normalization"]["momentum"] == 0.9
    assert hidden["dropout"] == 0.2
    assert training["optimizer"] == {
        "kind": "nesterov",
        "learning_rate": 0.01,
        "momentum": 0.9,
    }
    assert training["schedule"] == {"kind": "none"}
    assert (training["batch_size"], training["epochs"]) == (64, 100)
    assert training["early_stopping"]["patience"] == 10
    assert training["early_stopping"]["restore_best"] is True
    assert (output["name"], output["units"]) == ("output", 10)
    assert output["initializer"] == {"kind": "glorot_uniform"}
    assert output["normalization"] == output["activation"] == {"kind": "none"}
    assert output["dropout"] == 0.0


@pytest.mark.parametrize(
    ("raw", "schema"),
    [
        (job(), DIGITS),
        (job(network={"layers": []}), DIGITS),
        (
            job(
                network={
                    "layers": [
                        {"kind": "conv2d", "filters": 4, "padding": "same"},
                        {"kind": "max_pool2d"},
                        {"kind": "residual", "filters": 8, "stride": 2},
                        {"kind": "dense", "units": 9, "normalization": None},
                    ]
                }
            ),
            DIGITS,
        ),
        (
            job(
                dataset={
                    "id": "p",
                    "target": "Survived",
                    "where": {"Fare": {"minimum": 3}},
                }
            ),
            PASSENGERS,
        ),
        (job(dataset={"id": "p", "target": ["Survived", "Minor"]}), PASSENGERS),
        (job(dataset={"id": "d", "task": "reconstruction"}), DIGITS),
    ],
)
def test_resolving_what_was_resolved_changes_nothing(raw: Any, schema: Any):
    first = resolved(raw, schema).resolved()

    again = resolved(json.loads(json.dumps(first)), schema).resolved()

    assert again == first


@pytest.mark.parametrize(
    ("dataset", "schema", "task", "units"),
    [
        ({"id": "d"}, DIGITS, "classification", 10),
        (
            {"id": "d", "where": {"label": {"in": [5, 6, 7]}}},
            DIGITS,
            "classification",
            3,
        ),
        ({"id": "d", "where": {"label": {"minimum": 5}}}, DIGITS, "classification", 5),
        ({"id": "d", "task": "regression"}, DIGITS, "regression", 1),
        ({"id": "d", "task": "reconstruction"}, DIGITS, "reconstruction", 784),
        ({"id": "p", "target": "Survived"}, PASSENGERS, "classification", 2),
        ({"id": "p", "target": "Port"}, PASSENGERS, "classification", 3),
        ({"id": "p", "target": "Fare"}, PASSENGERS, "regression", 1),
        ({"id": "p", "target": ["Survived", "Minor"]}, PASSENGERS, "multi_label", 2),
        ({"id": "p", "target": ["Age", "Fare"]}, PASSENGERS, "regression", 2),
    ],
)
def test_task_and_output_follow_from_the_target(
    dataset: Any, schema: Any, task: Any, units: Any
):
    found = resolved(job(dataset=dataset), schema)

    assert found.task == task
    assert found.layers[-1].output_shape == (units,)


def test_a_tables_categories_become_one_number_each_and_text_is_left_out():
    found = resolved(job(dataset={"id": "p", "target": "Survived"}), PASSENGERS)

    assert found.inputs.shape == (1 + 1 + 3 + 1,)
    assert found.inputs.left_out == ("Name",)
    assert any("Name" in warning for warning in found.warnings)
    assert found.spec.dataset.standardize is True


def test_an_uploaded_test_part_is_the_test_and_images_are_not_standardised():
    passengers = resolved(job(dataset={"id": "p", "target": "Port"}), PASSENGERS)
    digits = resolved(job())

    assert passengers.resolved()["dataset"]["split"]["test"] == {"part": "test"}
    assert digits.resolved()["dataset"]["split"]["test"] == 0.1
    assert digits.spec.dataset.standardize is False


def test_the_layer_table_counts_parameters_by_hand():
    rows = {row["name"]: row for row in resolved(job()).layer_table()}

    # weights and biases, then scale and shift of the normalisation
    assert rows["hidden1"]["parameters"] == 784 * 30 + 30 + 2 * 30
    assert rows["hidden2"]["parameters"] == 30 * 20 + 20 + 2 * 20
    assert rows["output"]["parameters"] == 20 * 10 + 10
    assert rows["hidden2"]["input_shape"] == [[30]]


@pytest.mark.parametrize(
    ("changes", "pointer", "suggestion"),
    [
        ({"trainin": {}}, "/trainin", "training"),
        ({"training": {"learning_rate": 1}}, "/training/learning_rate", None),
        ({"training": {"optimizer": "nestrov"}}, "/training/optimizer", "nesterov"),
        (
            {"training": {"optimizer": {"kind": "adamm"}}},
            "/training/optimizer/kind",
            "adam",
        ),
        (
            {"training": {"optimizer": {"kind": "adam", "beta_1": 0.9}}},
            "/training/optimizer/beta_1",
            "beta1",
        ),
        (
            {"network": {"layers": [{"kind": "denze", "units": 3}]}},
            "/network/layers/0/kind",
            "dense",
        ),
        (
            {"network": {"layers": [{"kind": "dense", "unit": 3}]}},
            "/network/layers/0/unit",
            "units",
        ),
        ({"name": "../../etc/passwd"}, "/name", None),
        ({"name": "line\nbreak"}, "/name", None),
        (
            {"dataset": {"id": "d", "split": {"test": {"part": 3}}}},
            "/dataset/split/test/part",
            None,
        ),
        (
            {"dataset": {"id": "d", "where": {"label": {}}}},
            "/dataset/where/label",
            None,
        ),
    ],
)
def test_a_mistake_is_named_by_its_place_with_what_was_meant(
    changes: Any, pointer: Any, suggestion: Any
):
    found = _mistakes(job(**changes))

    assert pointer in found, list(found)
    assert found[pointer].suggestion == suggestion


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        (
            {"network": {"layers": [{"kind": "dense"}]}},
            "/network/layers/0/units",
            "required",
        ),
        (
            {
                "network": {
                    "layers": [
                        {"kind": "dense", "units": 9},
                        {"kind": "conv2d", "filters": 3},
                    ]
                }
            },
            "/network/layers/1/kind",
            r"layer 2 .* takes images .* is given \[9\]",
        ),
        (
            {
                "network": {
                    "layers": [{"kind": "conv2d", "filters": 3, "kernel_size": 29}]
                }
            },
            "/network/layers/0/kernel_size",
            "looks at 29x29 positions, is given an image of 28x28",
        ),
        (
            {
                "network": {
                    "layers": [
                        {"name": "a", "kind": "dense", "units": 128},
                        {
                            "name": "b",
                            "kind": "dense",
                            "units": 256,
                            "inputs": ["input"],
                        },
                        {"kind": "add", "inputs": ["a", "b"]},
                    ]
                }
            },
            "/network/layers/2/inputs",
            r"equal shape, is given \[128\] and \[256\]",
        ),
        (
            {
                "network": {
                    "layers": [{"kind": "dense", "units": 3, "inputs": ["inptu"]}]
                }
            },
            "/network/layers/0/inputs/0",
            "no layer before",
        ),
        (
            {
                "network": {
                    "layers": [
                        {"name": "a", "kind": "dense", "units": 3},
                        {"name": "a", "kind": "dense", "units": 3},
                    ]
                }
            },
            "/network/layers/1/name",
            "two layers",
        ),
        (
            {"network": {"layers": [{"name": "output", "kind": "dense", "units": 9}]}},
            "/network/layers/0/units",
            "needs 10 units",
        ),
        ({"dataset": {"id": "d", "target": "lable"}}, "/dataset/target", "no column"),
        (
            {"dataset": {"id": "d", "where": {"label": {"in": [77]}}}},
            "/dataset/where/label",
            "0 classes are left",
        ),
        (
            {"dataset": {"id": "d", "split": {"validation": 0.6, "test": 0.5}}},
            "/dataset/split/test",
            "none is left",
        ),
        (
            {"dataset": {"id": "d", "split": {"test": {"rows": [0, 1001]}}}},
            "/dataset/split/test",
            "1000 rows",
        ),
        (
            {"training": {"early_stopping": {"monitor": "validation_acuracy"}}},
            "/training/early_stopping/monitor",
            "not measured",
        ),
        ({"training": {"loss": "mean_squared_error"}}, "/training/loss", "regression"),
        ({"reuse": [{"from": "nobody"}]}, "/reuse/0/from", "no catalogued model"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(changes: Any, pointer: Any, words: Any):
    found = _problems(job(**changes))

    assert pointer in found, {p: f.detail for p, f in found.items()}
    assert re.search(words, found[pointer].detail), found[pointer].detail


def test_a_network_of_a_billion_parameters_is_refused_before_it_is_built():
    layers = [
        {"kind": "dense", "units": 1_000_000},
        {"kind": "dense", "units": 1_000_000},
    ]

    found = _problems(job(network={"layers": layers}))

    assert found["/network/layers"].code == "too_large"


def test_limits_are_the_operators():
    found = _problems(job(), limits=Limits(layers=1))

    assert found["/network/layers"].detail.startswith("2 layers are asked for")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 0, "fast", [1]])
def test_a_learning_rate_is_a_positive_number(value: Any):
    raw = job(training={"optimizer": {"kind": "sgd", "learning_rate": value}})

    assert "/training/optimizer/learning_rate" in _mistakes(raw)


@pytest.mark.parametrize(
    ("activation", "told"), [("softmax", True), ("none", False), ("log_softmax", False)]
)
def test_an_output_that_repeats_its_loss_is_told(activation: str, told: bool) -> None:
    layers = [{"kind": "dense", "name": "output", "activation": activation}]

    warnings = resolved(job(network={"layers": layers})).warnings

    assert any("applied twice" in warning for warning in warnings) is told


def test_an_average_that_begins_after_the_last_epoch_is_refused():
    averaging = {"kind": "stochastic_weight_averaging", "start": {"epochs": 10}}

    found = _problems(job(training={"epochs": 10, "averaging": averaging}))

    assert found["/training/averaging/start"].code == "too_late"


def test_batches_of_one_row_are_refused_where_they_would_be_normalised():
    found = _problems(job(training={"batch_size": 1}))
    plain = {
        "defaults": {"normalization": "none"},
        "layers": job()["network"]["layers"],
    }

    assert "at least two rows" in found["/training/batch_size"].detail
    assert resolved(job(network=plain, training={"batch_size": 1}))


def test_a_text_is_no_target_and_no_number_either():
    dataset = {"id": "titanic", "target": "Name"}

    found = _problems(job(dataset=dataset), PASSENGERS)

    assert "upload it as a category" in found["/dataset/target"].detail
    assert found["/dataset/target"].suggestion is None
