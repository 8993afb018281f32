"""What an upload counts so that a spec can say what its columns become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.catalog.uploads import Reader
from trainer.spec.data.schema import Column


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def column(stored: Any, name: str) -> Column:
    found: Column | None = stored.schema.column(name)
    assert found is not None
    return found


def test_the_words_of_training_rows_are_counted(reader: Reader) -> None:
    lines = [f'train,"row {n} is Good, GOOD"' for n in range(10)]
    lines += ['test,"many other words that no training row has at all"']

    stored = reader.read("split,said\n" + "\n".join(lines) + "\n")

    words = column(stored, "said").words
    assert words is not None
    # row, its number, is, good, a comma, good; ten numbers and four other words
    assert words.length == 6
    assert words.distinct == 14


def test_a_date_knows_what_varies_in_it(reader: Reader) -> None:
    lines = [f"2024-01-{day:02}T{day % 5:02}:00:00,{day}" for day in range(1, 29)]

    stored = reader.read("at,y\n" + "\n".join(lines) + "\n")

    assert column(stored, "at").varies == ("time", "weekday", "day_of_year", "hour")


def test_a_date_without_times_has_no_hour(reader: Reader) -> None:
    lines = [f"2024-{month:02}-01,{month}" for month in range(1, 13)]

    stored = reader.read("at,y\n" + "\n".join(lines) + "\n")

    assert column(stored, "at").varies == ("time", "month", "weekday", "day_of_year")


def test_the_report_says_what_each_column_becomes(reader: Reader) -> None:
    lines = [
        f"2024-01-{1 + n % 28:02},{n / 2},place {n % 60},it is number {n}"
        for n in range(180)
    ]

    report = reader.read("at,x,city,said\n" + "\n".join(lines) + "\n").report

    assert report["becomes"] == {
        "at": "date: 5 numbers",
        "x": "standardized: 1 number",
        "city": "embedding: one of 60 categories, looked up as 30 numbers",
        "said": "text: 4 tokens of a vocabulary of 185, each looked up",
    }


@pytest.mark.parametrize(
    ("rare", "warned"), [(3, True), (10, False)], ids=["three", "ten"]
)
def test_a_target_with_a_rare_class_is_told_of(
    reader: Reader, rare: int, warned: bool
) -> None:
    lines = [f"{n},{'yes' if n < rare else 'no'}" for n in range(100)]

    report = reader.read("x,y\n" + "\n".join(lines) + "\n", target="y").report

    codes = {warning["code"] for warning in report["warnings"]}
    assert ("rare_target" in codes) == warned
