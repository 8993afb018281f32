"""Whether the service lives and can work, who works, what waits."""

from __future__ import annotations

import httpx
import pytest
from redis import Redis

from catalog import workers
from catalog.session import transaction
from tests.api.lab import Lab, faults, problem, serving, until
from worker import queue
from worker.settings import settings as worker_settings


def work(name: str = "lab-1", device: str = "cpu") -> None:
    """Enter a worker."""
    with transaction() as session:
        workers.register(session, workers.Identity(name, "lab", 1, 1.0, "boot", device))


def test_a_process_that_lives_says_so(lab: Lab) -> None:
    assert lab.get("/healthz") == {"status": "ok"}


def test_a_service_without_a_worker_is_not_ready(lab: Lab) -> None:
    document = problem(lab.client.get("/readyz"), 503, "not_ready")

    assert faults(document) == [("/checks/worker", "missing")]


def test_a_service_with_everything_is_ready(lab: Lab) -> None:
    work()

    assert lab.get("/readyz")["status"] == "ready"


def test_a_service_without_redis_is_not_ready_but_accepts_jobs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    work()
    monkeypatch.setenv("FROSTLINE_REDIS_URL", "redis://127.0.0.1:1/0")
    worker_settings.cache_clear()
    queue._sender.forget()
    try:
        with serving() as url:
            answer = httpx.get(f"{url}/readyz", timeout=30)
            accepted = httpx.post(f"{url}/v1/jobs", json=lab.spec())
    finally:
        monkeypatch.undo()
        worker_settings.cache_clear()
        queue._sender.forget()

    assert faults(problem(answer, 503, "not_ready")) == [("/checks/redis", "missing")]
    assert accepted.status_code == 202
    assert accepted.elapsed.total_seconds() < 1


def test_workers_are_listed_with_what_they_run(lab: Lab) -> None:
    work("lab-1")
    work("lab-2", "cuda:0")
    with transaction() as session:
        workers.beat(session, "lab-1", job_id="job_1")

    found = lab.get("/v1/workers")["data"]

    assert [(w["name"], w["device"], w["status"]) for w in found] == [
        ("lab-1", "cpu", "busy"),
        ("lab-2", "cuda:0", "idle"),
    ]


def test_the_queue_is_counted(lab: Lab) -> None:
    lab.submit()
    lab.submit()
    lab.claim()

    found = lab.get("/v1/queues")["data"]

    assert [(q["device"], q["queued"], q["waiting"]) for q in found] == [("any", 1, 0)]


def test_prometheus_is_told_of_jobs_and_requests(lab: Lab) -> None:
    lab.submit()
    lab.get("/v1/jobs")

    text = lab.client.get("/metrics").text

    assert 'frostline_jobs{status="queued"} 1.0' in text
    assert "frostline_queue_length 1.0" in text
    assert "frostline_zombie_writes_rejected_total 0.0" in text
    assert 'frostline_http_request_seconds_count{method="POST",route=' in text


def test_a_hint_is_sent_for_an_accepted_job(lab: Lab, redis_url: str) -> None:
    lab.submit()

    broker = Redis.from_url(redis_url)
    until(lambda: bool(broker.llen("frostline:look.cpu")))
    broker.close()


def test_the_limits_are_listed(lab: Lab) -> None:
    limits = lab.get("/v1/limits")

    assert (
        limits.items()
        >= {
            "layers": 1_000,
            "epochs": 1_000_000,
            "parameters": 1_000_000_000,
            "spec_bytes": 4 * 1024 * 1024,
            "page": 1_000,
            "metrics": 100_000,
        }.items()
    )


def test_every_technique_is_described(lab: Lab) -> None:
    families = {
        family["family"]: {kind["kind"]: kind for kind in family["kinds"]}
        for family in lab.get("/v1/techniques")["data"]
    }

    nesterov = families["optimizers"]["nesterov"]
    momentum = next(f for f in nesterov["fields"] if f["name"] == "momentum")
    assert momentum["default"] == 0.9
    limits = momentum["exclusive_minimum"], momentum["exclusive_maximum"]
    assert limits == (0, 1)
    assert momentum["description"]
    assert "(1983)" in nesterov["source"]
    assert families["layers"].keys() >= {"dense", "conv2d", "residual"}
    assert nesterov["json_schema"]["properties"]["momentum"]["default"] == 0.9


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_the_manual_needs_no_other_server(lab: Lab, path: str) -> None:
    answer = lab.client.get(path)

    assert answer.status_code == 200
    assert "cdn" not in answer.text


def test_the_dashboard_is_at_the_root(lab: Lab) -> None:
    answer = lab.client.get("/")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["x-content-type-options"] == "nosniff"
