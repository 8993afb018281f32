"""Small Boltzmann machines that several tests train, and rows for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from tests.trainer.trainings import TOY, spec
from trainer.data.dataset import Dataset, described

CALM = {"normalization": "none", "dropout": 0.0}
GIVEN = {"task": "reconstruction", "features": ["x"]}
PERSISTENT = {"kind": "contrastive_divergence", "persistent": True}


def machine(
    hidden: int = 4, visible: str = "sigmoid", loss: Any = None, **training: Any
) -> dict[str, Any]:
    """Return the job of a machine on `x`."""
    layers: list[dict[str, Any]] = [
        {"kind": "dense", "name": "hidden1", "units": hidden, "activation": "sigmoid"}
        | CALM,
        {"kind": "tied_dense", "name": "output", "tied_to": "hidden1"}
        | {"activation": visible},
    ]
    recipe: dict[str, Any] = {"optimizer": {"kind": "sgd", "learning_rate": 0.1}}
    recipe |= {"loss": loss or "contrastive_divergence"} | training
    return spec(layers, dataset=GIVEN, **recipe)


def rows_of(x: Any) -> Dataset:
    """Return a data set of one array."""
    return described(TOY, {"train": {"x": np.asarray(x, np.float32)}}, "toy")


def stripes(rows: int = 48, seed: int = 4) -> Dataset:
    """Return rows of six numbers of 0 and 1, of which three are alike."""
    draw = np.random.default_rng(seed)
    first = draw.integers(0, 2, (rows, 1)).repeat(3, 1)
    return rows_of(np.concatenate([first, draw.random((rows, 3)) < 0.2], axis=1))


def digits() -> Any:
    """Return scikit-learn's digits between 0 and 1."""
    x, _ = load_digits(return_X_y=True)
    return x / 16
