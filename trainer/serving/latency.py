"""How long a graph takes to answer, as the API runs it: on one thread.

The clock is that of the thread's processor time. On a quiet machine it is the time that
passes; on one that trains beside, waiting for a processor would be most of that.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from trainer.export.graph import INPUT, OUTPUT

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

BATCH = 256
"""Rows of the batch that is measured."""
WARM_UP = 3
"""Runs before the clock counts: the first ones allocate."""
MOST_RUNS = 200
SECONDS = 0.25
"""Time after which no further run is begun."""
FEWEST_RUNS = 5


def opened(path: Path) -> Any:
    """Return the graph as the API opens it: optimised, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )


def answers(session: Any, rows: Floats) -> Floats:
    """Return the graph's outputs for many rows, a batch at a time."""
    parts = [
        session.run([OUTPUT], {INPUT: rows[start : start + BATCH]})[0]
        for start in range(0, len(rows), BATCH)
    ]
    return np.concatenate(parts)


def latency(session: Any, rows: Floats) -> dict[str, float]:
    """Return the medians of repeated answers, in milliseconds of processor time.

    `single_ms` is for one row, `batch_ms` for a batch of `BATCH`. Preprocessing and
    HTTP are not in them.
    """
    batch = np.resize(rows, (BATCH, *rows.shape[1:]))
    return {
        "single_ms": _median(session, batch[:1]),
        "batch_ms": _median(session, batch),
    }


def _median(session: Any, rows: Floats) -> float:
    for _ in range(WARM_UP):
        session.run([OUTPUT], {INPUT: rows})
    until = time.perf_counter() + SECONDS
    took: list[float] = []
    while len(took) < MOST_RUNS and (
        len(took) < FEWEST_RUNS or time.perf_counter() < until
    ):
        started = time.thread_time()
        session.run([OUTPUT], {INPUT: rows})
        took.append(time.thread_time() - started)
    return round(1000 * median(took), 5)
