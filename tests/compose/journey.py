"""What a team does with a running Compose stack, and what it must survive.

    python journey.py URL KEY       with the Compose command, a word a line, in
                                    FROSTLINE_COMPOSE

Started by run.sh. Every step says what it does; the first that is not so ends it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx

from frostline import Client
from frostline.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frostline.answers import Job

COMPOSE = os.environ["FROSTLINE_COMPOSE"].splitlines()
STARTED = time.monotonic()


def say(text: str) -> None:
    """Print a step with the time."""
    sys.stdout.write(f"[{time.monotonic() - STARTED:4.0f} s]   {text}\n")
    sys.stdout.flush()


def compose(*arguments: str) -> str:
    """Run a Compose command and return what it prints."""
    done = subprocess.run(
        [*COMPOSE, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout.strip()


def inside(service: str, program: str) -> str:
    """Run a Python program in a service's container and return what it prints."""
    return compose("exec", "-T", service, "python", "-c", program)


def spec(name: str, dataset: str, **training: Any) -> dict[str, Any]:
    """Return the spec of a small network."""
    return {
        "name": name,
        "dataset": {"id": dataset, "target": "label"},
        "network": {
            "layers": [
                {"name": "hidden1", "kind": "dense", "units": 64},
                {"name": "hidden2", "kind": "dense", "units": 32},
            ]
        },
        "training": {"batch_size": 50, "seed": 7, **training},
    }


def wait_for(client: Client, job: str, status: str, seconds: float = 120) -> Job:
    """Return a job once it has a status, or fail when it ends with another."""
    deadline = time.monotonic() + seconds
    while (found := client.jobs.get(job)).status != status:
        assert not found.ended, f"{job} is {found.status}: {found.error}"
        assert time.monotonic() < deadline, f"{job} is still {found.status}"
        time.sleep(0.1)
    return found


def endings(client: Client, job: str) -> list[str]:
    """Return the terminal statuses in a job's history: one, if all is well."""
    events = [event for event in client.jobs.follow(job) if event.type == "status"]
    found = [str(event.data["status"]) for event in events]
    return [status for status in found if status in {"succeeded", "failed"}]


def predict(client: Client, model: str, rows: list[Any]) -> Mapping[str, Any]:
    """Return predictions; a model that just ended is exported within seconds."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return client.models.predict(model, rows)
        except Unavailable:
            assert time.monotonic() < deadline, f"{model} predicts nothing"
        time.sleep(0.5)


def check_containers() -> None:
    """See that the code runs as nobody special, and the API without PyTorch."""
    say("no container of ours runs as root, and the API has no PyTorch")
    for service in ("api", "worker"):
        assert inside(service, "import os; print(os.getuid())") == "10001"
    has_torch = "import importlib.util as u; print(u.find_spec('torch') is not None)"
    assert inside("api", has_torch) == "False"
    assert inside("worker", has_torch) == "True"


def check_key(url: str) -> None:
    """See that a call without the key is refused, with a problem document."""
    say("a call without the key is refused")
    answer = httpx.get(f"{url}/v1/jobs", trust_env=False)
    assert answer.status_code == 401, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")


def check_training(client: Client) -> str:
    """Train, read the metrics, predict; return the data set's id."""
    say("a data set is added and a network trained on it")
    dataset = client.datasets.add_from("sklearn:digits", name="digits")
    job = client.jobs.submit(spec("first", dataset.id, epochs=5))
    done = client.jobs.wait(job.id, seconds=240)
    assert done.model is not None
    assert endings(client, job.id) == ["succeeded"]
    model = client.models.get("first@latest")
    accuracy = dict(model.metrics)["test_accuracy"]
    assert accuracy is not None
    say(f"test accuracy {accuracy:.3f}")
    assert accuracy > 0.7

    say("the model predicts in the API")
    rows = client.datasets.preview(dataset.id)["rows"][:3]
    assert len(predict(client, "first", rows)["predictions"]) == 3
    return dataset.id


def check_kill(client: Client, dataset: str) -> None:
    """Kill the worker in the middle of a job; see another attempt finish it."""
    say("the worker is killed while it trains, and the job goes on")
    job = client.jobs.submit(spec("survivor", dataset, epochs=300, early_stopping=None))
    wait_for(client, job.id, "running")
    client.jobs.checkpoint(job.id)
    time.sleep(2)
    compose("kill", "--signal", "SIGKILL", "worker")
    compose("start", "worker")
    done = client.jobs.wait(job.id, seconds=300)
    attempts = list(done.attempts or ())
    say(f"it took {len(attempts)} attempts")
    assert len(attempts) >= 2
    assert endings(client, job.id) == ["succeeded"]


def check_restarts(client: Client, dataset: str) -> None:
    """Restart Redis and the API under accepted jobs; see none of them lost."""
    say("Redis and the API are restarted under four queued jobs")
    jobs = [
        client.jobs.submit(spec(f"queued-{number}", dataset, epochs=3)).id
        for number in range(4)
    ]
    compose("kill", "--signal", "SIGKILL", "redis", "api")
    compose("up", "--detach", "--wait", "redis", "api")
    for job in jobs:
        client.jobs.wait(job, seconds=240)
        assert endings(client, job) == ["succeeded"]


def check_stop(client: Client, dataset: str) -> None:
    """Stop the worker gently in the middle of a job; see it given back at once."""
    say("a stopped worker gives its job back")
    job = client.jobs.submit(spec("patient", dataset, epochs=300, early_stopping=None))
    wait_for(client, job.id, "running")
    compose("stop", "worker")
    assert client.jobs.get(job.id).status == "queued"
    compose("start", "worker")
    wait_for(client, job.id, "running")
    client.jobs.cancel(job.id)
    wait_for(client, job.id, "cancelled")


def main(url: str, key: str) -> None:
    """Go the whole way."""
    check_containers()
    check_key(url)
    with Client(url, api_key=key) as client:
        dataset = check_training(client)
        check_kill(client, dataset)
        check_restarts(client, dataset)
        check_stop(client, dataset)


if __name__ == "__main__":
    main(*sys.argv[1:])
