"""Step time with the training doctor and without, interleaved on one machine.

    python benchmarks/doctor.py                    # both networks, half a minute
    python benchmarks/doctor.py --rounds 15        # less noise

Each round trains the same steps of the same spec twice in one process, with
``training.doctor`` on (its default) and off, in alternating order, and compares the
processor's seconds per step, which neighbours on the machine hardly disturb. The first
200 steps, where samples are denser, are left out; what they cost is told beside it.
Exit status 1 if the median of the ratios is above 1.03.
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
from trainer.dataset import Dataset, described  # noqa: E402
from trainer.loop import _epoch  # noqa: E402
from trainer.order import Order  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

WARM = 200
"""Steps at the start that are timed apart."""
MOST = 1.03

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


def steps(data: Dataset, layers: list[dict[str, Any]], batch: int, doctor: str) -> Any:
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
                if training.doctor is not None and training.step % 500 == 0:
                    training.doctor.collect()  # as the loop does at its reports
                yield

    return forever()


def seconds_per_step(taking: Iterator[None], count: int) -> float:
    """Return the mean time of some steps."""
    started = time.process_time()
    for _ in range(count):
        next(taking)
    return (time.process_time() - started) / count


def main() -> None:
    """Time both networks with and without the doctor."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=100, help="a multiple of 100")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data, slow = pictures(), []
    for name, (layers, batch) in NETWORKS.items():
        pair = [steps(data, layers, batch, doctor) for doctor in ("off", "on")]
        first = [seconds_per_step(one, WARM) for one in pair]
        rounds = []
        for number in range(options.rounds):
            order = (0, 1) if number % 2 else (1, 0)
            times = {n: seconds_per_step(pair[n], options.steps) for n in order}
            rounds.append((times[0], times[1]))
        ratios = [on / off for off, on in rounds]
        off, on = (statistics.median(times) for times in zip(*rounds, strict=True))
        print(
            f"{name}: {1e6 * off:.0f} us a step without, {1e6 * on:.0f} us with; "
            f"ratio {statistics.median(ratios):.4f} "
            f"({min(ratios):.4f} to {max(ratios):.4f}, {options.rounds} rounds of "
            f"{options.steps} steps); of the first {WARM} steps "
            f"{first[1] / first[0]:.3f}",
            flush=True,
        )
        slow += [name] if statistics.median(ratios) > MOST else []
    if slow:
        raise SystemExit(f"more than 3 % slower: {slow}")


if __name__ == "__main__":
    main()
