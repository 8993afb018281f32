"""Step time with the training doctor and without, interleaved on one machine.

    python benchmarks/doctor.py                    # both networks, under a minute
    python benchmarks/doctor.py --steps 3000       # less noise

Two trainings of one spec, with ``training.doctor`` off and on, take turns step by step,
each step timed by the processor's clock. Medians are compared: of steps without the
doctor, of steps that it lets pass, and of steps that it samples (one in ten here, for
more of them). What the default costs follows: the second over the first, and the excess
of the third in one of 100 steps. Exit status 1 if that is more than 3 % of a step.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from trainer.assembly import assembled  # noqa: E402 - the checkout is not installed
from trainer.data.dataset import Dataset, described  # noqa: E402
from trainer.process.order import Order  # noqa: E402
from trainer.training.loop import _epoch  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

WARM = 65
"""Steps at the start, with samples that are denser."""
OFTEN, INTERVAL = 10, 100
"""Steps between samples here and by default."""
MOST = 0.03

NETWORKS: dict[str, tuple[list[dict[str, Any]], int]] = {
    "784-300-100-10, batch 50": (
        [{"kind": "dense", "units": 300}, {"kind": "dense", "units": 100}],
        50,
    ),
    "conv16-conv32-dense64, batch 50": (
        [
            {"kind": "conv2d", "filters": 16, "padding": "same"},
            {"kind": "max_pool2d"},
            {"kind": "conv2d", "filters": 32, "padding": "same"},
            {"kind": "max_pool2d"},
            {"kind": "dense", "units": 64},
        ],
        50,
    ),
}


def pictures(rows: int = 5000) -> Dataset:
    """Return images of noise with classes, of the size of MNIST's."""
    draw = np.random.default_rng(1)
    image = draw.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
    arrays: dict[str, Any] = {
        "image": image[..., np.newaxis],
        "label": draw.integers(0, 10, rows),
    }
    return described(Path("noise"), {"train": arrays}, "noise")


def steps(data: Dataset, layers: list[dict[str, Any]], batch: int, doctor: Any) -> Any:
    """Return an iterator that takes one step at a time."""
    spec = {
        "name": "doctor",
        "dataset": {"id": "noise", "target": "label"},
        "network": {"layers": layers},
        "training": {"epochs": 10**6, "batch_size": batch, "doctor": doctor}
        | {"early_stopping": "none", "evaluate_every": {"steps": 10**9}},
    }
    training = assembled(Order(spec=spec, dataset=Path("noise")), data).training

    def forever() -> Iterator[None]:
        while True:
            for _ in _epoch(training):
                if training.doctor is not None and training.step % 100 == 0:
                    training.doctor.collect()  # as the loop does at its reports
                yield

    return forever()


def seconds(taking: Iterator[None]) -> float:
    """Return the processor's time of one step."""
    started = time.process_time()
    next(taking)
    return time.process_time() - started


def main() -> None:
    """Time both networks with and without the doctor."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data, slow = pictures(), []
    for name, (layers, batch) in NETWORKS.items():
        off = steps(data, layers, batch, "off")
        on = steps(data, layers, batch, {"interval": OFTEN})
        without: list[float] = []
        passed: list[float] = []
        sampled: list[float] = []
        for step in range(1, options.steps + 1):
            if (step + step // OFTEN) % 2:  # who comes second finds warm caches
                one, other = seconds(off), seconds(on)
            else:
                other, one = seconds(on), seconds(off)
            if step > WARM:
                without.append(one)
                (passed if step % OFTEN else sampled).append(other)
        usual = statistics.median(without)
        idle = statistics.median(passed) / usual - 1
        sample = statistics.median(sampled) / usual - 1
        added = idle + (sample - idle) / INTERVAL
        print(
            f"{name}: {1e6 * usual:.0f} us a step; a step that is not sampled takes "
            f"{idle:+.2%}, one that is {sample:+.0%}; with one in {INTERVAL} sampled "
            f"the doctor adds {added:.2%}",
            flush=True,
        )
        slow += [name] if added > MOST else []
    if slow:
        raise SystemExit(f"more than 3 % slower: {slow}")


if __name__ == "__main__":
    main()
