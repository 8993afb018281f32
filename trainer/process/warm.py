"""A first training on toy rows, so that the first step of a real one is quick.

Imports, kernels and allocators are slow once per process; a spare that has done this
begins a job at once.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainer.assembly import assembled
from trainer.data.dataset import Dataset, described
from trainer.process.order import Order
from trainer.training.loop import fit

ROWS = 48
TOY = {
    "name": "toy",
    "dataset": {"id": "toy", "target": "y"},
    "network": {
        "layers": [
            {"kind": "conv2d", "filters": 2, "kernel_size": 3},
            {"kind": "max_pool2d"},
            {"kind": "dense", "units": 8},
        ]
    },
    "training": {"epochs": 2, "batch_size": 16},
}
OPTIMIZERS = ("nesterov", "adam")


def warm_up() -> None:
    """Train toy networks for a few steps; the generators' states do not matter yet."""
    draw = np.random.default_rng(0)
    dataset = described(
        Path("toy"),
        {
            "train": {
                "image": draw.integers(0, 256, (ROWS, 8, 8), dtype=np.uint8),
                "y": np.arange(ROWS) % 2,
            }
        },
        "toy",
    )
    for optimizer in OPTIMIZERS:
        _train(dataset, optimizer)


def _train(dataset: Dataset, optimizer: str) -> None:
    recipe = {"epochs": 2, "batch_size": 16, "optimizer": optimizer}
    order = Order(spec=TOY | {"training": recipe}, dataset=Path("toy"))
    for _ in fit(assembled(order, dataset).training):
        pass
