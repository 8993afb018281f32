"""What one large upload costs the API: memory, and the patience of other requests.

    python benchmarks/upload_memory.py --megabytes 2048

Starts an API of its own on a free port with SQLite and an empty data folder, writes a
CSV of the wanted size (numbers, a category, dates, some missing values), uploads it,
and meanwhile asks `/healthz` and `/v1/datasets` twenty times a second. Prints one JSON
object; ends with 1 if the API grew by 100 MB or more, or if the 95th percentile of the
other requests reached 100 ms.
"""

import argparse
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
MIB = 1024**2
ROWS_AT_A_TIME = 20_000
CITIES = ("Oslo", "Turku", "Narvik", "Umea", "Tromso")
MOST_GROWTH_MB = 100
MOST_MILLISECONDS = 100
INTERVAL_SECONDS = 0.05
PATIENCE = httpx.Timeout(3600)
MISSING = 0.05
"""Share of the rows that lack a number."""


def write_csv(path: Path, size: int) -> int:
    """Write a table of about `size` bytes; return its rows."""
    draws, rows = random.Random(1), 0
    block = [_row(draws) for _ in range(ROWS_AT_A_TIME)]
    with path.open("w") as file:
        file.write("id,x1,x2,x3,x4,x5,x6,count,city,day,flag\n")
        while file.tell() < size:
            lines = (f"{rows + at},{line}" for at, line in enumerate(block))
            file.write("\n".join(lines) + "\n")
            rows += len(block)
    return rows


def _row(draws: random.Random) -> str:
    numbers = [f"{draws.gauss(0, 1):.6f}" for _ in range(6)]
    if draws.random() < MISSING:
        numbers[draws.randrange(6)] = ""
    day = f"20{draws.randrange(10, 26)}-{draws.randrange(1, 13):02d}-15"
    flag = draws.choice(["true", "false"])
    return ",".join(
        [*numbers, str(draws.randrange(50)), draws.choice(CITIES), day, flag]
    )


@contextlib.contextmanager
def running_api(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Start an API on an empty ledger; give its address and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    known = {k: v for k, v in os.environ.items() if not k.startswith("FROSTLINE_")}
    environment = known | {"FROSTLINE_DATA": str(folder)}
    python = [sys.executable, "-m"]
    subprocess.run(
        [*python, "alembic", "upgrade", "head"], cwd=ROOT, env=environment, check=True
    )
    command = [*python, "uvicorn", "api.app:app", "--port", str(port)]
    command += ["--log-level", "warning"]
    # A session of its own: where the kernel shares time between sessions, the API
    # gets its share, as a service does.
    api = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_up(address, api)
        yield address, psutil.Process(api.pid)
    finally:
        api.terminate()
        api.wait(30)


def _wait_until_up(address: str, api: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and api.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{address}/healthz").raise_for_status()
            return
        time.sleep(0.1)
    sys.exit("the API did not start")


class Watch:
    """Samples memory, and the time that other requests take, until it is stopped."""

    def __init__(self, address: str, api: psutil.Process) -> None:
        self.api, self.address = api, address
        self.milliseconds: list[float] = []
        self.highest = self.child_highest = 0
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=("/healthz",)),
            threading.Thread(target=self._ask, args=("/v1/datasets",)),
            threading.Thread(target=self._measure),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, path: str) -> None:
        with httpx.Client(base_url=self.address, timeout=30) as client:
            while not self._ending.wait(INTERVAL_SECONDS):
                started = time.perf_counter()
                client.get(path).raise_for_status()
                self.milliseconds.append(1000 * (time.perf_counter() - started))

    def _measure(self) -> None:
        while not self._ending.wait(INTERVAL_SECONDS):
            self.highest = max(self.highest, self.api.memory_info().rss)
            for child in self.api.children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    size = child.memory_info().rss
                    self.child_highest = max(self.child_highest, size)


def measured(megabytes: int, folder: Path) -> dict[str, float]:
    """Upload a table of this size; return what it cost."""
    table = folder / "table.csv"
    rows = write_csv(table, megabytes * MIB)
    with running_api(folder / "data") as (address, api):
        for _ in range(50):
            httpx.get(f"{address}/v1/datasets").raise_for_status()
        before = api.memory_info().rss
        with Watch(address, api) as idle:
            time.sleep(5)
        # Sent by another process, which does not hold up the one that measures.
        sender = [sys.executable, __file__, "--send", str(table), address]
        with Watch(address, api) as watch:
            started = time.perf_counter()
            sent = subprocess.run(sender, check=True, stdout=subprocess.PIPE)
            seconds = time.perf_counter() - started
    assert int(sent.stdout) == rows, sent.stdout
    cuts = statistics.quantiles(watch.milliseconds, n=100)
    idle_cuts = statistics.quantiles(idle.milliseconds, n=100)
    return {
        "megabytes": table.stat().st_size / MIB,
        "rows": rows,
        "seconds": seconds,
        "api_before_mb": before / MIB,
        "api_growth_mb": (watch.highest - before) / MIB,
        "child_highest_mb": watch.child_highest / MIB,
        "other_requests": len(watch.milliseconds),
        "median_ms": cuts[49],
        "p95_ms": cuts[94],
        "p95_before_ms": idle_cuts[94],
        "p99_ms": cuts[98],
        "longest_ms": max(watch.milliseconds),
        "load_average": os.getloadavg()[0],
    }


def send(table: str, address: str) -> None:
    """Upload a file and print how many rows it has."""
    with Path(table).open("rb") as file:
        files = {"file": ("table.csv", file)}
        answer = httpx.post(f"{address}/v1/datasets", files=files, timeout=PATIENCE)
    print(answer.raise_for_status().json()["rows"])


def main() -> int:
    """Measure, print, judge."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    asked.add_argument("--megabytes", type=int, default=2048)
    asked.add_argument("--send", nargs=2, help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.send:
        send(*given.send)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = measured(given.megabytes, Path(folder))
    print(
        json.dumps({name: round(value, 1) for name, value in found.items()}, indent=2)
    )
    too_large = found["api_growth_mb"] >= MOST_GROWTH_MB
    return int(too_large or found["p95_ms"] >= MOST_MILLISECONDS)


if __name__ == "__main__":
    sys.exit(main())
