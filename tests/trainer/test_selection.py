"""Which rows are used: the order of choices, the shares, the draws."""

from typing import Any

import numpy as np
import pytest

from trainer.data.selection import Selection, select
from trainer.data.targets import MISSING, targets_of
from trainer.errors import NoCondition, NonFinite, NoRows, NoTarget
from trainer.spec.data import DatasetRef
from trainer.spec.data.schema import Column, Part, Schema

ROWS = 220
COLUMNS = (
    Column(name="digit", kind="integer"),
    Column(name="colour", kind="category", categories=("blue", "red")),
    Column(name="size", kind="number"),
    Column(name="good", kind="boolean"),
    Column(name="words", kind="text"),
)
STORED: dict[str, Any] = {
    "digit": np.arange(ROWS) % 4,
    "colour": (np.arange(ROWS) % 2).astype(np.int32),
    "size": np.arange(ROWS, dtype=np.float64),
    "good": (np.arange(ROWS) % 3 == 0).astype(np.uint8),
}
TRAIN = Part(name="train", start=0, stop=200)
TEST = Part(name="test", start=200, stop=220)


def schema(*parts: Part) -> Schema:
    return Schema(rows=ROWS, parts=parts or (TRAIN, TEST), columns=COLUMNS)


def chosen(
    what: dict[str, Any] | None = None, *parts: Part, seed: int = 3, **stored: Any
) -> Selection:
    """Select rows to tell the digit, of all four classes."""
    reference = DatasetRef.model_validate(
        {"id": "toy", "target": "digit"} | (what or {})
    )
    columns, described = STORED | stored, schema(*parts)
    targets = targets_of("classification", ["digit"], (0, 1, 2, 3), described, columns)
    return select(reference, described, columns, targets.labels, seed)


def counts(rows: Any) -> list[int]:
    """Return how many of the rows are of each class."""
    return [int(n) for n in np.bincount(STORED["digit"][rows], minlength=4)]


def test_an_uploaded_test_part_is_used_and_a_tenth_of_the_rest_validates() -> None:
    rows = chosen()

    assert rows.test.tolist() == list(range(200, 220))
    assert (len(rows.train), len(rows.validation)) == (180, 20)
    assert np.intersect1d(rows.train, rows.validation).size == 0


def test_without_a_test_part_a_tenth_is_held_back() -> None:
    rows = chosen(None, Part(name="train", start=0, stop=220))

    assert (len(rows.train), len(rows.validation), len(rows.test)) == (176, 22, 22)
    together = np.concatenate([rows.train, rows.validation, rows.test])
    assert np.unique(together).size == 220


def test_classes_keep_their_shares() -> None:
    rows = chosen({"split": {"validation": 0.2, "test": 0.1}})

    assert counts(rows.validation) == [10, 10, 10, 10]
    assert counts(rows.test) == [5, 5, 5, 5]


def test_classes_need_not_keep_their_shares() -> None:
    rows = chosen({"split": {"validation": 0.2, "stratify": False}})

    assert len(rows.validation) == 40
    assert counts(rows.validation) != [10, 10, 10, 10]


def test_shares_of_uneven_classes_add_up() -> None:
    rows = chosen({"split": {"validation": 0.1}}, digit=np.minimum(np.arange(ROWS), 3))

    assert len(rows.validation) == 20


def test_a_range_counts_rows_of_the_training_part() -> None:
    split = {"validation": {"rows": [0, 50]}, "test": {"rows": [150, 200]}}
    rows = chosen({"split": split})

    assert rows.validation.tolist() == list(range(50))
    assert rows.train.tolist() == list(range(50, 150))
    assert rows.test.tolist() == list(range(150, 200))


def test_rows_may_all_be_trained_on() -> None:
    rows = chosen({"split": {"validation": None, "test": "none"}})

    assert (len(rows.train), len(rows.validation), len(rows.test)) == (200, 0, 0)


def test_the_seed_fixes_the_rows() -> None:
    assert chosen().validation.tolist() == chosen().validation.tolist()
    assert chosen().validation.tolist() != chosen(seed=4).validation.tolist()


def test_conditions_hold_after_the_split() -> None:
    rows = chosen({"where": {"digit": {"in": [0, 2]}}})

    assert counts(rows.train) == [45, 0, 45, 0]
    assert counts(rows.validation) == [5, 0, 5, 0]
    assert counts(rows.test) == [5, 0, 5, 0]


