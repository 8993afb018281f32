"""CSV and TSV: kinds from all values, dialects found, nothing repaired."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalog.ingest.order import Limits
from tests.catalog.uploads import Reader


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def rows(*values: Any, header: str = "x,y") -> str:
    return header + "\n" + "".join(f"{value},1\n" for value in values)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", "3"], "integer"),
        (["1", "", "3"], "number"),
        (["1", "2.5", "1e3"], "number"),
        (["1", "?", "3"], "number"),
        (["true", "False", ""], "boolean"),
        (["2020-01-31", "2021-12-01T10:00:00", ""], "date"),
        (["2020-01-31T10:00:00Z", "2020-01-31T10:00:00+02:00"], "date"),
        (["red", "blue", "red", "blue"], "category"),
        (["02134", "00501", "02134"], "category"),
        (["alpha", "beta", "gamma"], "text"),
        (["1", "2", "three"], "text"),
        (["", "", ""], "number"),
        (["true", "1", "true"], "category"),
        (["2020-01-31", "17", "17"], "category"),
        (["9223372036854775808", "1"], "number"),
    ],
)
def test_a_column_has_the_narrowest_kind_that_holds_all_its_values(
    reader: Reader, values: list[str], kind: str
) -> None:
    assert reader.read(rows(*values)).kinds()["x"] == kind


def test_the_last_of_many_rows_decides_as_much_as_the_first(reader: Reader) -> None:
    integers = [str(n % 7) for n in range(300_000)]

    stored = reader.read(rows(*integers, "0.5"))

    assert stored.kinds()["x"] == "number"
    assert stored.values("x")[-1] == 0.5


def test_values_are_stored_as_the_trainer_reads_them(reader: Reader) -> None:
    table = (
        "n,i,b,c,d,t\n"
        '1.5,1,true,red,2020-01-01,"one, two"\n'
        ",2,,blue,,three\n"
        "2.5,3,false,,1969-12-31T23:59:59.999999,\n"
        "3.5,4,true,red,2020-01-01,four\n"
    )

    stored = reader.read(table)

    assert np.isnan(stored.values("n")[1])
    assert stored.values("i").dtype == np.int64
    assert stored.values("b").tolist() == [1, 255, 0, 1]
    assert stored.column("c").categories == ("blue", "red")
    assert stored.values("c").tolist() == [1, 0, -1, 1]
    assert stored.values("d")[1] == np.iinfo(np.int64).min
    assert stored.values("d")[2] == -1
    assert stored.values("t") == ["one, two", "three", None, "four"]


def test_statistics_are_those_of_the_values_that_are_there(reader: Reader) -> None:
    column = reader.read(rows("1", "2", "", "2", "5")).column("x")

    assert column.missing == 1
    assert column.distinct == 3
    assert [(v.value, v.count) for v in column.values] == [(1, 1), (2, 2), (5, 1)]
    assert (column.minimum, column.maximum, column.mean) == (1, 5, 2.5)
    assert column.deviation == pytest.approx(1.5)


def test_statistics_of_many_blocks_equal_those_of_one(reader: Reader) -> None:
    values = np.random.default_rng(1).normal(1e6, 1e-3, 600_000)

    column = reader.read(rows(*map(repr, values.tolist()))).column("x")

    assert column.mean == pytest.approx(values.mean(), rel=1e-14)
    assert column.deviation == pytest.approx(values.std(), rel=1e-9)
    assert column.distinct is None


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("a,b\n1,2\n3,4\n", {"delimiter": ",", "header": "row"}),
        ("a\tb\n1\t2\n", {"delimiter": "\t", "format": "tsv"}),
        ("a;b\n1,5;2\n3,5;4\n", {"delimiter": ";"}),
        ("a|b\n1|2\n", {"delimiter": "|"}),
        ("1,2\n3,4\n", {"header": "none"}),
        ("a,b\n'x,y',2\n'z',3\n", {"quote": "'"}),
        ('a,b\n"x,y",2\n', {"quote": '"'}),
        ("39, Private\n40, State\n41, State\n", {"trim": True, "header": "none"}),
        ("\ufeffa,b\n1,2\n", {"encoding": "utf-8"}),
    ],
)
def test_the_report_tells_how_the_file_was_read(
    reader: Reader, table: str, told: dict[str, Any]
) -> None:
    stored = reader.read(table)

    assert told.items() <= dict(stored.report["options"]).items()
    assert len(stored.schema.columns) == 2


def test_options_that_are_given_are_followed(reader: Reader) -> None:
    stored = reader.read(
        "1;NULL;x\n2;none;y\n3;5;x\n",
        header=("a", "b", "c"),
        delimiter=";",
        missing=("NULL", "none"),
        kinds={"a": "category", "c": "text"},
        target="c",
    )

    assert stored.kinds() == {"a": "category", "b": "number", "c": "text"}
    assert stored.column("b").missing == 2
    assert stored.schema.target == "c"


def test_a_value_that_a_given_kind_does_not_fit_is_named_by_its_row(
    reader: Reader,
) -> None:
    (complaint,) = reader.refused(rows("1", "", "no"), kinds={"x": "integer"})

    assert (complaint.code, complaint.row, complaint.column) == ("wrong_kind", 3, "x")


def test_a_question_mark_is_missing_among_numbers_and_a_value_among_words(
    reader: Reader,
) -> None:
    stored = reader.read("n,w\n1,?\n?,a\n3,?\n4,a\n")

    assert stored.kinds() == {"n": "number", "w": "category"}
    assert stored.column("w").categories == ("?", "a")
    assert stored.report["options"]["missing_among_numbers"] == ["?"]


def test_a_word_among_numbers_is_reported_with_its_row(reader: Reader) -> None:
    stored = reader.read(rows(*range(50), "oops", *range(50)))

    (problem,) = stored.report["problems"]
    assert (problem["code"], problem["row"]) == ("not_a_number", 51)
    assert stored.kinds()["x"] != "number"


def test_the_column_split_makes_parts_and_is_no_feature(reader: Reader) -> None:
    table = "x,t,split\n1,a,test\n2,b,train\n3,c,train\n4,d,valid\n"

    stored = reader.read(table)

    assert stored.parts() == {"train": 2, "validation": 1, "test": 1}
    assert stored.kinds() == {"x": "integer", "t": "text"}
    assert stored.values("x").tolist() == [2, 3, 4, 1]
    assert stored.values("t") == ["b", "c", "d", "a"]


def test_a_column_that_happens_to_be_called_split_stays(reader: Reader) -> None:
    stored = reader.read("x,split\n1,banana\n2,cherry\n3,banana\n4,cherry\n")

    assert stored.parts() == {"train": 4}
    assert stored.kinds()["split"] == "category"


@pytest.mark.parametrize(
    ("table", "code", "row", "line"),
    [
        ("a,b\n1,2\n3\n4,5\n", "ragged_row", 2, 3),
        ("a,b\n1,2\n\n3,4,5\n", "ragged_row", 2, 4),
        ('a,b\n1,"x\ny"\n3\n', "ragged_row", 2, 4),
        ("1,2\n3\n", "ragged_row", 2, 2),
        ("a,b\n1,2\n3,\0\n", "nul_byte", None, 3),
        (b"a,b\n1,2\n3,caf\xe9\n4,5\n", "not_utf8", None, 3),
        (b"a,b\n1,2\n3,caf\xc3", "not_utf8", None, 3),
        ('a,b\n1,2\n3,"x\n4,5\n', "open_quote", None, 3),
        ("a,b\n", "no_rows", None, None),
        ("", "empty_file", None, None),
        ("\n\n", "empty_file", None, None),
        ("a,a\n1,2\n", "duplicate_column", None, None),
        ("x,split\n1,train\n2,\n", "missing_part", 2, None),
        ("x,split\n1,test\n2,test\n", "no_training_rows", None, None),
    ],
)
def test_what_is_broken_is_refused_with_its_place(
    reader: Reader, table: bytes | str, code: str, row: int | None, line: int | None
) -> None:
    (complaint,) = reader.refused(table)

    assert (complaint.code, complaint.row, complaint.line) == (code, row, line)


def test_every_ragged_row_is_listed_up_to_a_screenful(reader: Reader) -> None:
    complaints = reader.refused("a,b\n" + "1,2\n1\n" * 100)

    assert [complaint.row for complaint in complaints] == list(range(2, 42, 2))


def test_a_row_longer_than_a_block_is_refused(reader: Reader) -> None:
    (complaint,) = reader.refused("a,b\n1," + "x" * 10_000_000 + "\n")

    assert complaint.code == "row_too_long"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"kinds": {"z": "text"}}, "unknown_column"),
        ({"target": "z"}, "unknown_column"),
        ({"header": ("a", "b", "c")}, "header_mismatch"),
        ({"resize": {"height": 2, "width": 2}}, "option_does_not_apply"),
    ],
)
def test_an_option_that_cannot_be_followed_is_refused(
    reader: Reader, options: dict[str, Any], code: str
) -> None:
    (complaint,) = reader.refused("x,y\n1,2\n", **options)

    assert complaint.code == code


def test_a_column_without_a_name_gets_one_and_the_report_says_so(
    reader: Reader,
) -> None:
    stored = reader.read(",x\n0,1.5\n1,2.5\n")

    assert list(stored.kinds()) == ["column_1", "x"]
    assert stored.report["problems"][0]["code"] == "unnamed_column"


def test_more_columns_than_allowed_are_refused(reader: Reader) -> None:
    header = ",".join(f"c{n}" for n in range(11))

    (complaint,) = reader.refused(f"{header}\n{header}\n", limits=Limits(columns=10))

    assert complaint.code == "too_many_columns"


def test_a_compressed_table_is_unpacked(reader: Reader) -> None:
    assert reader.read(gzip.compress(b"a,b\n1,2\n")).kinds()["a"] == "integer"


def test_equal_content_has_one_address_and_other_content_another(
    reader: Reader,
) -> None:
    comma = reader.read("a,t\n1,x\n2,y\n3,z\n")
    semicolon = reader.read("a;t\n1;x\n2;y\n3;z\n")
    other = reader.read("a,t\n1,x\n2,y\n3,zz\n")

    assert comma.sha256 == semicolon.sha256 != other.sha256


def test_the_report_counts_what_a_person_would_look_for(reader: Reader) -> None:
    table = "x,same,none,label\n" + "1,k,,a\n" * 3 + "inf,k,,b\n2,k,,a\n"

    stored = reader.read(table, target="label")

    assert stored.report["missing"] == {"none": 5}
    assert stored.report["empty_columns"] == ["none"]
    assert stored.report["constant_columns"] == ["same"]
    assert stored.report["duplicate_rows"] == 2
    assert stored.report["non_finite"] == {"x": 1}
    assert stored.report["problems"][0]["row"] == 4
    assert stored.report["classes"]["label"] == [
        {"value": "a", "count": 4, "share": 0.8},
        {"value": "b", "count": 1, "share": 0.2},
    ]
    assert {
        ("rare_class", "label"),
        ("constant_column", "same"),
        ("empty_column", "none"),
        ("non_finite", "x"),
        ("duplicate_rows", None),
    } <= stored.warnings()


def test_rows_of_the_test_part_that_are_training_rows_are_counted(
    reader: Reader,
) -> None:
    stored = reader.read("x,split\n1,train\n2,train\n2,test\n3,test\n")

    assert stored.report["shared_rows"] == {"test": 1}


def test_the_passengers_of_the_titanic_are_read(
    reader: Reader, test_data: Path
) -> None:
    stored = reader.read(test_data / "titanic.csv")

    assert stored.schema.rows == 891
    assert stored.report["missing"] == {"Age": 177, "Cabin": 687, "Embarked": 2}
    assert stored.kinds() == {
        **dict.fromkeys(["PassengerId", "Survived", "Pclass"], "integer"),
        **dict.fromkeys(["Name", "Ticket", "Cabin"], "text"),
        **dict.fromkeys(["SibSp", "Parch"], "integer"),
        **dict.fromkeys(["Age", "Fare"], "number"),
        **dict.fromkeys(["Sex", "Embarked"], "category"),
    }
    assert stored.values("Name")[0] == "Braund, Mr. Owen Harris"


def test_five_islands_in_california_are_too_few(
    reader: Reader, test_data: Path
) -> None:
    stored = reader.read(test_data / "housing.csv", target="median_house_value")

    assert stored.schema.rows == 20_640
    assert stored.report["missing"] == {"total_bedrooms": 207}
    assert ("rare_class", "ocean_proximity") in stored.warnings()
    assert "ISLAND has 5" in str(stored.report["warnings"])
