"""How long the API takes to accept a job, over real HTTP, on SQLite.

Starts the API in a process of its own on an empty data folder and submits one job
after the other, as one client with a kept connection. Without Redis and without a
worker: accepting needs neither.

    python benchmarks/submit_latency.py [--jobs 300] [--clients 1]
"""

from __future__ import annotations

import argparse
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
WARM_UP = 20
START_SECONDS = 60
SPEC = {
    "name": "digits",
    "dataset": {"id": "digits", "target": "label"},
    "network": {
        "layers": [
            {"name": "hidden1", "kind": "dense", "units": 300},
            {"name": "hidden2", "kind": "dense", "units": 100},
        ]
    },
    "training": {"optimizer": {"kind": "adam", "learning_rate": 0.001}},
}


@contextmanager
def api(folder: Path) -> Iterator[str]:
    """Run the API on a migrated, empty database; give its address."""
    environment = os.environ | {
        "FROSTLINE_DATA": str(folder),
        "FROSTLINE_DATABASE_URL": f"sqlite:///{folder / 'frostline.db'}",
        "FROSTLINE_REDIS_URL": "redis://127.0.0.1:1/0",
    }
    migrate = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(migrate, cwd=ROOT, env=environment, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "api.app:app", "--port", str(port)]
    command += ["--log-level", "warning"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        _await(f"{url}/healthz")
        yield url
    finally:
        process.terminate()
        process.wait()


def _await(address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(address).raise_for_status()
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def submit(client: httpx.Client, jobs: int) -> list[float]:
    """Submit jobs one after the other; return the milliseconds that each took."""
    taken = []
    for _ in range(jobs):
        before = time.perf_counter()
        answer = client.post("/v1/jobs", json=SPEC)
        taken.append(1000 * (time.perf_counter() - before))
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    return taken


def measure(url: str, jobs: int, clients: int) -> list[float]:
    """Submit from several clients at once; return all the milliseconds."""
    connected = [httpx.Client(base_url=url, timeout=60) for _ in range(clients)]
    upload: dict[str, Any] = {"uri": "sklearn:digits", "name": "digits"}
    answer = connected[0].post("/v1/datasets", json=upload, timeout=300)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    submit(connected[0], WARM_UP)
    with ThreadPoolExecutor(clients) as threads:
        parts = list(threads.map(lambda c: submit(c, jobs // clients), connected))
    for client in connected:
        client.close()
    return [milliseconds for part in parts for milliseconds in part]


def main() -> None:
    """Measure, and print what was found with what it was found on."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--jobs", type=int, default=300)
    arguments.add_argument("--clients", type=int, default=1)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, api(Path(folder)) as url:
        taken = measure(url, asked.jobs, asked.clients)
    percentiles = quantiles(taken, n=100)
    load = os.getloadavg()[0]
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores,", end=""
    )
    print(f" load {load:.1f}, Python {platform.python_version()}")
    print(f"{len(taken)} submits from {asked.clients} client(s), milliseconds:")
    print(
        f"  least {min(taken):.1f}, median {median(taken):.1f},"
        f" 95th percentile {percentiles[94]:.1f}, most {max(taken):.1f}"
    )


if __name__ == "__main__":
    main()