@pytest.mark.parametrize(
    ("where", "test_rows"),
    [
        ({"colour": {"in": ["red"]}}, list(range(201, 220, 2))),
        ({"colour": {"not_in": ["red"]}}, list(range(200, 220, 2))),
        ({"size": {"minimum": 50, "maximum": 202}}, [200, 201, 202]),
        ({"good": {"in": [True]}}, [201, 204, 207, 210, 213, 216, 219]),
        (
            {"colour": {"in": ["red"]}, "size": {"maximum": 203}},
            [201, 203],
        ),
    ],
)
def test_rows_are_used_only_where_every_condition_holds(
    where: dict[str, Any], test_rows: list[int]
) -> None:
    assert chosen({"where": where}).test.tolist() == test_rows


def test_a_missing_value_satisfies_no_condition() -> None:
    size = np.where(np.arange(ROWS) == 205, np.nan, STORED["size"])

    rows = chosen({"where": {"size": {"not_in": [1.0]}}}, size=size)

    assert 205 not in rows.test


def test_a_few_examples_of_each_class_are_drawn_from_the_training_rows() -> None:
    rows = chosen({"examples_per_class": 7})

    assert counts(rows.train) == [7, 7, 7, 7]
    assert len(rows.validation) == 20


def test_validation_rows_can_be_few_as_well() -> None:
    rows = chosen({"examples_per_class": {"train": 7, "validation": 2}})

    assert counts(rows.train) == [7, 7, 7, 7]
    assert counts(rows.validation) == [2, 2, 2, 2]
    assert len(rows.test) == 20


def test_a_class_with_fewer_examples_is_told() -> None:
    rows = chosen({"examples_per_class": 46})

    assert counts(rows.train) == [45, 45, 45, 45]
    assert rows.warnings[0] == "class number 0 has 45 train rows, 46 were asked for"


def test_rows_without_a_target_are_left_out_with_a_word() -> None:
    digit = np.where(np.arange(ROWS) % 10 == 0, np.nan, np.arange(ROWS) % 4)
    columns = (Column(name="digit", kind="number"), *COLUMNS[1:])
    described = schema().model_copy(update={"columns": columns})
    stored = STORED | {"digit": digit}
    targets = targets_of("classification", ["digit"], (0, 1, 2, 3), described, stored)

    rows = select(DatasetRef(id="toy"), described, stored, targets.labels, 1)

    assert (len(rows.train), len(rows.validation), len(rows.test)) == (162, 18, 18)
    assert rows.warnings == ("20 rows without a target are left out",)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ({"where": {"size": {"minimum": 1000}}}, "no rows are left for training"),
        ({"where": {"size": {"maximum": 100}}}, "no rows are left for test"),
        ({"split": {"test": {"part": "exam"}}}, "has no part 'exam'"),
        ({"split": {"test": {"rows": [0, 300]}}}, "part 'train' has 200"),
    ],
)
def test_a_choice_that_leaves_nothing_is_refused(
    what: dict[str, Any], told: str
) -> None:
    with pytest.raises(NoRows, match=told):
        chosen(what)


@pytest.mark.parametrize("column", ["words", "nothing"])
def test_some_columns_cannot_be_compared(column: str) -> None:
    with pytest.raises(NoCondition):
        chosen({"where": {column: {"in": ["x"]}}})


def test_class_numbers_are_positions_among_the_classes() -> None:
    digits = targets_of("classification", ["digit"], (2, 3), schema(), STORED)
    colours = targets_of("classification", ["colour"], ("red",), schema(), STORED)

    assert digits.classes is not None
    assert digits.classes[:6].tolist() == [-1, -1, 0, 1, -1, -1]
    assert colours.classes is not None
    assert colours.classes[:4].tolist() == [-1, 0, -1, 0]


def test_a_missing_class_is_not_taken_for_another() -> None:
    stored = STORED | {"colour": np.full(ROWS, -1, np.int32)}
    targets = targets_of(
        "classification", ["colour"], ("blue", "red"), schema(), stored
    )

    assert targets.classes is not None
    assert set(targets.classes.tolist()) == {MISSING}


def test_several_targets_stand_side_by_side() -> None:
    targets = targets_of("regression", ["size", "digit"], (), schema(), STORED)

    found = targets.of(np.array([5, 9]), ["size", "digit"])

    assert found is not None
    assert found.tolist() == [[5, 1], [9, 1]]


def test_an_infinite_target_is_refused() -> None:
    stored = STORED | {"size": np.full(ROWS, np.inf)}
    targets = targets_of("regression", ["size"], (), schema(), stored)

    with pytest.raises(NonFinite, match="column 'size'"):
        targets.of(np.array([5]), ["size"])


@pytest.mark.parametrize("column", ["words", "nothing"])
def test_some_columns_cannot_be_learned(column: str) -> None:
    with pytest.raises(NoTarget, match=column):
        targets_of("classification", [column], ("a", "b"), schema(), STORED)
