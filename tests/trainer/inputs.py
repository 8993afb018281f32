"""Data sets with texts, many categories, dates and series, made from seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.trainer.trainings import carry_out, order, spec
from trainer.data.dataset import Dataset
from trainer.preprocessing import Preprocessing
from trainer.saved.model_folder import ModelFolder, read
from trainer.spec.data.calendar import CYCLES, place
from trainer.spec.data.schema import Column, ColumnKind, Part, Schema, Value
from trainer.spec.data.words import counted

GOOD, BAD = ("great", "lovely", "perfect"), ("awful", "boring", "broken")
SHOPS = 70
HOUR = 3_600_000_000
"""Microseconds."""


def texts(*given: str | None) -> Any:
    """Return texts as a column holds them."""
    column = np.empty(len(given), object)
    column[:] = given
    return column


def column(
    name: str, kind: ColumnKind, values: Any, categories: Sequence[str] = ()
) -> Column:
    """Describe a column as an upload would, as far as inputs care."""
    found: dict[str, Any] = {}
    if kind == "text":
        found["words"] = counted(values.tolist())
    elif kind == "date":
        there = values[values != np.iinfo(np.int64).min]
        parts = ["time", *(c for c in CYCLES if np.ptp(place(c, there)) > 0)]
        found |= {"varies": tuple(parts), "missing": len(values) - len(there)}
    elif kind == "integer":
        each, counts = np.unique(values, return_counts=True)
        pairs = zip(each.tolist(), counts.tolist(), strict=True)
        counted_values = tuple(Value(value=v, count=c, train=c) for v, c in pairs)
        found |= {"values": counted_values, "distinct": len(each)}
    elif kind == "number":
        found["missing"] = int(np.isnan(values).sum())
    return Column(name=name, kind=kind, categories=tuple(categories), **found)


def dataset(
    columns: Mapping[str, tuple[ColumnKind, Any]],
    categories: Mapping[str, Sequence[str]] | None = None,
    parts: Sequence[Part] = (),
) -> Dataset:
    """Return a data set in memory: each column's kind and values."""
    rows = len(next(iter(columns.values()))[1])
    schema = Schema(
        rows=rows,
        parts=tuple(parts) or (Part(name="train", start=0, stop=rows),),
        columns=tuple(
            column(name, kind, values, (categories or {}).get(name, ()))
            for name, (kind, values) in columns.items()
        ),
    )
    stored = {name: values for name, (_, values) in columns.items()}
    return Dataset(schema, stored, "made")


def reviews(rows: int = 160, seed: int = 3) -> Dataset:
    """Return reviews whose words tell whether they are good, and what tells nothing.

    A row in twenty has no text and another no shop.
    """
    draw = np.random.default_rng(seed)
    good = draw.integers(0, 2, rows)
    filler = [f"w{number}" for number in range(40)]
    written: list[str | None] = []
    for row in range(rows):
        words = draw.choice(filler, draw.integers(3, 9)).tolist()
        words.append(str(draw.choice(GOOD if good[row] else BAD)))
        draw.shuffle(words)
        written.append(None if row % 20 == 7 else " ".join(words))
    shop = draw.integers(0, SHOPS, rows).astype(np.int32)
    shop[3::20] = -1
    return dataset(
        {
            "review": ("text", texts(*written)),
            "shop": ("category", shop),
            "price": ("number", draw.normal(20, 5, rows)),
            "good": ("integer", good),
        },
        {"shop": [f"shop {number}" for number in range(SHOPS)]},
    )


def waves(rows: int = 200, seed: int = 4) -> Dataset:
    """Return an hourly series of a sine with noise, its rows in disorder."""
    draw = np.random.default_rng(seed)
    hours = draw.permutation(rows)
    value = np.sin(hours / 4) + 0.05 * draw.normal(size=rows)
    return dataset(
        {
            "at": ("date", (hours * HOUR).astype(np.int64)),
            "value": ("number", value),
        }
    )


def made(folder: Any, data: Dataset, layers: list[Any], **ref: Any) -> Any:
    """Train on a data set, write the model into `folder`, return the result's event."""
    training = ref.pop("training", {})
    reuse, sources = ref.pop("reuse", []), ref.pop("sources", ())
    what = spec(layers, dataset=ref, reuse=reuse, **training)
    return list(carry_out(order(what, model=folder, sources=sources), data))[-1]


def reopened(folder: Any) -> tuple[ModelFolder, Preprocessing]:
    """Return a model folder and its preprocessing, read back."""
    return read(folder), Preprocessing.load(folder)
