"""What a spec may ask of a column, what it gets without asking, what it is told."""

from typing import Any

import numpy as np
import pytest

from tests.trainer.inputs import column, dataset, reviews, texts
from tests.trainer.trainings import spec
from trainer.data.dataset import Dataset
from trainer.spec.data.encodings import Date, Embedding, Text
from trainer.spec.data.features import becomes
from trainer.spec.data.schema import Column, Part, Schema, Value
from trainer.spec.errors import InvalidSpec, problems_of
from trainer.spec.job import JobSpec
from trainer.spec.resolve import Resolution, resolve

DENSE = [{"name": "hidden1", "kind": "dense", "units": 6}]
HOURS = np.arange(48) * 3_600_000_000


def resolved(data: Dataset, **ref: Any) -> Resolution:
    what = spec(DENSE, dataset={"target": "good"} | ref)
    return resolve(JobSpec.model_validate(what), data.schema, {})


def asked(**encodings: Any) -> list[tuple[str, str, str | None]]:
    """Return the problems of encodings for the reviews."""
    with pytest.raises(InvalidSpec) as refused:
        resolved(reviews(), encodings=encodings)
    return [(p.pointer, p.code, p.suggestion) for p in refused.value.problems]


def test_the_resolved_form_says_what_needs_saying() -> None:
    found = resolved(reviews()).spec.dataset.encodings

    assert isinstance(found["review"], Text)
    assert found["shop"] == Embedding(dimension=35)
    assert set(found) == {"review", "shop"}


def test_the_inputs_are_told_column_by_column() -> None:
    lines = {line["column"]: line for line in resolved(reviews()).input_table()}

    assert lines["shop"] == {
        "column": "shop",
        "kind": "category",
        "encoding": "embedding",
        "becomes": "one of 70 categories, looked up as 35 numbers",
    }
    assert lines["price"]["becomes"] == "1 number"
    assert lines["price"]["encoding"] == "standardized"
    assert "tokens" in str(lines["review"]["becomes"])


@pytest.mark.parametrize(
    ("name", "encoding", "place", "code"),
    [
        ("shops", "one_hot", "shops", "unknown_column"),
        ("good", "standardized", "good", "not_a_feature"),
        ("price", "text", "price", "wrong_encoding"),
        ("review", "standardized", "review", "wrong_encoding"),
        (
            "review",
            {"kind": "text", "tokenizer": "byte_pair", "vocabulary_size": 100},
            "review/vocabulary_size",
            "wrong_encoding",
        ),
    ],
)
def test_an_encoding_that_cannot_be_is_told(name, encoding, place, code) -> None:
    ((pointer, found, suggestion),) = asked(**{name: encoding})

    assert (pointer, found) == (f"/dataset/encodings/{place}", code)
    assert suggestion or code == "not_a_feature"


def test_an_unknown_encoding_is_told_with_the_nearest() -> None:
    raw = spec(DENSE, dataset={"encodings": {"shop": {"kind": "one_hott"}}})

    with pytest.raises(ValueError, match="one_hott") as refused:
        JobSpec.model_validate(raw)

    (problem,) = problems_of(refused.value, raw, JobSpec)  # type: ignore[arg-type]
    assert problem.pointer == "/dataset/encodings/shop/kind"
    assert problem.suggestion == "one_hot"


def test_a_text_whose_words_nobody_counted_is_left_out_with_a_word() -> None:
    found = reviews()
    bare = [
        c.model_copy(update={"words": None}) if c.kind == "text" else c
        for c in found.schema.columns
    ]
    data = Dataset(
        found.schema.model_copy(update={"columns": tuple(bare)}), found.columns, "v"
    )

    left = resolved(data)
    given = resolved(data, encodings={"review": {"kind": "text", "length": 9}})

    assert left.inputs.left_out == ("review",)
    assert any("review" in told for told in left.warnings)
    assert given.inputs.shape == (9 + 1 + 1,)


@pytest.mark.parametrize(
    ("kind", "options", "width"),
    [
        ("one_hot", {}, 70),
        ("one_hot", {"missing": "category"}, 71),
        ("embedding", {"dimension": 3}, 1),
        ("text", {"length": 4}, 4),
    ],
)
def test_a_column_takes_as_much_room_as_its_encoding_says(kind, options, width) -> None:
    found = resolved(
        reviews(), features=["shop"], encodings={"shop": {"kind": kind} | options}
    )

    assert found.inputs.shape == (width,)


