"""Preprocessing: what a network is given, worked out by hand on a few rows."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from trainer.errors import BadValue, NonFinite, PreprocessingLost
from trainer.preprocessing import Preprocessing
from trainer.preprocessing.encodings import NO_BOOLEAN, NO_DATE
from trainer.spec.data.schema import Column, Part, Schema

TABLE = Schema(
    rows=5,
    parts=(Part(name="train", start=0, stop=5),),
    columns=(
        Column(name="age", kind="number"),
        Column(name="colour", kind="category", categories=("blue", "green", "red")),
        Column(name="alive", kind="boolean"),
        Column(name="born", kind="date"),
        Column(name="same", kind="integer"),
    ),
)
COLUMNS = {
    "age": np.array([1.0, 3.0, np.nan, 100.0, 5.0]),
    "colour": np.array([2, 2, -1, 0, 1], np.int32),
    "alive": np.array([1, 1, NO_BOOLEAN, 0, 0], np.uint8),
    "born": np.array([0, 2_000_000, NO_DATE, 7, 1_000_000], np.int64),
    "same": np.array([4, 4, 4, 9, 4]),
}
NAMES = ["age", "colour", "alive", "born", "same"]
TRAIN = np.array([0, 1, 2])


def save(fitted: Preprocessing, folder: Path) -> None:
    """Write the two files of a model folder that hold its preprocessing."""
    text = json.dumps({"preprocessing": fitted.described()})
    (folder / "model.json").write_text(text)
    save_file(dict(fitted.arrays), folder / "preprocessing.safetensors")


@pytest.fixture
def fitted() -> Preprocessing:
    return Preprocessing.fit(TABLE, COLUMNS, NAMES, TRAIN, standardize=True)


def test_a_table_becomes_standardised_numbers_and_ones_and_zeros(
    fitted: Preprocessing,
) -> None:
    # training rows 0-2: age 1, 3, missing → mean 2, deviation 1; born 0 s, 2 s → 1 s
    expected = [
        [-1, 0, 0, 1, 1, -1, 0],
        [1, 0, 0, 1, 1, 1, 0],
        [0, 0, 0, 1, 1, 0, 0],
    ]
    assert fitted.shape == (7,)
    np.testing.assert_array_equal(fitted.apply(COLUMNS, TRAIN), expected)


def test_numbers_are_left_as_they_are_on_request() -> None:
    fitted = Preprocessing.fit(TABLE, COLUMNS, ["age"], TRAIN, standardize=False)

    # the missing value of row 2 becomes the mean of 1 and 3
    assert fitted.apply(COLUMNS)[:, 0].tolist() == [1, 3, 2, 100, 5]


def test_other_rows_are_scaled_by_the_training_rows(fitted: Preprocessing) -> None:
    later = fitted.apply(COLUMNS, np.array([4]))

    # 5 is (5 - 2) / 1; green; not alive; born at the mean; a constant stays at 0
    np.testing.assert_array_equal(later, [[3, 0, 1, 0, 0, 0, 0]])


def test_a_constant_of_the_training_rows_stays_at_zero(fitted: Preprocessing) -> None:
    assert fitted.apply(COLUMNS, np.array([3]))[0, -1] == 0


def test_rows_written_as_json_equal_the_stored_rows(fitted: Preprocessing) -> None:
    written = [
        {
            "age": 1,
            "colour": "red",
            "alive": True,
            "born": "1970-01-01T00:00:00",
            "same": 4,
        },
        {"age": None, "colour": None, "alive": None, "born": None, "same": 4},
    ]

    np.testing.assert_array_equal(
        fitted.apply(written), fitted.apply(COLUMNS, np.array([0, 2]))
    )


def test_an_unknown_category_is_all_zeros(fitted: Preprocessing) -> None:
    row = {"age": 2, "colour": "mauve", "alive": 0, "born": None, "same": 4}

    assert fitted.apply([row])[0, 1:4].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"age": "old"}, "row 0, column 'age': a number is needed, not 'old'"),
        ({"age": True}, "row 0, column 'age': a number is needed, not True"),
        ({"age": 1e300}, "row 0, column 'age': the number is not a finite float32"),
        ({"alive": 2}, "row 0, column 'alive': true or false is needed, not 2"),
        ({"born": "soon"}, "column 'born': an ISO 8601 date is needed, not 'soon'"),
    ],
)
def test_a_value_that_cannot_be_understood_is_named(
    fitted: Preprocessing, change: dict[str, object], told: str
) -> None:
    row = {"age": 2, "colour": "red", "alive": 0, "born": None, "same": 4} | change

    with pytest.raises(BadValue) as caught:
        fitted.apply([row])

    assert told in str(caught.value)


def test_a_column_left_out_is_not_taken_for_missing(fitted: Preprocessing) -> None:
    with pytest.raises(BadValue, match="write null for an unknown value"):
        fitted.apply([{"age": 1}])


def test_an_infinity_is_refused_by_the_name_of_its_column() -> None:
    columns = COLUMNS | {"age": np.array([1.0, np.inf, 2, 3, 4])}
    fitted = Preprocessing.fit(
        TABLE, columns, NAMES, np.array([0, 2]), standardize=True
    )

    with pytest.raises(NonFinite, match="column 'age' holds an infinity in 1 of"):
        fitted.apply(columns, np.array([0, 1]))


def test_a_saved_preprocessing_gives_the_same_input(
    fitted: Preprocessing, tmp_path: Path
) -> None:
    save(fitted, tmp_path)

    again = Preprocessing.load(tmp_path)

    assert again.described() == fitted.described()
    np.testing.assert_array_equal(
        again.apply(COLUMNS, TRAIN), fitted.apply(COLUMNS, TRAIN)
    )


def test_a_lost_preprocessing_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"preprocessing": {"shape": "round"}}')

    with pytest.raises(PreprocessingLost):
        Preprocessing.load(tmp_path)


def test_categories_of_another_data_set_are_matched_by_name(
    fitted: Preprocessing,
) -> None:
    other = TABLE.model_copy(
        update={
            "columns": (
                Column(name="colour", kind="category", categories=("red", "teal")),
            )
        }
    )
    columns = COLUMNS | {"colour": np.array([0, 1, -1, 0, 0], np.int32)}

    recoded = fitted.recoded(other, columns)

    # red was code 2; teal is unknown: one past the last; missing stays missing
    assert recoded["colour"].tolist()[:3] == [2, 3, -1]


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (Column(name="other", kind="number"), "there is no column 'age'"),
        (Column(name="age", kind="category"), "column 'age' is category, was number"),
    ],
)
def test_a_data_set_without_the_columns_does_not_match(
    fitted: Preprocessing, column: Column, told: str
) -> None:
    schema = TABLE.model_copy(update={"columns": (column,)})

    assert fitted.mismatch(schema) == told


PICTURES = Schema(
    rows=3,
    parts=(Part(name="train", start=0, stop=3),),
    columns=(Column(name="image", kind="image", shape=(2, 1, 3)),),
)
PIXELS = np.arange(18, dtype=np.uint8).reshape(3, 2, 1, 3) * 15


def test_an_image_is_divided_by_255_with_channels_first() -> None:
    fitted = Preprocessing.fit(
        PICTURES, {"image": PIXELS}, ["image"], np.arange(3), standardize=False
    )

    x = fitted.apply({"image": PIXELS})

    assert x.shape == (3, 3, 2, 1)
    assert x.dtype == np.float32
    assert x[1, 2, 0, 0] == np.float32(PIXELS[1, 0, 0, 2] / 255)


def test_each_pixel_is_standardised_on_request(tmp_path: Path) -> None:
    pixels = PIXELS.copy()
    pixels[:2, 0, 0, 0] = 7  # constant in the training rows
    pixels[:2, 1, 0, 2] = [0, 255]
    rows = np.array([0, 1])
    fitted = Preprocessing.fit(
        PICTURES, {"image": pixels}, ["image"], rows, standardize=True
    )
    save(fitted, tmp_path)

    x = Preprocessing.load(tmp_path).apply({"image": pixels})

    assert x[:, 0, 0, 0].tolist() == [0, 0, 0]
    np.testing.assert_allclose(x[:2, 2, 1, 0], [-1, 1], rtol=1e-6)


def test_a_picture_may_be_written_as_nested_lists() -> None:
    fitted = Preprocessing.fit(
        PICTURES, {"image": PIXELS}, ["image"], np.arange(3), standardize=False
    )

    x = fitted.apply([PIXELS[0].tolist(), {"image": PIXELS[1].tolist()}])

    np.testing.assert_array_equal(x, fitted.apply({"image": PIXELS}, np.arange(2)))


@pytest.mark.parametrize(
    ("picture", "told"),
    [
        ([1, 2, 3], "shape [3] is given, [2, 1, 3] is needed"),
        ([[[1, 2, 3]], [[1, 2]]], "numbers nested as [2, 1, 3] are needed"),
        ([[[1, 2, 3]], [[1, 2, 256]]], "pixels are whole numbers from 0 to 255"),
        ([[[1, 2, 3]], [[1, 2, 0.5]]], "pixels are whole numbers from 0 to 255"),
        ("cat", "numbers nested as [2, 1, 3] are needed"),
    ],
)
def test_a_picture_that_does_not_fit_is_told(picture: object, told: str) -> None:
    fitted = Preprocessing.fit(
        PICTURES, {"image": PIXELS}, ["image"], np.arange(3), standardize=False
    )

    with pytest.raises(BadValue) as caught:
        fitted.apply([picture])

    assert told in str(caught.value)


def test_standardising_needs_no_second_look_at_the_order_of_rows() -> None:
    schema = Schema(
        rows=10_000,
        parts=(Part(name="train", start=0, stop=10_000),),
        columns=(Column(name="x", kind="array", shape=(3,)),),
    )
    x = np.random.default_rng(3).normal(5, 2, (10_000, 3)).astype(np.float32)
    fitted = Preprocessing.fit(
        schema, {"x": x}, ["x"], np.arange(10_000), standardize=True
    )

    out = fitted.apply({"x": x})

    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(axis=0), 1, rtol=1e-5)


def test_the_api_can_import_preprocessing_without_torch() -> None:
    program = (
        "import trainer.preprocessing, sys, json; print(json.dumps([*sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert "torch" not in json.loads(done.stdout)
