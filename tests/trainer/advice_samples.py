"""Schemas of every form of input, and the wishes, for the tests of the guide."""

from itertools import chain, combinations

from tests.trainer.spec_samples import DIGITS, PASSENGERS, integers
from trainer.spec.advice.advise import Advice, advise
from trainer.spec.advice.wishes import WISHES, AdviceRequest
from trainer.spec.data.schema import Column, Part, Schema, Value
from trainer.spec.data.words import WordCount


def of_rows(rows: int, *columns: Column, target: str | None = None) -> Schema:
    """Return a data set of one part."""
    parts = (Part(name="train", start=0, stop=rows),)
    return Schema(rows=rows, parts=parts, columns=columns, target=target)


def numbers(*names: str) -> tuple[Column, ...]:
    """Return columns of numbers."""
    return tuple(
        Column(name=n, kind="number", minimum=-3, maximum=3, mean=0, deviation=1)
        for n in names
    )


def categories(name: str, counts: dict[str, int]) -> Column:
    """Return a column of these categories."""
    values = tuple(Value(value=v, count=n, train=n) for v, n in counts.items())
    return Column(
        name=name,
        kind="category",
        categories=tuple(counts),
        distinct=len(counts),
        values=values,
    )


FLOWERS = of_rows(
    150,
    *numbers("sepal", "petal"),
    categories("species", {"setosa": 50, "virginica": 50, "versicolor": 50}),
    target="species",
)
FRAUD = of_rows(
    50_000, *numbers("amount", "hour"), integers("fraud", {0: 49_500, 1: 500})
)
HOUSES = of_rows(
    20_000,
    *numbers("rooms", "age"),
    Column(
        name="price",
        kind="number",
        minimum=1e4,
        maximum=5e7,
        mean=2e5,
        deviation=3e5,
    ),
)
REVIEWS = of_rows(
    5_000,
    Column(
        name="text",
        kind="text",
        words=WordCount(distinct=8_000, length=60),
    ),
    integers("stars", {1: 2_500, 2: 2_500}),
    target="stars",
)
SHOPS = of_rows(
    3_000,
    categories("town", {f"town {n}": 30 for n in range(100)}),
    *numbers("area"),
    integers("open", {0: 1_000, 1: 2_000}),
    target="open",
)
SIGNALS = of_rows(
    2_000,
    Column(name="signal", kind="array", shape=(64, 3)),
    integers("state", dict.fromkeys(range(4), 500)),
    target="state",
)
POINTS = of_rows(
    800,
    Column(name="x", kind="array", shape=(20,)),
    integers("y", {0: 400, 1: 400}),
    target="y",
)
PHOTOS = of_rows(
    30_000,
    Column(name="image", kind="image", shape=(96, 96, 3)),
    categories("label", {f"kind {n}": 150 for n in range(200)}),
    target="label",
)
STAMPS = of_rows(
    1_797,
    Column(name="image", kind="image", shape=(8, 8, 1)),
    integers("label", dict.fromkeys(range(10), 179)),
    target="label",
)

SCHEMAS: dict[str, tuple[Schema, str]] = {
    "digits": (DIGITS, "label"),
    "passengers": (PASSENGERS, "Survived"),
    "flowers": (FLOWERS, "species"),
    "fraud": (FRAUD, "fraud"),
    "houses": (HOUSES, "price"),
    "reviews": (REVIEWS, "stars"),
    "shops": (SHOPS, "open"),
    "signals": (SIGNALS, "state"),
    "points": (POINTS, "y"),
    "photos": (PHOTOS, "label"),
    "stamps": (STAMPS, "label"),
}
"""Each data set with its target."""

COMBINATIONS = tuple(
    chain.from_iterable(combinations(WISHES, n) for n in range(len(WISHES) + 1))
)
"""Every set of wishes, the empty one and all of them included."""


def advised(name: str, *wishes: str, **more: object) -> Advice:
    """Return the advice on one of the data sets."""
    schema, target = SCHEMAS[name]
    asked = {"dataset": name, "target": target, "wishes": wishes} | more
    return advise(AdviceRequest.model_validate(asked), schema)
