"""Real pictures of 28x28, and models trained on them that others might reuse.

Handwriting (MNIST, and scikit-learn's digits enlarged), pieces of scikit-learn's two
photographs, and what has nothing to do with any of them: random labels, shuffled
pixels, noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn import datasets

from trainer.data.dataset import Dataset, described, read_idx

Array = np.ndarray[Any, np.dtype[Any]]

SIDE = 28
ROWS, TEST = 5_000, 2_000
"""Rows of a data set, and how many of them are its test part."""


@dataclass(frozen=True)
class SourceCase:
    """A model of the catalog: what it is made of."""

    name: str
    data: str
    layers: list[dict[str, Any]]
    rows: dict[str, Any] = field(default_factory=dict)
    """The data set's part of its spec."""
    training: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TargetCase:
    """What is to be learned from few examples."""

    name: str
    data: str
    rows: dict[str, Any]


def dense(*units: int) -> list[dict[str, Any]]:
    """Return dense layers of these sizes."""
    return [
        {"kind": "dense", "name": f"hidden{number}", "units": size}
        for number, size in enumerate(units, start=1)
    ]


def convolutional(first: int = 8, second: int = 16) -> list[dict[str, Any]]:
    """Return two convolutions, each with a pool, and a dense layer."""
    return [
        {"kind": "conv2d", "name": "conv1", "filters": first, "stride": 2},
        {"kind": "conv2d", "name": "conv2", "filters": second},
        {"kind": "max_pool2d", "name": "pool"},
        {"kind": "dense", "name": "hidden", "units": 32},
    ]


ONE = {"where": {"label": {"in": [1, 7]}}}
LOW = {"where": {"label": {"maximum": 4}}}
HIGH = {"where": {"label": {"minimum": 5}}}
SOURCES = (
    SourceCase("mnist-dense", "mnist", dense(100, 50)),
    SourceCase("mnist-conv", "mnist", convolutional()),
    SourceCase("mnist-low-conv", "mnist", convolutional(), LOW),
    SourceCase("mnist-high-dense", "mnist", dense(80, 40), HIGH),
    SourceCase("mnist-parity", "parity", dense(60, 30)),
    SourceCase("mnist-deep", "mnist", dense(40, 40, 40, 40)),
    SourceCase("mnist-tiny", "mnist", dense(5)),
    SourceCase("mnist-few", "mnist", dense(60, 30), {"examples_per_class": 6}),
    SourceCase("mnist-short", "mnist", convolutional(), {}, {"epochs": 1}),
    SourceCase("mnist-two", "mnist", dense(50, 20), ONE),
    SourceCase("mnist-random-conv", "random", convolutional()),
    SourceCase("mnist-random-dense", "random", dense(60, 30)),
    SourceCase("mnist-shuffled", "shuffled", dense(60, 30)),
    SourceCase("mnist-inverted", "inverted", convolutional()),
    SourceCase("mnist-turned", "turned", convolutional()),
    SourceCase("mnist-bottleneck", "mnist", dense(60, 3, 30)),
    SourceCase("digits-conv", "digits", convolutional()),
    SourceCase("digits-dense", "digits", dense(60, 30)),
    SourceCase("digits-low", "digits", dense(30, 15), LOW),
    SourceCase("photo-conv", "photo", convolutional()),
    SourceCase("photo-dense", "photo", dense(40, 20)),
    SourceCase("photo-light", "light", convolutional(4, 8)),
    SourceCase("noise-conv", "noise", convolutional()),
    SourceCase("noise-dense", "noise", dense(60, 30)),
)
TARGETS = (
    TargetCase("MNIST, 30 of each digit", "mnist", {"examples_per_class": 30}),
    TargetCase("MNIST 5 to 9, 20 of each", "mnist", HIGH | {"examples_per_class": 20}),
    TargetCase("digits, 15 of each", "digits", {"examples_per_class": 15}),
    TargetCase("photographs, which", "photo", {"examples_per_class": 150}),
    TargetCase("MNIST, which way up", "turned", {"examples_per_class": 40}),
)


def pictures(folder: Path) -> dict[str, Dataset]:
    """Return all data sets; `folder` holds MNIST's idx files."""
    draw = np.random.default_rng(5)
    chosen = draw.permutation(60_000)[:ROWS]
    image = read_idx(folder / "train-images-idx3-ubyte.gz")[chosen]
    label = read_idx(folder / "train-labels-idx1-ubyte.gz")[chosen].astype(np.int64)
    small = datasets.load_digits()
    order = draw.permutation(len(small.target))
    large = np.stack([_enlarged(each) for each in small.images[order]])
    piece, which = _pieces(draw)
    quarter = draw.integers(0, 4, ROWS)
    pixels = draw.permutation(SIDE * SIDE)
    light = np.digitize(piece.mean(axis=(1, 2)), [70, 110, 150])
    noise = draw.integers(0, 256, (ROWS, SIDE, SIDE)).astype(np.uint8)
    return {
        "mnist": _dataset(image, label),
        "parity": _dataset(image, label % 2),
        "random": _dataset(image, draw.permutation(label)),
        "shuffled": _dataset(image.reshape(ROWS, -1)[:, pixels], label),
        "inverted": _dataset(255 - image, label),
        "turned": _dataset(_turned(image, quarter), quarter),
        "digits": _dataset(large, small.target[order]),
        "photo": _dataset(piece, which),
        "light": _dataset(piece, light),
        "noise": _dataset(noise, draw.integers(0, 10, ROWS)),
    }


def _dataset(image: Array, label: Array) -> Dataset:
    """Divide rows into training and test part."""
    image = image.reshape(-1, SIDE, SIDE).astype(np.uint8)
    start = len(image) * TEST // ROWS
    parts = {
        "train": {"image": image[start:], "label": label[start:].astype(np.int64)},
        "test": {"image": image[:start], "label": label[:start].astype(np.int64)},
    }
    return described(Path("pictures"), parts, "npz")


def _enlarged(image: Array) -> Array:
    """Return a picture of values up to 16 in the size and the range of the others."""
    bright = Image.fromarray((image * 255 / 16).astype(np.uint8))
    return np.asarray(bright.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _turned(image: Array, quarters: Array) -> Array:
    pairs = zip(image, quarters, strict=True)
    return np.stack([np.rot90(each, int(quarter)) for each, quarter in pairs])


def _pieces(draw: np.random.Generator) -> tuple[Array, Array]:
    """Cut pieces out of the two photographs, in grey; the label says of which."""
    photos = [each.mean(axis=2) for each in datasets.load_sample_images().images]
    which = draw.integers(0, 2, ROWS)
    tops = draw.integers(0, photos[0].shape[0] - SIDE, ROWS)
    lefts = draw.integers(0, photos[0].shape[1] - SIDE, ROWS)
    places = zip(which, tops, lefts, strict=True)
    found = [photos[n][top : top + SIDE, left : left + SIDE] for n, top, left in places]
    return np.stack(found).astype(np.uint8), which
