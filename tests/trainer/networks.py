"""Small networks that several tests train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from trainer.network import Network
from trainer.spec.network import NetworkSpec, filled

IMAGE = (1, 8, 8)
CLASSES = 4

DENSE: list[dict[str, Any]] = [
    {"kind": "dense", "name": "hidden1", "units": 12},
    {"kind": "dense", "name": "hidden2", "units": 9},
    {"kind": "dense", "name": "hidden3", "units": 7},
]
CONVOLUTIONAL: list[dict[str, Any]] = [
    {"kind": "conv2d", "name": "conv1", "filters": 4, "padding": "same"},
    {"kind": "max_pool2d", "name": "pool1"},
    {"kind": "conv2d", "name": "conv2", "filters": 6, "kernel_size": 3},
    {"kind": "flatten", "name": "flat"},
    {"kind": "dense", "name": "top", "units": 8},
]
RESIDUAL: list[dict[str, Any]] = [
    {"kind": "residual", "name": "block1", "filters": 4, "stride": 2},
    {"kind": "residual", "name": "block2", "filters": 4},
    {"kind": "global_average_pool2d", "name": "mean"},
]
SKIPPING: list[dict[str, Any]] = [
    {"kind": "dense", "name": "hidden1", "units": 9},
    {"kind": "dense", "name": "hidden2", "units": 9},
    {"kind": "dense", "name": "hidden3", "units": 9},
    {"kind": "add", "name": "sum", "inputs": ["hidden1", "hidden3"]},
    {"kind": "concatenate", "name": "both", "inputs": ["sum", "hidden2"]},
]


def network(
    layers: Sequence[dict[str, Any]],
    shape: tuple[int, ...] = IMAGE,
    *,
    normalization: str = "batch",
    seed: int = 1,
) -> Network:
    """Return an initialised network whose stored statistics have seen some rows."""
    spec = NetworkSpec.model_validate(
        {"defaults": {"normalization": normalization}, "layers": layers}
    )
    made = Network(filled(spec, CLASSES), shape)
    made.initialize(torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    made.train()
    for module in made.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    with torch.no_grad():
        for _ in range(3):
            made(torch.randn(16, *shape, generator=generator))
    return made


def examples(
    rows: int, shape: tuple[int, ...] = IMAGE, seed: int = 2
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows of input and their classes."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, *shape, generator=generator)
    return x, torch.randint(CLASSES, (rows,), generator=generator)
