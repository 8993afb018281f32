"""Models whose data lie on the disk, to be written in other forms and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.trainer.inputs import HOUR, dataset, reviews, waves
from tests.trainer.trainings import CONVOLUTIONAL, DENSE, model, pictures, spec
from trainer.data.dataset import Dataset, described

NO_DATE = np.iinfo(np.int64).min
COLOURS = ("red", "green", "blue", 'a "quoted" \\ one', "grün")


def offers(rows: int = 120, seed: int = 8) -> Dataset:
    """Return a table with every kind of column, and something missing in each."""
    draw = np.random.default_rng(seed)
    colour = draw.integers(0, len(COLOURS), rows).astype(np.int32)
    shop = draw.integers(0, 40, rows).astype(np.int32)
    price = draw.normal(2e5, 4e4, rows)
    area = draw.exponential(80, rows)
    new = draw.integers(0, 2, rows).astype(np.uint8)
    when = (draw.integers(0, 20_000, rows) * 7 * HOUR - 10**15).astype(np.int64)
    sold = (draw.integers(0, 9_000, rows) * 24 * HOUR).astype(np.int64)
    gain = price * 1e-5 + colour + new + draw.normal(size=rows)
    colour[::9], shop[1::9], price[2::9] = -1, -1, np.nan
    area[3::9], new[4::9], when[5::9], sold[6::9] = np.nan, 255, NO_DATE, NO_DATE
    return dataset(
        {
            "colour": ("category", colour),
            "shop": ("category", shop),
            "price": ("number", price),
            "area (m²)": ("number", area),
            "rooms": ("integer", draw.integers(1, 9, rows)),
            "new": ("boolean", new),
            "when": ("date", when),
            "sold": ("date", sold),
            "cheap": ("boolean", (gain < np.median(gain)).astype(np.uint8)),
            "gain": ("number", gain),
            "class": ("integer", (gain > np.median(gain)).astype(np.int64)),
        },
        {"colour": COLOURS, "shop": [f"shop {number}" for number in range(40)]},
    )


ENCODINGS: dict[str, Any] = {
    "colour": {"kind": "one_hot", "missing": "category"},
    "shop": {"kind": "embedding", "dimension": 3},
    "price": {"kind": "min_max", "missing": "median"},
    "area (m²)": {"kind": "logarithm", "missing": "indicator"},
    "when": {"kind": "date", "missing": "indicator"},
}
FEATURES = ["colour", "shop", "price", "area (m²)", "rooms", "new", "when", "sold"]
TABLE: dict[str, Any] = {"target": "gain", "features": FEATURES}
CLASSES: dict[str, Any] = {"target": "class", "features": FEATURES}
WAVES = {"target": "value", "windows": {"length": 6, "order_by": "at"}}


def arrays() -> Dataset:
    """Return arrays of two rows of three numbers, and the number that follows."""
    x = np.random.default_rng(2).normal(5, 3, (50, 2, 3)).astype(np.float32)
    y = x.sum((1, 2))
    return described(Path("toy"), {"train": {"x": x, "y": y.astype(np.float64)}}, "toy")


CASES: dict[str, tuple[Any, dict[str, Any], list[dict[str, Any]]]] = {
    "table": (offers, TABLE, DENSE),
    "encoded table": (offers, TABLE | {"encodings": ENCODINGS}, DENSE),
    "raw table": (offers, TABLE | {"standardize": False}, DENSE),
    "classes": (offers, CLASSES | {"encodings": ENCODINGS}, DENSE),
    "labels": (
        offers,
        {"target": ["new", "cheap"], "features": ["price", "rooms"]},
        DENSE,
    ),
    "several values": (offers, {"target": ["gain", "rooms"]}, DENSE),
    "series": (waves, WAVES, [{"kind": "gru", "units": 4}]),
    "images": (pictures, {}, CONVOLUTIONAL),
    "standardised images": (pictures, {"standardize": True}, CONVOLUTIONAL),
    "arrays": (arrays, {}, DENSE),
    "texts": (reviews, {"target": "good"}, DENSE),
}
"""A data set, how it is used, and a network on it."""


def stored(folder: Path, data: Dataset) -> Path:
    """Write a data set as the service stores it; texts need more than this."""
    (folder / "columns").mkdir(parents=True)
    (folder / "dataset.json").write_text(data.schema.model_dump_json())
    for number, column in enumerate(data.schema.columns):
        if column.kind != "text":
            values = np.asarray(data.columns[column.name])
            np.save(folder / "columns" / f"{number}.npy", values)
    return folder


def trained(tmp_path: Path, case: str) -> tuple[Path, Path, Dataset]:
    """Return the folders of a model and of its data, and the data."""
    made, ref, layers = CASES[case]
    data = made()
    folder = model(tmp_path / "model", spec(layers, dataset=ref, epochs=2), data)
    return folder, stored(tmp_path / "data", data), data
