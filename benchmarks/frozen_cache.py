"""What it saves to compute frozen layers once, against what the removed work predicts.

Each network is trained on MNIST-shaped rows in several ways that take turns epoch by
epoch in one process: frozen layers run again in every batch, as a loop written by hand
does; their outputs computed anew in every epoch (`frozen_cache: off`); kept by the
first job, which fills the cache; and found by a second job. The clock is that of the
processor, so other work on the machine tells little; figures are medians.

Three predictions stand beside the measured speed-up:

    work    floating-point work of an epoch with the frozen layers / without them
    job     the same of a whole first job, in which the frozen layers run once
    time    an epoch / the same epoch without the time of the frozen layers' products

`work` and `job` take the head's products for as fast, number by number, as the frozen
layers' larger ones, and the rest of a step for nothing; `time` takes both as they are,
measured in the same epochs. A forward product counts once; a layer that learns adds one
for its weights and, unless it is the lowest that learns, one for its input.

    python benchmarks/frozen_cache.py [--rows 10000] [--epochs 10] [--only conv]
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.assembly import Assembly, assembled
from trainer.data.dataset import Dataset, described
from trainer.data.examples import Examples
from trainer.network import Cut, Network
from trainer.process.commands import Commands
from trainer.process.environment import settle
from trainer.process.order import Order, OrderedSource
from trainer.run import Run
from trainer.spec.network import INPUT
from trainer.training import Training
from trainer.training.loop import fit

CACHE_BYTES = 10 * 2**30
PLAIN = {"normalization": "none", "activation": "relu", "dropout": 0.0}


def dense(*units: int) -> list[dict[str, Any]]:
    """Return dense layers of these sizes, named hidden1, hidden2 and so on."""
    return [
        {"kind": "dense", "name": f"hidden{n}", "units": size}
        for n, size in enumerate(units, start=1)
    ]


CONVOLUTIONAL: list[dict[str, Any]] = [
    {"kind": "conv2d", "name": "conv1", "filters": 32},
    {"kind": "conv2d", "name": "conv2", "filters": 64},
    {"kind": "max_pool2d", "name": "pool"},
    *dense(128),
]


@dataclass(frozen=True)
class Case:
    """A network, the layers of it that are frozen, and the batch."""

    name: str
    layers: list[dict[str, Any]]
    frozen: str
    batch: int


CASES = (
    Case("784-300-100-50-50-10, 3 frozen", dense(300, 100, 50, 50), "hidden[123]", 50),
    Case("784-300-100-50-50-10, 3 frozen", dense(300, 100, 50, 50), "hidden[123]", 200),
    Case("784-2000x3-10, 3 frozen", dense(2000, 2000, 2000), "hidden.", 512),
    Case("conv32-conv64 frozen, 128-10", CONVOLUTIONAL, "conv.", 50),
    Case("conv32-conv64 frozen, 10", CONVOLUTIONAL[:-1], "conv.", 50),
)
WAYS = ("by hand", "recomputed", "first job", "second job")


@dataclass(frozen=True)
class Timing:
    """Processor seconds of one training."""

    epochs: list[float]
    """Of each epoch, evaluation included."""
    frozen: list[float]
    """Of the frozen layers in each epoch, where they run apart from the rest."""

    @property
    def steady(self) -> float:
        """Return those of an epoch after the first."""
        return median(self.epochs[1:])


class Bench(Run):
    """A run on a data set that is in memory."""

    def __init__(self, order: Order, data: Dataset) -> None:
        """Carry out `order` on `data`, with nobody to stop it."""
        super().__init__(order, Commands())
        self.data = data

    def assemble(self) -> Assembly:
        """Build on the given data set."""
        return assembled(self.order, self.data)


def rows(count: int) -> Dataset:
    """Return 28x28 images in ten classes, made from a seed."""
    draw = np.random.default_rng(1)
    label = draw.integers(0, 10, count)
    image = draw.integers(0, 120, (count, 28, 28)) + 12 * label[:, None, None]
    arrays: dict[str, Any] = {"image": image.astype(np.uint8), "label": label}
    return described(Path("rows"), {"train": arrays}, f"rows-{count}")


def spec(case: Case, epochs: int, *, freeze: bool, mode: str) -> dict[str, Any]:
    """Return the job of one way."""
    entry = {"from": "source", "layers": ".*"}
    return {
        "name": "benchmark",
        "dataset": {
            "id": "rows",
            "split": {"validation": {"rows": [0, 100]}, "test": "none"},
        },
        "network": {"defaults": PLAIN, "layers": case.layers},
        "reuse": [entry | ({"freeze": case.frozen} if freeze else {})],
        "training": {
            "epochs": epochs,
            "batch_size": case.batch,
            "early_stopping": "none",
            "frozen_cache": mode,
        },
    }


def source(case: Case, folder: Path) -> Path:
    """Write a model whose layers are reused."""
    what = spec(case, 1, freeze=False, mode="auto") | {"reuse": []}
    order = Order(spec=what, dataset=Path("rows"), model=folder)
    for _ in Bench(order, rows(400)).events():
        pass
    return folder


def epochs_of(training: Training) -> Iterator[float]:
    """Yield the processor seconds of one epoch after another."""
    started = time.process_time()
    for report in fit(training, pause_seconds=3600.0):
        if report.rows and not report.done:
            yield time.process_time() - started
            started = time.process_time()


def by_hand(assembly: Assembly) -> Training:
    """Return the training that sends every batch through the frozen layers again."""
    material = assembly.training.material
    whole = assembly.rows.held(assembly.training.device)
    examples = Examples(lambda: {INPUT: whole}, material.train.targets)
    return Training(
        replace(
            material,
            cut=assembly.network.cut(frozenset()),
            train=examples,
            validation=None,
        )
    )


def measure(
    case: Case, data: Dataset, epochs: int, folder: Path
) -> Mapping[str, Timing]:
    """Train in all ways, one epoch of each in turn."""
    model = OrderedSource(id="mdl_source", folder=folder / "source")
    shelf = folder / f"cache{time.monotonic_ns()}"

    def built(mode: str = "auto") -> Assembly:
        order = Order(
            spec=spec(case, epochs, freeze=True, mode=mode),
            dataset=Path("rows"),
            sources=(model,),
            frozen_cache=shelf,
            frozen_cache_bytes=CACHE_BYTES,
        )
        return assembled(order, data)

    made = [built(), built("off"), built(), built()]
    trainings = [by_hand(made[0]), *(one.training for one in made[1:])]
    running = [epochs_of(training) for training in trainings]
    with clocked() as seconds:
        turns = [
            [(next(way), seconds.pop("frozen", 0.0)) for way in running]
            for _ in range(epochs)
        ]
    return {
        name: Timing(*map(list, zip(*[turn[number] for turn in turns], strict=True)))
        for number, name in enumerate(WAYS)
    }


@contextmanager
def clocked() -> Iterator[dict[str, float]]:
    """Add up the processor seconds of the frozen layers under the name `frozen`."""
    found: dict[str, float] = {}
    plain = Network.run_below

    def run_below(self: Network, cut: Cut, x: Tensor) -> dict[str, Tensor]:
        started = time.process_time()
        values = plain(self, cut, x)
        took = time.process_time() - started
        found["frozen"] = found.get("frozen", 0.0) + took
        return values

    Network.run_below = run_below  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Network.run_below = plain  # type: ignore[method-assign]


def work_of(case: Case) -> tuple[int, int]:
    """Return the products per example of the frozen layers, and of learning above."""
    data = rows(200)
    folder = Path(tempfile.mkdtemp())
    model = OrderedSource(id="mdl_source", folder=source(case, folder / "source"))
    order = Order(
        spec=spec(case, 1, freeze=True, mode="off"),
        dataset=Path("rows"),
        sources=(model,),
    )
    made = assembled(order, data)
    network, below = made.network, set(made.frozen.cut.below)
    work = products(network)
    forward = sum(work[name] for name in work if name in below)
    learning = [name for name in work if name not in below]
    return forward, sum(work[name] * 3 for name in learning) - work[learning[0]]


def products(network: Network) -> dict[str, int]:
    """Return the multiplications per example of each layer that has weights."""
    found = {}
    for row in network.rows:
        weight = row.tensors.get("weight")
        if weight is not None:
            positions = prod(row.output_shape[1:])
            found[row.name] = prod(weight.shape) * positions
    return found


def main() -> None:
    """Print a few lines per network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--only", default="", help="networks whose name holds this")
    options = parser.parse_args()
    settle(1)
    data = rows(options.rows)
    print(f"torch {torch.__version__}, one thread, {options.rows} rows, ", end="")
    print(f"{options.epochs} epochs, processor seconds, medians")
    for case in (case for case in CASES if options.only in case.name):
        with tempfile.TemporaryDirectory() as folder:
            source(case, Path(folder) / "source")
            found = measure(case, data, options.epochs, Path(folder))
        told(case, found, options.epochs)


