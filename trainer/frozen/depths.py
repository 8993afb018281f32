"""Outputs at several cuts of one network from one pass over the rows.

A search of how many layers to freeze trains one job per depth, on the outputs of as
many cuts. Each layer is run once here for all of them, as each job alone would run it:
by itself, in runs of as many rows, in evaluation mode. So every entry has the bits that
its job would have computed.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from trainer.frozen import chunk_rows, settle
from trainer.spec.network import INPUT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from torch import Tensor

    from trainer.frozen import Rows
    from trainer.network import Cut, Network


def every_depth(network: Network, layers: Collection[str]) -> tuple[Cut, ...]:
    """Return the cuts of freezing the lowest one, two, … of some layers, lowest first.

    A cut is there once, however many of the layers have nothing that learns, and only
    if something is left above it that does.
    """
    lowest = [row.name for row in network.rows if row.name in layers]
    found = [network.cut(frozenset(lowest[:n])) for n in range(1, len(lowest) + 1)]
    learning = {row.name for row in network.rows if row.tensors}
    return tuple(
        dict.fromkeys(c for c in found if c.below and learning.intersection(c.above))
    )


def in_passes(
    network: Network, cuts: Sequence[Cut], device: torch.device
) -> dict[int, list[Cut]]:
    """Return which cuts one pass can serve: those that take rows in runs as long.

    A product's last bits depend on its size, so where wider layers need shorter runs
    the cuts above them have a pass of their own.
    """
    passes: dict[int, list[Cut]] = {}
    for cut in cuts:
        passes.setdefault(chunk_rows(network, cut, device), []).append(cut)
    return passes


def chunks_at(
    network: Network,
    cuts: Sequence[Cut],
    rows: Rows,
    device: torch.device,
    chunk: int,
) -> Iterator[list[tuple[dict[str, Tensor], float]]]:
    """Yield for fixed runs of rows the outputs at each cut, lowest cut first.

    The seconds beside them are what the layers below that cut took, so that what an
    entry saves is what its job would have spent.
    """
    below = {name for cut in cuts for name in cut.below}
    for start in range(0, len(rows), chunk):
        x = rows[start : start + chunk].to(device)
        with _asleep(network, below), torch.no_grad():
            found = _outputs(network, cuts, x)
        yield found


def _outputs(
    network: Network, cuts: Sequence[Cut], x: Tensor
) -> list[tuple[dict[str, Tensor], float]]:
    """Run every layer once; return each cut's outputs and the seconds of its layers."""
    wanted = {name for cut in cuts for name in cut.boundary}
    below = [name for cut in cuts for name in cut.below]
    wanted.update(taken for name in below for taken in network.needs[name])
    values: dict[str, Tensor] = {INPUT: x}
    seconds: dict[str, float] = {}
    found = []
    for cut in cuts:
        left = [name for name in cut.below if name not in seconds]
        started = time.perf_counter()
        values = network.run_between(left, values, list(wanted))
        settle(values)
        took = time.perf_counter() - started
        seconds.update(dict.fromkeys(left, took / max(1, len(left))))
        outputs = {name: values[name] for name in cut.boundary}
        found.append((outputs, sum(seconds[name] for name in cut.below)))
    return found


@contextmanager
def _asleep(network: Network, names: Collection[str]) -> Iterator[None]:
    """Put layers into evaluation mode; those that learn here wake up again."""
    modules = [m for name in names for m in network.layers[name].modules()]
    modes = [(module, module.training) for module in modules]
    for name in names:
        network.layers[name].eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
