"""Step time with the training doctor and without, interleaved on one machine.

    python benchmarks/doctor.py                    # both networks, half a minute
    python benchmarks/doctor.py --rounds 15        # less noise

Each round trains the same steps of the same spec twice in one process, with
``training.doctor`` on (its default) and off, in alternating order, and compares the
processor's seconds per step, which neighbours on the machine hardly disturb. The first
steps, where samples are denser, are left out. On a busy machine the difference drowns;
so a third training samples every step, and its excess over the first is what one sample
costs, of which the default takes one in 100 steps.
Exit status 1 if that is more than 3 % of the time.
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

WARM = 65
"""Steps at the start, with samples that are denser."""
INTERVAL = 100
"""The default: one sample in so many steps, and so many steps in a round."""
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
    options = parser.parse_args()
    torch.set_num_threads(1)
    data, slow = pictures(), []
    for name, (layers, batch) in NETWORKS.items():
        trainings = [
            steps(data, layers, batch, doctor)
            for doctor in ("off", "on", {"interval": 1})
        ]
        for one in trainings:
            seconds_per_step(one, WARM)
        rounds = []
        for number in range(options.rounds):
            order = (0, 1, 2) if number % 2 else (2, 1, 0)
            counts = (INTERVAL, INTERVAL, INTERVAL // 10)
            times = {n: seconds_per_step(trainings[n], counts[n]) for n in order}
            rounds.append((times[0], times[1], times[2]))
        off = statistics.median(times[0] for times in rounds)
        direct = [on / off - 1 for off, on, _ in rounds]
        sample = statistics.median(every / off - 1 for off, _, every in rounds)
        print(
            f"{name}: {1e6 * off:.0f} us a step; the doctor adds "
            f"{statistics.median(direct):+.2%} ({min(direct):+.2%} to "
            f"{max(direct):+.2%} in {options.rounds} rounds); a sample costs "
            f"{sample:.2f} steps, one in {INTERVAL} steps {sample / INTERVAL:.2%}",
            flush=True,
        )
        slow += [name] if sample / INTERVAL > MOST else []
    if slow:
        raise SystemExit(f"more than 3 % slower: {slow}")


if __name__ == "__main__":
    main()
