"""What it saves to compute frozen layers once: seconds per epoch, paired, on one core.

Each network is trained on MNIST-shaped rows in five ways: all layers trained; frozen
layers run again in every batch, as a loop written by hand does; their outputs computed
anew in every epoch (`frozen_cache: off`); kept by the first job, which fills the cache;
and found by a second job. The ways take turns, and the clock is that of the processor,
so other work on the machine tells little. The last column is what the floating-point
work left out would allow.

    python benchmarks/frozen_cache.py [--rows 10000] [--epochs 10] [--only conv]
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from trainer.assembly import Assembly, assembled
from trainer.data.dataset import Dataset, described
from trainer.data.examples import Examples
from trainer.network import Network
from trainer.process.commands import Commands
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
    Case("conv32-conv64 frozen, dense128", CONVOLUTIONAL, "conv.", 50),
)


@dataclass(frozen=True)
class Timing:
    """Processor seconds of one training."""

    steady: float
    """Of an epoch after the first."""
    mean: float
    """Of an epoch when everything is spread over all of them."""


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


def timed(training: Training, epochs: int) -> Timing:
    """Train to the end."""
    started = time.process_time()
    ends = [time.process_time() for report in fit(training) if report.rows]
    steady = [after - before for before, after in pairwise(ends)]
    return Timing(median(steady), (ends[epochs - 1] - started) / epochs)


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
    """Train in all five ways, one after the other."""
    model = OrderedSource(id="mdl_source", folder=folder / "source")

    def built(*, freeze: bool = True, mode: str = "auto", cache: str = "x") -> Assembly:
        order = Order(
            spec=spec(case, epochs, freeze=freeze, mode=mode),
            dataset=Path("rows"),
            sources=(model,),
            frozen_cache=folder / cache,
            frozen_cache_bytes=CACHE_BYTES,
        )
        return assembled(order, data)

    shelf = f"cache{time.monotonic_ns()}"
    ways: dict[str, Callable[[], Training]] = {
        "all trained": lambda: built(freeze=False).training,
        "by hand": lambda: by_hand(built()),
        "recomputed": lambda: built(mode="off").training,
        "first job": lambda: built(cache=shelf).training,
        "second job": lambda: built(cache=shelf).training,
    }
    return {name: timed(way(), epochs) for name, way in ways.items()}


def allowed(case: Case) -> float:
    """Return how much less floating-point work an epoch has above the cut.

    A forward product counts once; a layer that learns adds one for its weights and,
    unless it is the lowest that learns, one for its input.
    """
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
    above = sum(work[name] * 3 for name in learning) - work[learning[0]]
    return (forward + above) / above


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
    """Print one line per network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="networks whose name holds this")
    options = parser.parse_args()
    data = rows(options.rows)
    print(f"torch {torch.__version__}, one thread, {options.rows} rows, ", end="")
    print(f"{options.epochs} epochs, median of {options.rounds} rounds")
    names = ("all trained", "by hand", "recomputed", "first job", "second job")
    print("\nsteady processor seconds per epoch; in brackets by hand / this way")
    print(f"{'':34}{'batch':>6}" + "".join(f"{name:>16}" for name in names))
    for case in (case for case in CASES if options.only in case.name):
        with tempfile.TemporaryDirectory() as folder:
            source(case, Path(folder) / "source")
            rounds = [
                measure(case, data, options.epochs, Path(folder))
                for _ in range(options.rounds)
            ]
        print(f"{case.name:34}{case.batch:>6}", end="")
        for name in names:
            seconds = median(each[name].steady for each in rounds)
            ratio = median(
                each["by hand"].steady / each[name].steady for each in rounds
            )
            print(f"{seconds:9.3f} ({ratio:4.1f})", end="")
        print(f"\n{'  everything spread over the epochs':40}", end="")
        for name in names:
            seconds = median(each[name].mean for each in rounds)
            ratio = median(each["by hand"].mean / each[name].mean for each in rounds)
            print(f"{seconds:9.3f} ({ratio:4.1f})", end="")
        print(f"   the work allows {allowed(case):.1f}", flush=True)


if __name__ == "__main__":
    main()
