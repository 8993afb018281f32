"""Compare the memory estimate of six networks with the peak of a real trainer process.

Each network is trained for a few steps by a process of its own, as a worker would run
it; its peak resident memory is read from the kernel after the result. The estimate has
to lie within 25 % of the peak and never more than 10 % below it.

    python benchmarks/memory.py [NETWORK ...]
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from trainer.spec.data.schema import Column, Part, Schema, Value
from trainer.spec.job import JobSpec
from trainer.spec.resolve import resolve

IMAGES, TABLE, PHOTOS, DIGITS = "images", "table", "photos", "digits"
SHAPES: dict[str, tuple[int, tuple[int, ...]]] = {
    IMAGES: (20_000, (28, 28, 1)),
    TABLE: (20_000, (64,)),
    PHOTOS: (2_000, (32, 32, 3)),
    DIGITS: (4_000, (28, 28, 1)),
}


IMAGE_AXES = 3
LEAST, MOST = 0.9, 1.25
"""Bounds of estimate over peak."""


def dense(*units: int) -> list[dict[str, Any]]:
    """Return dense layers of these sizes."""
    return [{"kind": "dense", "units": size} for size in units]


def conv(filters: int, **fields: Any) -> dict[str, Any]:
    """Return a convolution."""
    return {"kind": "conv2d", "filters": filters, "padding": "same"} | fields


NETWORKS: dict[str, tuple[str, list[dict[str, Any]], dict[str, Any]]] = {
    "small dense": (IMAGES, dense(300, 100), {"batch_size": 50}),
    "large dense": (
        IMAGES,
        dense(2000, 2000, 2000),
        {"batch_size": 512, "optimizer": "adam"},
    ),
    "convolutions": (
        DIGITS,
        [conv(32), conv(64), {"kind": "max_pool2d"}, *dense(128)],
        {"batch_size": 128},
    ),
    "residual": (
        PHOTOS,
        [
            conv(32),
            {"kind": "residual", "filters": 32},
            {"kind": "residual", "filters": 64, "stride": 2},
            {"kind": "global_average_pool2d"},
        ],
        {"batch_size": 256},
    ),
    "table": (TABLE, dense(1000, 500), {"batch_size": 1024}),
    "deep and narrow": (TABLE, dense(*[100] * 20), {"batch_size": 64}),
}


def store(folder: Path, kind: str) -> Schema:
    """Write a data set of random numbers as an upload would be stored."""
    rows, shape = SHAPES[kind]
    draw = np.random.default_rng(0)
    (folder / "columns").mkdir(parents=True)
    inputs: np.ndarray[Any, Any] = draw.standard_normal((rows, *shape), np.float32)
    if len(shape) == IMAGE_AXES:
        inputs = (inputs * 50 + 128).clip(0, 255).astype(np.uint8)
    np.save(folder / "columns/0.npy", inputs)
    np.save(folder / "columns/1.npy", np.arange(rows) % 10)
    values = tuple(Value(value=v, count=rows // 10) for v in range(10))
    schema = Schema(
        rows=rows,
        parts=(Part(name="train", start=0, stop=rows),),
        columns=(
            Column(
                name="x",
                kind="image" if len(shape) == IMAGE_AXES else "array",
                shape=shape,
            ),
            Column(
                name="y",
                kind="integer",
                distinct=10,
                values=values,
                minimum=0,
                maximum=9,
            ),
        ),
        target="y",
    )
    (folder / "dataset.json").write_text(schema.model_dump_json())
    return schema


def peak(order: dict[str, Any]) -> int:
    """Return the peak resident memory, in bytes, of a trainer that carries it out."""
    with subprocess.Popen(
        [sys.executable, "-m", "trainer", "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"OMP_NUM_THREADS": "1", "PATH": ""},
    ) as trainer:
        assert trainer.stdin is not None
        assert trainer.stdout is not None
        trainer.stdin.write(json.dumps({"order": order}) + "\n")
        trainer.stdin.flush()
        for line in trainer.stdout:
            event = json.loads(line)
            if event["event"] == "failed":
                raise SystemExit(event["error"])
            if event["event"] == "result":
                status = Path(f"/proc/{trainer.pid}/status").read_text()
                trainer.stdin.close()
                kib = status.partition("VmHWM:")[2].split()[0]
                return int(kib) * 1024
    raise SystemExit("the trainer ended without a result")


def main() -> None:
    """Print estimate, peak and ratio of each network; fail where one is out."""
    out = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        schemas = {kind: store(root / kind, kind) for kind in SHAPES}
        for name in sys.argv[1:] or NETWORKS:
            kind, layers, training = NETWORKS[name]
            raw = {
                "name": "memory",
                "dataset": {"id": kind},
                "network": {"layers": layers},
                "training": {"epochs": 2} | training,
            }
            found = resolve(JobSpec.model_validate(raw), schemas[kind], {})
            run = root / name.replace(" ", "-")
            measured = peak(
                {
                    "job": "memory",
                    "attempt": 1,
                    "spec": found.resolved(),
                    "dataset": str(root / kind),
                    "dataset_id": kind,
                    "sources": [],
                    "checkpoint": None,
                    "checkpoints": str(run / "checkpoints"),
                    "model": str(run / "model"),
                    "frozen_cache": str(root / "cache"),
                    "frozen_cache_bytes": 0,
                    "micro_batch": None,
                    "device": "cpu",
                    "threads": 1,
                    "checkpoint_seconds": 1,
                }
            )
            ratio = found.estimate.bytes / measured
            out += [] if LEAST <= ratio <= MOST else [name]
            print(
                f"{name:16} estimate {found.estimate.bytes / 2**20:7.0f} MiB  "
                f"peak {measured / 2**20:7.0f} MiB  ratio {ratio:.2f}",
                flush=True,
            )
    if out:
        raise SystemExit(f"out of bounds: {', '.join(out)}")


if __name__ == "__main__":
    main()
