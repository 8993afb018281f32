"""`frostline up`: every process replaced when it dies, none left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.stack import Stack

TERM_SECONDS = 20
SECONDS = 60.0
BROKER = "-server 127.0.0.1:"
API = "api.app:app"
WORKER = "worker.tasks"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack whose processes may be killed, as long as it heals."""
    stack = Stack(tmp_path_factory.mktemp("up") / "data", workers=2)
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Stack]:
    """Return a stack of the test's own, which the test ends."""
    stack = Stack(tmp_path / "data")
    stack.start()
    yield stack
    if stack._process is not None and stack._process.poll() is None:
        stack.stop()


def eventually(holds: Callable[[], object], seconds: float = SECONDS) -> bool:
    """Return whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.1)
    return False


def pids(stack: Stack, word: str) -> set[int]:
    """Return the processes of a stack that have a word in their command line."""
    assert stack._process is not None
    found = set()
    for process in psutil.Process(stack._process.pid).children():
        try:
            if word in " ".join(process.cmdline()):
                found.add(process.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def below(stack: Stack) -> list[psutil.Process]:
    """Return everything that a stack has started, directly or not."""
    assert stack._process is not None
    return psutil.Process(stack._process.pid).children(recursive=True)


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those of some processes that still run."""
    return [p for p in processes if p.is_running() and p.status() != "zombie"]


def ready(stack: Stack) -> bool:
    """Tell whether a stack says that it can work."""
    answer = httpx.get(f"{stack.url}/readyz", timeout=30, trust_env=False)
    return answer.status_code == httpx.codes.OK


def test_each_process_has_a_log_in_the_data_folder(running: Stack) -> None:
    names = {log.name for log in (running.folder / "logs").iterdir()}
    assert names >= {"api.log", "broker.log", "worker-1.log", "worker-2.log"}


def test_a_stack_that_is_ready_says_where(running: Stack) -> None:
    words = f"Frostline is ready at {running.url}"

    # it asks for itself, a moment after the one who started it
    assert eventually(lambda: words in running.log.read_text())
    about = json.loads((running.folder / "run" / "up.lock").read_text())
    assert about["url"] == running.url
    assert about["ready"]


def test_no_process_but_trainers_loads_torch(running: Stack) -> None:
    with_torch = [
        process.cmdline()
        for process in below(running)
        if "libtorch" in Path(f"/proc/{process.pid}/maps").read_text()
    ]
    assert all("trainer" in command for command in with_torch)
    assert not any(
        "libtorch" in Path(f"/proc/{pid}/maps").read_text()
        for pid in [running._process.pid if running._process else 0]
    )


@pytest.mark.parametrize("word", [API, BROKER, WORKER])
def test_a_process_that_is_killed_is_replaced(running: Stack, word: str) -> None:
    before = pids(running, word)
    assert before

    os.kill(min(before), signal.SIGKILL)

    assert eventually(lambda: len(pids(running, word) - before) == 1)
    assert eventually(lambda: ready(running))
    assert len(pids(running, word)) == len(before)


def test_requests_wait_while_the_api_is_replaced(running: Stack) -> None:
    (api,) = pids(running, API)
    os.kill(api, signal.SIGKILL)

    answer = httpx.get(f"{running.url}/healthz", timeout=30, trust_env=False)

    assert answer.status_code == httpx.codes.OK
    assert api not in pids(running, API)


def test_a_follower_misses_nothing_while_the_api_is_replaced(running: Stack) -> None:
    with running.client() as client:
        dataset = client.datasets.add_from("sklearn:digits").id
        job = client.jobs.submit(
            {
                "name": "followed",
                "dataset": {"id": dataset},
                "network": {"layers": [{"kind": "dense", "units": 100}]},
                "training": {"epochs": 100, "early_stopping": "none"},
            }
        )
        (api,) = pids(running, API)
        stream = client.jobs.follow(job.id)
        seen = [next(stream), next(stream), next(stream)]

        os.kill(api, signal.SIGKILL)

        seen += list(stream)
        assert seen[-1].type == "done"
        told = [event.id for event in seen[:-1]]
        rows = [row for event in seen for row in event.data.get("rows", [])]
        losses = [row["step"] for row in rows if row["name"] == "train_loss"]
        everything = client.jobs.metrics(job.id, name="train_loss")
        assert len(set(told)) == len(told)
        assert losses == [row["step"] for row in everything]
        assert len(losses) == 100


def test_a_second_stack_on_the_same_folder_is_refused(running: Stack) -> None:
    command = [sys.executable, "-m", "frostline", "up", "--port", "0"]
    command += ["--data", str(running.folder)]

    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False
    )

    assert done.returncode == 1
    assert "is in use by another frostline up" in done.stderr
    assert running.url in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_one_sentence(running: Stack, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "frostline", "up", "--port", str(running.port)]
    command += ["--data", str(tmp_path / "other")]

    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False
    )

    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {running.port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_within_seconds(
    own: Stack, number: signal.Signals
) -> None:
    assert own._process is not None
    # broker, API, worker, its pool child: the last may come after the first answer
    assert eventually(lambda: len(below(own)) >= 4)
    everything = below(own)
    started = time.monotonic()

    own._process.send_signal(number)

    assert own._process.wait(TERM_SECONDS) == 0
    assert time.monotonic() - started < TERM_SECONDS
    assert living(everything) == []


def test_a_killed_stack_leaves_nothing_and_starts_again(own: Stack) -> None:
    assert own._process is not None
    everything = below(own)

    own._process.kill()
    own._process.wait()

    assert eventually(lambda: not living(everything), 10)
    own.start()
    assert ready(own)


@pytest.mark.parametrize("name", ["a-file", "a-file/below"])
def test_a_data_folder_that_cannot_be_is_one_sentence(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "a-file").write_text("")
    command = [sys.executable, "-m", "frostline", "up", "--port", "0"]
    command += ["--data", str(tmp_path / name)]

    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False
    )

    assert done.returncode == 1
    assert f"{tmp_path / name} cannot be used: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_migration_that_fails_is_told_with_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "frostline", "up", "--port", "0"]
    command += ["--data", str(tmp_path / "data")]
    broken = os.environ | {"FROSTLINE_DATABASE_URL": "sqlite:////no/such/folder/x.db"}

    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env=broken,
    )

    assert done.returncode == 1
    assert "migrations ended with exit code" in done.stderr
    assert "migrations.log" in done.stderr
