"""Numbers, categories and dates as a spec asks for them, worked out by hand."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from tests.trainer.inputs import dataset
from trainer.preprocessing import Preprocessing
from trainer.preprocessing.encodings import NO_DATE
from trainer.spec.data.encodings import (
    Date,
    Embedding,
    Encoding,
    Logarithm,
    MinMax,
    OneHot,
    Standardized,
    Unscaled,
)
from trainer.spec.data.schema import Column

NUMBERS = np.array([1.0, 3.0, np.nan, 8.0])
"""Mean 4, median 3, deviation the root of 26 / 3."""
DEVIATION = np.sqrt(26 / 3)


def fitted(
    kind: Any, values: Any, encoding: Encoding, categories: tuple[str, ...] = ()
) -> Preprocessing:
    data = dataset({"x": (kind, values)}, {"x": categories})
    return Preprocessing.fit(
        data.schema, data.columns, ["x"], np.arange(len(values)), standardize=True,
        encodings={"x": encoding.filled(data.schema.columns[0])},
    )  # fmt: skip


def features(
    kind: Any, values: Any, encoding: Encoding, categories: tuple[str, ...] = ()
) -> Any:
    return fitted(kind, values, encoding, categories).apply({"x": values})


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        (Standardized(), [-3, -1, 0, 4] / DEVIATION),
        (Standardized(missing="median"), [-3, -1, -1, 4] / DEVIATION),
        (Unscaled(), [1, 3, 4, 8]),
        (Unscaled(missing="median"), [1, 3, 3, 8]),
        (MinMax(), [0, 2 / 7, 3 / 7, 1]),
    ],
    ids=["mean", "median", "unscaled", "unscaled median", "min_max"],
)
def test_a_number_is_on_the_scale_that_was_asked_for(encoding, expected) -> None:
    found = features("number", NUMBERS, encoding)

    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6, atol=1e-7)
    assert found.shape == (4, 1)


def test_what_is_asked_for_and_what_is_default_are_the_same_bits() -> None:
    data = dataset({"x": ("number", NUMBERS)})
    plain = Preprocessing.fit(
        data.schema, data.columns, ["x"], np.arange(4), standardize=True
    )

    asked = fitted("number", NUMBERS, Standardized())

    assert asked.described() == plain.described()


@pytest.mark.parametrize("encoding", [Standardized, Unscaled, MinMax, Logarithm])
def test_an_indicator_says_what_is_missing(encoding) -> None:
    found = features("number", NUMBERS, encoding(missing="indicator"))
    plain = features("number", NUMBERS, encoding())

    assert found[:, 1].tolist() == [0, 0, 1, 0]
    np.testing.assert_allclose(found[:, 0], plain[:, 0], atol=1e-7)


def test_a_logarithm_is_symmetric_and_standardised() -> None:
    values = np.array([-(np.e - 1), 0.0, np.e - 1, np.nan])

    found = features("number", values, Logarithm())[:, 0]

    deviation = np.sqrt(2 / 3)
    np.testing.assert_allclose(
        found, [-1 / deviation, 0, 1 / deviation, 0], rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("encoding", [Standardized, MinMax, Logarithm])
@pytest.mark.parametrize("values", [[5.0, 5.0], [np.nan, np.nan]])
def test_a_constant_stays_at_zero_whatever_comes(encoding, values) -> None:
    stored = np.array(values)
    read = fitted("number", stored, encoding(missing="median"))

    assert read.apply({"x": np.array([5.0, 9.0, np.nan])}).tolist() == [[0]] * 3


def test_a_missing_category_can_be_one_of_its_own() -> None:
    codes = np.array([1, 1, -1, 0], np.int32)
    names = ("a", "b")

    own = features("category", codes, OneHot(missing="category"), names)
    joined = features("category", codes, OneHot(), names)

    assert own.tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert joined.tolist() == [[0, 1], [0, 1], [0, 1], [1, 0]]


def test_an_unknown_category_is_not_a_missing_one() -> None:
    read = fitted(
        "category", np.array([0, 1], np.int32), OneHot(missing="category"), ("a", "b")
    )

    found = read.apply([{"x": "c"}, {"x": None}])

    assert found.tolist() == [[0, 0, 0], [0, 0, 1]]


def test_a_category_of_no_training_row_is_unknown() -> None:
    codes, names = np.array([0, 1, 0, 1, 2, -1], np.int32), ("a", "b", "c")
    data = dataset({"x": ("category", codes)}, {"x": names})
    read = Preprocessing.fit(
        data.schema, data.columns, ["x"], np.arange(4), standardize=True,
        encodings={"x": Embedding().filled(data.schema.columns[0])},
    )  # fmt: skip

    assert read.apply(data.columns)[:, 0].tolist() == [2, 3, 2, 3, 0, 1]


@pytest.mark.parametrize(
    ("categories", "dimension"), [(1, 1), (2, 1), (51, 26), (99, 50), (1000, 50)]
)
def test_the_dimension_is_half_the_categories_and_at_most_fifty(
    categories: int, dimension: int
) -> None:
    names = tuple(str(number) for number in range(categories))

    filled = Embedding().filled(Column(name="x", kind="category", categories=names))

    assert filled == Embedding(dimension=dimension)


def moments(*said: str | None) -> Any:
    """Return dates as a column holds them."""
    return np.array(
        [
            NO_DATE
            if each is None
            else round(datetime.fromisoformat(each).replace(tzinfo=UTC).timestamp())
            * 1_000_000
            for each in said
        ],
        np.int64,
    )


def circle(share: float) -> tuple[float, float]:
    """Return sine and cosine of a share of a turn."""
    return np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)


@pytest.mark.parametrize(
    ("part", "said", "share"),
    [
        ("month", "2024-01-31", 0),
        ("month", "2024-12-01", 11 / 12),
        ("month", "1969-07-20", 6 / 12),
        ("weekday", "2024-01-01", 0),  # a Monday
        ("weekday", "1969-12-31", 2 / 7),  # a Wednesday
        ("day_of_year", "2024-01-01", 0),
        ("day_of_year", "2024-12-31", 365 / 365.25),
        ("day_of_year", "2023-03-01", 59 / 365.25),
        ("hour", "2024-05-05T18:30:00", 18.5 / 24),
        ("hour", "1960-05-05T06:00:00", 6 / 24),
    ],
)
def test_a_date_has_its_place_in_a_cycle(part, said, share) -> None:
    (found,) = features("date", moments(said), Date(parts=(part,)))

    np.testing.assert_allclose(found, circle(share), atol=1e-6)


def test_the_last_month_is_beside_the_first() -> None:
    january, june, december = features(
        "date",
        moments("2024-01-01", "2024-06-01", "2024-12-01"),
        Date(parts=("month",)),
    )

    assert np.linalg.norm(january - december) < np.linalg.norm(january - june)


def test_a_missing_date_has_no_place_and_says_so() -> None:
    values = moments("2024-01-01", "2024-01-03", None)

    found = features("date", values, Date())

    # the time, the weekday and the day of the year vary; the month does not
    assert found.shape == (3, 1 + 2 + 2 + 1)
    np.testing.assert_allclose(found[:, 0], [-1, 1, 0], atol=1e-6)
    assert found[2].tolist() == [0, 0, 0, 0, 0, 1]
    assert found[:2, -1].tolist() == [0, 0]


def test_a_date_can_be_written_as_a_person_does() -> None:
    read = fitted("date", moments("2024-01-01", "2024-01-03"), Date(parts=("hour",)))

    (found,) = read.apply([{"x": "2024-02-02T12:00:00+00:00"}])

    np.testing.assert_allclose(found, circle(0.5), atol=1e-6)
