"""What an auxiliary task comes to, and what is refused of it with what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.pairs import BY_EXAMPLE, BY_LABEL, METRIC, SIAMESE, TURNED
from tests.trainer.trainings import DENSE, numbers, pictures, spec
from trainer.data.dataset import Dataset, described
from trainer.spec.errors import InvalidSpec
from trainer.spec.job import JobSpec
from trainer.spec.resolve import Resolution, resolve

NOISE = [{"kind": "noise"}]


def resolved(what: dict[str, Any], data: Dataset | None = None) -> Resolution:
    schema = (data or pictures()).schema
    return resolve(JobSpec.model_validate(what), schema, {})


def wrong(what: dict[str, Any], data: Dataset | None = None) -> tuple[str, str]:
    with pytest.raises(InvalidSpec) as caught:
        resolved(what, data)
    problem = caught.value.problems[0]
    return problem.pointer, problem.code


@pytest.mark.parametrize(
    "what",
    [
        spec(SIAMESE, dataset=BY_LABEL),
        spec(METRIC, dataset=BY_LABEL, loss={"kind": "contrastive", "margin": 3}),
        spec(SIAMESE, dataset=BY_EXAMPLE, augmentation=NOISE),
        spec(DENSE, dataset=TURNED),
    ],
)
def test_resolving_what_was_resolved_changes_nothing(what: dict[str, Any]):
    once = resolved(what)

    again = resolved(once.resolved())

    assert again.resolved() == once.resolved()
    assert again.classes == once.classes


def test_the_resolved_spec_says_the_task_and_the_column_of_the_labels():
    found = resolved(spec(SIAMESE, dataset=BY_LABEL))

    told = found.resolved()["dataset"]
    assert told["auxiliary_task"] == {"kind": "same_or_different", "same": "label"}
    assert told["target"] == "label"
    assert (found.task, found.classes) == ("classification", ("different", "same"))
    assert found.target == ()
    assert found.inputs.shape == (2, 1, 6, 6)


def test_the_classes_of_a_rotation_are_its_angles():
    half = {"auxiliary_task": {"kind": "rotation", "angles": [0, 180]}}

    assert resolved(spec(DENSE, dataset=TURNED)).classes == (0, 90, 180, 270)
    assert resolved(spec(DENSE, dataset=half)).classes == (0, 180)


def test_a_contrastive_loss_puts_the_answer_at_half_its_margin():
    loss = {"kind": "contrastive", "margin": 3}

    found = resolved(spec(METRIC, dataset=BY_LABEL, loss=loss))

    last = found.resolved()["network"]["layers"][-1]
    assert last["name"] == "output"
    assert (last["kind"], last["threshold"]) == ("distance_threshold", 1.5)


@pytest.mark.parametrize(
    ("wish", "factor"), [(BY_LABEL, 1), (TURNED, 4)], ids=["pairs", "rotation"]
)
def test_an_epoch_is_estimated_by_its_examples(wish: dict[str, Any], factor: int):
    layers = SIAMESE if wish is BY_LABEL else DENSE

    alone = resolved(spec(DENSE)).estimate
    found = resolved(spec(layers, dataset=wish)).estimate

    assert found.training_rows == factor * alone.training_rows
    assert found.seconds_per_epoch > 0.8 * factor * alone.seconds_per_epoch


def test_a_number_of_pairs_is_the_number_of_examples_of_an_epoch():
    wish = {"auxiliary_task": {"kind": "same_or_different", "pairs": 1000}}

    assert resolved(spec(SIAMESE, dataset=wish)).estimate.training_rows == 1000


def test_views_that_are_made_once_are_in_the_estimate():
    views = resolved(spec(SIAMESE, dataset=BY_EXAMPLE, augmentation=NOISE)).estimate
    labels = resolved(spec(SIAMESE, dataset=BY_LABEL)).estimate

    held_back = 4
    assert views.data_bytes - labels.data_bytes >= held_back * 2 * 36 * 4


def test_features_of_a_table_leave_the_label_out():
    columns = {"x0": np.arange(20.0), "label": np.arange(20) % 2}
    table = described(Path("toy"), {"train": columns}, "toy")

    found = resolved(spec(SIAMESE, dataset=BY_EXAMPLE, augmentation=NOISE), table)

    assert [feature.name for feature in found.inputs.features] == ["x0"]


WIDE = described(
    Path("toy"),
    {"train": {"image": np.zeros((20, 6, 8), np.uint8), "label": np.arange(20) % 2}},
    "toy",
)
EXAMPLE = "/dataset/auxiliary_task"


@pytest.mark.parametrize(
    ("what", "data", "expected"),
    [
        (spec(DENSE, dataset=TURNED), numbers(), (EXAMPLE, "no_images")),
        (
            spec(DENSE, dataset=TURNED),
            WIDE,
            (f"{EXAMPLE}/angles", "impossible_shape"),
        ),
        (
            spec(SIAMESE, dataset=BY_LABEL),
            numbers(),
            ("/dataset/target", "too_few_examples"),
        ),
        (
            spec(SIAMESE, dataset=BY_EXAMPLE),
            None,
            ("/training/augmentation", "missing"),
        ),
        (
            spec(SIAMESE, dataset=BY_LABEL, mixing="mixup"),
            None,
            ("/training/mixing", "conflict"),
        ),
        (
            spec(SIAMESE, dataset=BY_LABEL, frozen_cache="required"),
            None,
            ("/training/frozen_cache", "conflict"),
        ),
        (
            spec(SIAMESE, dataset=BY_LABEL | {"examples_per_class": 1}),
            None,
            ("/dataset/examples_per_class", "too_few_examples"),
        ),
        (
            spec(DENSE, dataset=TURNED | {"examples_per_class": 5}),
            None,
            ("/dataset/examples_per_class", "conflict"),
        ),
        (
            spec(DENSE, dataset=TURNED | {"task": "reconstruction"}),
            None,
            ("/dataset/task", "conflict"),
        ),
        (
            spec(DENSE, dataset=TURNED | {"target": "lable"}),
            None,
            ("/dataset/target", "unknown_column"),
        ),
        (
            spec(DENSE, loss="contrastive"),
            None,
            ("/training/loss", "wrong_loss"),
        ),
        (
            spec(SIAMESE, dataset=BY_LABEL, loss="contrastive"),
            None,
            ("/network/layers/8", "wrong_output"),
        ),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_written(
    what: dict[str, Any], data: Dataset | None, expected: tuple[str, str]
):
    assert wrong(what, data) == expected


def test_a_contrastive_loss_is_for_pairs():
    far = {"kind": "euclidean_distance", "inputs": ["hidden1", "other"]}
    other = {"kind": "dense", "name": "other", "units": 6, "inputs": ["input"]}

    found = wrong(spec([DENSE[0], other, far], loss="contrastive"))

    assert found == ("/training/loss", "wrong_loss")


def test_windows_are_not_paired():
    columns = {"x0": np.arange(20.0), "label": np.arange(20) % 2}
    table = described(Path("toy"), {"train": columns}, "toy")
    first: list[dict[str, Any]] = [{"kind": "select"}, {"kind": "flatten"}]
    layers = [*first, SIAMESE[-1]]
    wish = BY_LABEL | {"windows": {"length": 3}}

    assert wrong(spec(layers, dataset=wish), table) == ("/dataset/windows", "conflict")
