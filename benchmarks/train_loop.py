"""Compare the trainer with the loop that a user would write by hand.

The hand-written loop is the textbook's: ``TensorDataset``, a shuffling ``DataLoader``,
``loss.item()`` at every step. Both train the same network (784-300-100-10, ReLU,
Nesterov) on the same rows, shaped like MNIST, in one process and on one thread. Epochs
are interleaved and compared in pairs, by the processor's clock, so that other work on
the machine falls on both alike.

    OMP_NUM_THREADS=1 python -m benchmarks.train_loop --rounds 7

The exit status is 1 if the trainer is slower at any batch size.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from trainer.assembly import assembled
from trainer.data.dataset import Dataset, described
from trainer.process.order import Order
from trainer.training.loop import fit

LEARNING_RATE, MOMENTUM = 0.01, 0.9


def digits(rows: int) -> Dataset:
    """Return rows shaped like MNIST, of noise that depends on the class."""
    draw = np.random.default_rng(1)
    label = draw.integers(0, 10, rows)
    image = draw.integers(0, 200, (rows, 28, 28)) + 5 * label[:, None, None]
    arrays: dict[str, Any] = {"image": image.astype(np.uint8), "label": label}
    return described(Path("digits"), {"train": arrays}, "benchmark")


def mlp() -> nn.Module:
    """Return the network that all loops train."""
    return nn.Sequential(
        nn.Linear(784, 300),
        nn.ReLU(),
        nn.Linear(300, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def textbook(data: Dataset, batch: int) -> Iterator[float]:
    """Train by the hand-written loop; yield the mean loss after each epoch."""
    torch.manual_seed(1)
    network = mlp()
    x = torch.from_numpy(data.columns["image"]).reshape(-1, 784).float() / 255
    y = torch.from_numpy(data.columns["label"])
    loader = DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=True)
    loss_of = nn.CrossEntropyLoss()
    descent = torch.optim.SGD(
        network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True
    )
    while True:
        total = 0.0
        for inputs, targets in loader:
            descent.zero_grad()
            loss = loss_of(network(inputs), targets)
            loss.backward()
            descent.step()
            total += loss.item() * len(targets)
        yield total / len(y)


def ours(data: Dataset, batch: int) -> Iterator[float]:
    """Train by the trainer, with all it does for a job; yield after each epoch."""
    spec: dict[str, Any] = {
        "name": "benchmark",
        "dataset": {"id": "digits", "split": {"validation": "none", "test": "none"}},
        "network": {
            "defaults": {"activation": "relu", "normalization": "none", "dropout": 0},
            "layers": [
                {"kind": "dense", "units": 300},
                {"kind": "dense", "units": 100},
            ],
        },
        "training": {
            "optimizer": {
                "kind": "nesterov",
                "learning_rate": LEARNING_RATE,
                "momentum": MOMENTUM,
            },
            "batch_size": batch,
            "epochs": 1_000_000,
            "early_stopping": "none",
        },
    }
    order = Order(spec=spec, dataset=Path("digits"))
    for report in fit(assembled(order, data).training):
        losses = [row.value for row in report.rows if row.name == "train_loss"]
        yield from losses


def seconds(epochs: Iterator[float]) -> float:
    """Return the processor time of one epoch."""
    started = time.process_time()
    next(epochs)
    return time.process_time() - started


def compare(
    loops: tuple[Callable[[Dataset, int], Iterator[float]], ...],
    data: Dataset,
    batch: int,
    rounds: int,
) -> list[list[float]]:
    """Return the seconds of each loop in each round, after one epoch to warm up."""
    running = [loop(data, batch) for loop in loops]
    for epochs in running:
        next(epochs)
    return [[seconds(epochs) for epochs in running] for _ in range(rounds)]


def main() -> None:
    """Print the ratio at every batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[50, 128, 256, 512, 1024]
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = digits(options.rows)
    print(
        f"{options.rows} rows, {options.rounds} rounds, one thread, {torch.__version__}"
    )
    print("batch   textbook      ours   ratio: median (least to most), best / best")
    slower = []
    for batch in options.batches:
        rounds = compare((textbook, ours), data, batch, options.rounds)
        ratios = [by_hand / trainer for by_hand, trainer in rounds]
        best = [options.rows / min(times) for times in zip(*rounds, strict=True)]
        print(
            f"{batch:5}  {best[0]:7.0f}/s {best[1]:7.0f}/s   {median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}), {best[1] / best[0]:.2f}",
            flush=True,
        )
        slower += [batch] if median(ratios) < 1 else []
    if slower:
        raise SystemExit(f"slower than the textbook at {slower}")


if __name__ == "__main__":
    main()
