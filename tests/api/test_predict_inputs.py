"""Predictions from texts, names and time series, and what is told of wrong rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.api.lab import Lab, add_dataset
from tests.api.test_predict import ask, describe, place_graph, refused
from trainer.spec.data import Windows
from trainer.spec.data.encodings import Embedding, Text
from trainer.spec.data.schema import Column, Part, Schema, Value
from trainer.spec.data.words import counted

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""A prediction asks the database for one row only."""

SAID = ["good and cheap", "bad and dear", "good good", "bad bad bad"]
REVIEWS = Schema(
    rows=4,
    parts=(Part(name="train", start=0, stop=4),),
    columns=(
        Column(name="said", kind="text", words=counted(SAID)),
        Column(name="shop", kind="category", categories=("north", "south")),
        Column(
            name="good",
            kind="integer",
            distinct=2,
            values=(Value(value=0, count=2, train=2), Value(value=1, count=2, train=2)),
        ),
    ),
    target="good",
)
REVIEW_COLUMNS = {
    "said": np.array(SAID, object),
    "shop": np.array([0, 1, 0, 1], np.int32),
}
SERIES = Schema(
    rows=9,
    parts=(Part(name="train", start=0, stop=9),),
    columns=(
        Column(name="day", kind="integer", minimum=0, maximum=8),
        Column(name="sold", kind="number"),
        Column(name="shop", kind="category", categories=("north", "south")),
    ),
    target="sold",
)
SERIES_COLUMNS = {
    "day": np.arange(9),
    "sold": np.arange(9.0),
    "shop": np.zeros(9, np.int32),
}


@pytest.fixture
def reviews(lab: Lab, ledger: Path) -> str:
    """Return the id of a model of reviews that can predict."""
    model_id = lab.model()
    encodings: dict[str, Any] = {
        "said": Text(length=3).filled(REVIEWS.columns[0]),
        "shop": Embedding().filled(REVIEWS.columns[1]),
    }
    place_graph(
        ledger, model_id, REVIEWS, ["said", "shop"], REVIEW_COLUMNS, 2,
        encodings=encodings,
    )  # fmt: skip
    describe(model_id, classes=[0, 1], target=["good"])
    return model_id


@pytest.fixture
def sales(lab: Lab, ledger: Path) -> str:
    """Return the id of a model of a time series; it answers the sum of a window."""
    model_id = lab.model()
    place_graph(
        ledger, model_id, SERIES, ["sold"], SERIES_COLUMNS, 2,
        rows=np.array([3, 8]),
        windows=Windows(length=3, order_by="day", group_by="shop"),
    )  # fmt: skip
    describe(model_id, classes=[], target=["sold"], task="regression")
    return model_id


@pytest.mark.parametrize(
    "row",
    [
        {"said": "good and cheap", "shop": "north"},
        {"said": "", "shop": "west"},
        {"said": None, "shop": None},
        {"said": "🦓 naïve 日本語", "shop": "🦓"},
        {"said": "good " * 20_000, "shop": "south"},
    ],
    ids=["known", "empty", "missing", "odd", "long"],
)
def test_any_text_and_any_category_has_an_answer(
    lab: Lab, reviews: str, row: dict[str, Any]
) -> None:
    (prediction,) = ask(lab, reviews, rows=[row])["predictions"]

    assert sum(prediction["probabilities"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("row", "place", "code"),
    [
        ({"said": "good"}, "/rows/1/shop", "missing_column"),
        ({"shop": "north"}, "/rows/1/said", "missing_column"),
        ({"said": 7, "shop": "north"}, "/rows/1/said", "bad_value"),
        ({"said": ["good"], "shop": "north"}, "/rows/1/said", "bad_value"),
        ({"said": "a", "shop": "b", "shops": "c"}, "/rows/1/shops", "unknown_column"),
    ],
)
def test_a_row_that_does_not_fit_is_told_with_its_column(
    lab: Lab, reviews: str, row: dict[str, Any], place: str, code: str
) -> None:
    fine = {"said": "good", "shop": "north"}

    assert refused(lab, reviews, rows=[fine, row]) == [(place, code)]


def test_half_a_character_is_refused(lab: Lab, reviews: str) -> None:
    body = b'{"rows": [{"said": "\\ud83d", "shop": "north"}]}'

    answer = lab.client.post(
        f"/v1/models/{reviews}/predict",
        content=body,
        headers={"Content-Type": "application/json"},
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_text")


def days(shop: str, *sold: float) -> list[dict[str, Any]]:
    return [{"day": day, "sold": s, "shop": shop} for day, s in enumerate(sold)]


def test_rows_of_a_series_are_answered_once_for_each_series(
    lab: Lab, sales: str
) -> None:
    rows = days("south", 9, 1, 2, 3) + days("an unknown one", 4, 4, 4)

    told = ask(lab, sales, rows=list(reversed(rows)))

    # fitted to the rows 0 to 2 and 5 to 7: mean 3.5
    deviation = np.std([0, 1, 2, 5, 6, 7])
    found = [prediction["values"][1] for prediction in told["predictions"]]
    expected = np.array([3 * (4 - 3.5), 6 - 3 * 3.5]) / deviation
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    series = [prediction["series"] for prediction in told["predictions"]]
    assert series == ["an unknown one", "south"]


def test_a_category_that_was_never_seen_is_remarked_upon(
    lab: Lab, reviews: str
) -> None:
    rows = [{"said": "good", "shop": "north"}, {"said": "good", "shop": "west"}]

    told = ask(lab, reviews, rows=[*rows, {"said": None, "shop": None}])

    (remark,) = told["remarks"]
    assert remark.startswith("row 1: 'west' is none of the 2 categories of 'shop'")


def test_too_few_rows_of_a_series_are_refused(lab: Lab, sales: str) -> None:
    rows = days("south", 1, 2, 3) + days("north", 1, 2)

    assert refused(lab, sales, rows=rows) == [("/rows/4", "bad_value")]


def test_a_row_of_a_series_needs_its_moment(lab: Lab, sales: str) -> None:
    rows = days("south", 1, 2, 3)
    rows[1]["day"] = None

    assert refused(lab, sales, rows=rows) == [("/rows/1/day", "bad_value")]


def test_a_dry_run_says_what_each_column_becomes(lab: Lab) -> None:
    add_dataset("reviews", REVIEWS)
    spec = lab.spec(dataset={"id": "reviews"})

    told = lab.client.post("/v1/jobs", params={"dry_run": True}, json=spec).json()

    assert [(line["column"], line["encoding"]) for line in told["inputs"]] == [
        ("said", "text"),
        ("shop", "one_hot"),
    ]
    assert told["layers"][0]["name"] == "features"
    assert told["layers"][0]["kind"] == "column_embedding"
    assert told["resolved_spec"]["dataset"]["encodings"]["said"]["length"] == 3


def test_an_encoding_that_cannot_be_is_refused_at_the_submit(lab: Lab) -> None:
    add_dataset("reviews", REVIEWS)
    dataset = {"id": "reviews", "encodings": {"sayd": "text", "shop": "date"}}

    answer = lab.client.post("/v1/jobs", json=lab.spec(dataset=dataset))

    assert answer.status_code == 422
    assert [
        (each["pointer"], each["suggestion"]) for each in answer.json()["errors"]
    ] == [
        ("/dataset/encodings/sayd", "said"),
        ("/dataset/encodings/shop", "one_hot"),
    ]
