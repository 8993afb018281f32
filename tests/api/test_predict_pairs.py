"""Predictions of models that compare two examples: a row is a list of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.api.lab import DIGITS, FLOWERS, Lab
from tests.api.test_predict import (
    FLOWER,
    FLOWER_COLUMNS,
    PICTURE,
    ask,
    describe,
    place_graph,
    refused,
)

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SMALL = {"length": 1, "width": 0}


@pytest.fixture
def pairs(lab: Lab, ledger: Path) -> str:
    """Return the id of a model that compares flowers."""
    model_id = lab.model("flowers")
    names = ["length", "width"]
    place_graph(ledger, model_id, FLOWERS, names, FLOWER_COLUMNS, 2, examples=2)
    describe(model_id, classes=["different", "same"], target=[])
    return model_id


@pytest.fixture
def pictures(lab: Lab, ledger: Path) -> str:
    """Return the id of a model that compares digits."""
    model_id = lab.model()
    columns = {"image": np.zeros((4, 8, 8, 1), np.uint8)}
    place_graph(ledger, model_id, DIGITS, ["image"], columns, 2, examples=2)
    describe(model_id, classes=["different", "same"], target=[])
    return model_id


def test_each_pair_is_answered_once_and_sees_both_examples(
    lab: Lab, pairs: str
) -> None:
    told = ask(lab, pairs, rows=[[FLOWER, SMALL], [FLOWER, FLOWER], [SMALL, SMALL]])

    probabilities = [each["probabilities"][1] for each in told["predictions"]]
    # lengths are standardised by 4 and sqrt(5), widths by 1 and sqrt(2/3)
    sums = [3 / 5**0.5 + 1.5**0.5, -3 / 5**0.5 - 1.5**0.5]
    expected = [sums[0] + sums[1], 2 * sums[0], 2 * sums[1]]
    assert probabilities == pytest.approx(1 / (1 + np.exp(-np.array(expected))))
    assert told["classes"] == ["different", "same"]


def test_two_images_may_be_lists_or_files(lab: Lab, pictures: str) -> None:
    image = PICTURE[..., None].tolist()

    told = ask(lab, pictures, images=[[image, image]])

    assert len(told["predictions"]) == 1


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([FLOWER, FLOWER], [("/rows/0", "not_a_pair"), ("/rows/1", "not_a_pair")]),
        ([[FLOWER]], [("/rows/0", "not_a_pair")]),
        ([[FLOWER] * 3], [("/rows/0", "not_a_pair")]),
        (
            [[FLOWER, FLOWER], [FLOWER, {"length": 1}]],
            [("/rows/1/1/width", "missing_column")],
        ),
        (
            [[FLOWER, FLOWER], [FLOWER, SMALL | {"length": "x"}]],
            [("/rows/1/1/length", "bad_value")],
        ),
        ([[FLOWER, 3]], [("/rows/0/1", "not_an_object")]),
    ],
)
def test_what_is_wrong_is_named_by_its_pair_and_its_place_in_it(
    lab: Lab, pairs: str, rows: Any, expected: list[tuple[str, str]]
) -> None:
    assert refused(lab, pairs, rows=rows) == expected
