"""JSON Lines and Parquet: the file says the types, and they are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from catalog.ingest.order import Limits
from tests.catalog.uploads import Reader, parquet


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def test_json_lines_keep_their_types(reader: Reader) -> None:
    lines = (
        '{"i": 1, "n": 1, "b": true, "zip": "02134", "v": [1, 2.5]}\n'
        '{"i": 2, "n": 2.5, "b": null, "zip": "10", "v": [3, 4]}\n'
        "\n"
        '{"i": 3, "b": false, "zip": "10", "v": [5, 6], "late": 7}\n'
    )

    stored = reader.read(lines)

    assert stored.kinds() == {
        "i": "integer",
        "n": "number",
        "b": "boolean",
        "zip": "category",
        "v": "array",
        "late": "number",
    }
    assert stored.values("v").tolist() == [[1, 2.5], [3, 4], [5, 6]]
    assert stored.column("n").missing == 1
    assert stored.column("late").missing == 2


@pytest.mark.parametrize(
    ("lines", "code", "row"),
    [
        ('{"a": 1}\n{"a": "x"}\n', "mixed_types", 2),
        ('{"a": 1}\n{"a": true}\n', "mixed_types", 2),
        ('{"a": 1}\n\n{"a":\n', "invalid_json", 2),
        ('{"a": 1}\n[1]\n', "not_an_object", 2),
        ('{"a": {"b": 1}}\n', "unknown_type", 1),
        ('{"a": [[1]]}\n', "unknown_type", 1),
        ('{"a": [1, 2]}\n{"a": [1]}\n', "ragged_row", 2),
        ('{"a": [1, 2]}\n{"a": null}\n', "missing_in_array", 2),
        ('{"a": 1, "a": 2}\n', "invalid_json", 1),
        ('{"a": ' + "[" * 100_000 + "\n", "invalid_json", 1),
        ('{"a": ' + "9" * 5_000 + "}\n", "invalid_json", 1),
        ('{"a": 1}\n{"a": "\0"}\n', "nul_byte", None),
        (b'{"a": "\xff"}\n', "not_utf8", 1),
        ('[{"a": 1}]', "unsupported_format", None),
    ],
)
def test_broken_json_lines_are_refused_with_their_row(
    reader: Reader, lines: bytes | str, code: str, row: int | None
) -> None:
    (complaint,) = reader.refused(lines)

    assert (complaint.code, complaint.row) == (code, row)


def test_parquet_keeps_its_types(reader: Reader) -> None:
    stored = reader.read(
        parquet(
            i=pa.array([1, 2, 3], pa.int16()),
            gap=pa.array([1, None, 3], pa.int64()),
            huge=pa.array([1, 2**64 - 1, 3], pa.uint64()),
            f=pa.array([0.5, 1.5, 2.5], pa.float32()),
            b=pa.array([True, None, False]),
            d=pa.array([0, 86_400, None], pa.timestamp("s")),
            c=pa.array(["u", "v", "u"]).dictionary_encode(),
            t=pa.array(["1", "2", "3"], pa.large_string()),
            v=pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int32(), 2)),
        )
    )

    assert stored.kinds() == {
        "i": "integer",
        "gap": "number",
        "huge": "number",
        "f": "number",
        "b": "boolean",
        "d": "date",
        "c": "category",
        "t": "text",
        "v": "array",
    }
    assert stored.values("d")[1] == 86_400_000_000
    assert stored.values("v").dtype == np.float32
    assert stored.column("v").shape == (2,)


def test_a_given_kind_turns_numbers_into_categories(reader: Reader) -> None:
    stored = reader.read(parquet(a=[3, 20, 3], b=[1, 2, 3]), kinds={"a": "category"})

    assert stored.column("a").categories == ("3", "20")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (parquet(a=[{"x": 1}]), "unknown_type"),
        (parquet(a=pa.array([b"x"])), "unknown_type"),
        (parquet(a=pa.array([], pa.int64())), "no_rows"),
        (parquet(a=list(range(1_000)))[:-20], "damaged_file"),
        (parquet(a=list(range(1_000)))[:200], "damaged_file"),
        (b"PAR1" + bytes(100) + b"PAR1", "damaged_file"),
    ],
)
def test_parquet_that_cannot_be_stored_is_refused(
    reader: Reader, content: bytes, code: str
) -> None:
    (complaint,) = reader.refused(content)

    assert complaint.code == code


def test_parquet_that_declares_too_much_is_refused_before_it_is_read(
    reader: Reader,
) -> None:
    small = parquet(a=pa.array(np.zeros(1_000_000)))

    (complaint,) = reader.refused(small, limits=Limits(output_bytes=1_000_000))

    assert complaint.code == "too_much_content"


def test_csv_and_parquet_of_the_same_table_have_the_same_address(
    reader: Reader,
) -> None:
    written = reader.read("a,t\n1,x\n2,y\n3,z\n")
    typed = reader.read(parquet(a=[1, 2, 3], t=["x", "y", "z"]))

    assert written.sha256 == typed.sha256