def told(case: Case, found: Mapping[str, Timing], epochs: int) -> None:
    """Print what one network took, and what was predicted."""
    print(f"\n{case.name}, batch {case.batch}")
    for name in WAYS:
        each = found[name]
        print(f"  {name:12} {each.steady:8.3f} s an epoch", end="")
        print(f"{sum(each.epochs):10.3f} s in all")
    below, above = work_of(case)
    work = (below + above) / above
    job = epochs * (below + above) / (below + epochs * above)
    first, second = found["first job"], found["second job"]
    for name in WAYS[:2]:
        without = found[name]
        pairs = list(zip(without.epochs[1:], second.epochs[1:], strict=True))
        steady = median(before / after for before, after in pairs)
        compared("work", name, steady, work)
        compared("job", name, sum(without.epochs) / sum(first.epochs), job)
    left = zip(without.epochs[1:], without.frozen[1:], strict=True)
    compared("time", name, steady, median(a / (a - frozen) for a, frozen in left))


def compared(kind: str, name: str, measured: float, predicted: float) -> None:
    """Print a measured speed-up beside a predicted one."""
    print(f"  against {name:12} {kind:5} measured {measured:6.1f}", end="")
    print(f", predicted {predicted:6.1f}: {measured / predicted:5.2f}", flush=True)


if __name__ == "__main__":
    main()