def test_a_reconstruction_is_one_of_numbers() -> None:
    plain = resolved(reviews(), task="reconstruction", target=None)

    assert plain.inputs.left_out == ("review",)
    assert plain.inputs.layout == ()
    assert any("reconstructed" in told for told in plain.warnings)
    with pytest.raises(InvalidSpec, match=r"must be numbers") as refused:
        resolved(
            reviews(), task="reconstruction", target=None,
            encodings={"shop": "embedding"},
        )  # fmt: skip
    assert refused.value.problems[0].suggestion == "one_hot"


def dates(varies: tuple[Any, ...] | None, missing: int = 0) -> Column:
    return Column(name="at", kind="date", varies=varies, missing=missing)


def test_a_date_becomes_what_varies_in_it() -> None:
    found = Date().filled(column("at", "date", HOURS))

    # two days: time, weekday, day of the year and hour, in one month
    assert isinstance(found, Date)
    assert found.parts == ("time", "weekday", "day_of_year", "hour")
    assert found.missing == "mean"


def test_a_date_with_gaps_says_where_they_are() -> None:
    found = Date().filled(dates(("time", "month"), missing=3))

    assert found.part(dates(None)).width == 1 + 2 + 1


def test_a_date_that_nobody_looked_into_is_its_time_as_before() -> None:
    assert becomes(dates(None)) == "standardized: 1 number"
    assert becomes(dates(("time", "hour"))) == "date: 3 numbers"


@pytest.mark.parametrize(
    ("categories", "words"),
    [(50, "one_hot: 50 numbers"), (51, "embedding: one of 51 categories")],
)
def test_fifty_categories_are_the_most_that_get_a_feature_each(
    categories: int, words: str
) -> None:
    names = tuple(str(n) for n in range(categories))

    told = becomes(Column(name="shop", kind="category", categories=names))

    assert told is not None
    assert told.startswith(words)


def rare(*counts: int, **training: Any) -> tuple[str, ...]:
    """Return the warnings of a job whose classes have these counts."""
    rows = sum(counts)
    values = tuple(Value(value=n, count=c, train=c) for n, c in enumerate(counts))
    schema = Schema(
        rows=rows,
        parts=(Part(name="train", start=0, stop=rows),),
        columns=(
            Column(name="x", kind="number"),
            Column(name="good", kind="integer", values=values, distinct=len(counts)),
        ),
    )
    what = spec(DENSE, dataset={"target": "good"}, **training)
    found = resolve(JobSpec.model_validate(what), schema, {})
    return tuple(told for told in found.warnings if "class_weights" in told)


def test_a_class_of_few_rows_is_told_with_what_to_set() -> None:
    (told,) = rare(960, 40)

    assert "class 1 has 4.0% of the rows" in told
    assert "training.class_weights" in told


@pytest.mark.parametrize("counts", [(95, 5), (50, 50), (4,) * 40])
def test_classes_of_about_an_even_share_are_not_told_of(counts) -> None:
    assert rare(*counts) == ()


def test_a_rare_class_that_is_weighed_up_is_not_told_of() -> None:
    assert rare(960, 40, class_weights="balanced") == ()


def test_longer_texts_need_more_memory() -> None:
    short, long = (
        resolved(reviews(), encodings={"review": {"kind": "text", "length": length}})
        for length in (10, 1000)
    )

    # 160 rows of 990 more numbers, once as they are read and once on the device
    assert long.estimate.data_bytes - short.estimate.data_bytes == 160 * 990 * 8
    assert long.estimate.activation_bytes > 20 * short.estimate.activation_bytes


def test_a_job_of_a_text_alone_needs_no_more_than_its_name() -> None:
    data = dataset(
        {
            "said": ("text", texts("a b", "b c", "c a", "a c")),
            "good": ("integer", np.array([0, 1, 0, 1])),
        }
    )

    assert resolved(data).layers[0].kind == "column_embedding"


@pytest.mark.parametrize("encoding", ["text", "bag_of_words"])
def test_a_column_without_any_text_has_no_words(encoding: str) -> None:
    data = dataset(
        {
            "said": ("text", texts(None, None, "", None)),
            "good": ("integer", np.array([0, 1, 0, 1])),
        }
    )

    once = resolved(data, encodings={"said": encoding}).resolved()

    assert once["dataset"]["encodings"]["said"]["vocabulary_size"] == 2
    again = resolve(JobSpec.model_validate(once), data.schema, {}).resolved()
    assert again == once
