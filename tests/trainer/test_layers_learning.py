"""Layers that see the order of steps learn what only the order tells."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.trainings import build, history, spec, trained
from trainer.data.dataset import Dataset, described

WORDS: dict[str, Any] = {"kind": "embedding", "units": 8, "vocabulary_size": 5}
READERS: dict[str, list[dict[str, Any]]] = {
    "simple_rnn": [{"kind": "simple_rnn", "units": 12}],
    "gru": [{"kind": "gru", "units": 12}],
    "lstm": [{"kind": "lstm", "units": 12, "bidirectional": True}],
    "transformer": [
        {"kind": "positional_encoding", "method": "learned"},
        {"kind": "transformer_block", "heads": 2, "dropout": 0.0},
        {"kind": "global_average_pool1d"},
    ],
    "convolution": [
        {"kind": "conv1d", "filters": 16, "kernel_size": 5},
        {"kind": "global_max_pool1d"},
    ],
}


def orders(rows: int = 160) -> Dataset:
    """Return sequences of ids; the class says whether 1 comes before 2."""
    draw = np.random.default_rng(3)
    x = draw.integers(3, 5, (rows, 7)).astype(np.float32)
    for row in x:
        first, second = np.sort(draw.choice(5, 2, replace=False))
        row[first], row[second] = (1, 2) if draw.random() < 0.5 else (2, 1)
        row[5 + draw.integers(0, 3) :] = 0
    label = (x == 1).argmax(1) < (x == 2).argmax(1)
    arrays: dict[str, Any] = {"x": x, "label": label.astype(np.int64)}
    return described(Path("toy"), {"train": arrays}, "toy")


def accuracy(layers: list[dict[str, Any]]) -> float:
    """Return the accuracy on the training rows at the end."""
    what = spec(
        [WORDS, *layers],
        epochs=15,
        batch_size=16,
        optimizer={"kind": "adam", "learning_rate": 0.02},
    )
    reports = trained(build(what, orders()).training)
    return [row.value for row in history(reports) if row.name == "train_accuracy"][-1]


@pytest.mark.parametrize("reader", list(READERS.values()), ids=READERS)
def test_a_reader_of_steps_learns_their_order(reader: list[dict[str, Any]]):
    assert accuracy(reader) > 0.95


def test_a_mean_over_steps_cannot_learn_their_order():
    assert accuracy([{"kind": "global_average_pool1d"}]) < 0.75
