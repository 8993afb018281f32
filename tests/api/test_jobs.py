"""Submitting, trying dry and finding jobs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert
from sqlalchemy.orm import Session

from catalog import jobs, metrics
from catalog.session import engine, reading, transaction
from catalog.tables import Idempotency, Job
from tests.api.lab import Lab, faults, problem


def test_a_submitted_job_is_answered_whole(lab: Lab) -> None:
    written = lab.spec(tags=["first"], training={"optimizer": "adam"})

    answer = lab.client.post("/v1/jobs", json=written)

    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["id"].startswith("job_")
    assert (job["status"], job["attempt"], job["attempts"]) == ("queued", 0, [])
    assert job["spec"] == written
    assert job["resolved_spec"]["training"]["optimizer"]["kind"] == "adam"
    assert job["resolved_spec"]["dataset"]["id"] == lab.digits == job["dataset"]
    assert job["progress"]["phase"] == "waiting"
    assert job["progress"]["queue_position"] == 1
    assert job["tags"] == ["first"]
    assert lab.get(answer.headers["location"]) == job


def test_the_spec_is_kept_exactly_as_it_was_written(lab: Lab) -> None:
    text = (
        b'{"network":{"layers":[{"units":2e1,"kind":"dense"}]},'
        b'"name":"digits","dataset":{"id":"digits"}}'
    )
    headers = {"Content-Type": "application/json"}

    job = lab.client.post("/v1/jobs", content=text, headers=headers).json()

    assert list(job["spec"]) == ["network", "name", "dataset"]
    assert list(job["spec"]["network"]["layers"][0]) == ["units", "kind"]


def test_yaml_says_the_same_as_json(lab: Lab) -> None:
    text = """
        name: digits
        dataset: {id: digits}
        network:
          defaults: {normalization: none}
          layers: [{name: hidden1, kind: dense, units: 20}]
        training: {optimizer: {kind: sgd, learning_rate: 1e-3}}
    """
    headers = {"Content-Type": "application/yaml"}

    answer = lab.client.post("/v1/jobs", content=text, headers=headers)

    job = answer.json()
    assert answer.status_code == 202, job
    assert job["spec"]["training"]["optimizer"]["learning_rate"] == 0.001
    assert job["spec"]["network"] == lab.spec()["network"]


def test_the_commit_comes_before_the_answer(lab: Lab) -> None:
    committed = threading.Event()
    event.listen(engine(), "commit", lambda _connection: committed.set())
    committed.clear()

    job = lab.submit()

    assert committed.is_set()
    with reading() as session:
        assert session.get(Job, job["id"]) is not None


def test_a_commit_that_fails_is_not_answered_with_202(lab: Lab) -> None:
    def spoil(session: Session) -> None:
        row = {"key": "k", "request_hash": "", "job_id": "job_nothing"}
        session.execute(insert(Idempotency).values(**row))  # checked at the commit

    event.listen(Session, "before_commit", spoil)
    try:
        answer = lab.client.post("/v1/jobs", json=lab.spec())
    finally:
        event.remove(Session, "before_commit", spoil)

    problem(answer, 500, "internal_error")
    assert lab.get("/v1/jobs")["data"] == []


def test_many_submits_at_once_are_all_accepted(lab: Lab) -> None:
    answers: list[int] = []

    def submit() -> None:
        answer = lab.client.post("/v1/jobs", json=lab.spec())
        answers.append(answer.status_code)

    threads = [threading.Thread(target=submit) for _ in range(45)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [202] * 45
    assert len(lab.get("/v1/jobs", limit=1000)["data"]) == 45


def test_the_same_key_makes_one_job(lab: Lab) -> None:
    headers = {"Idempotency-Key": "monday-1"}

    first = lab.client.post("/v1/jobs", json=lab.spec(), headers=headers)
    second = lab.client.post("/v1/jobs", json=lab.spec(), headers=headers)

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert len(lab.get("/v1/jobs")["data"]) == 1


def test_the_same_key_with_another_body_is_refused(lab: Lab) -> None:
    headers = {"Idempotency-Key": "monday-1"}
    lab.client.post("/v1/jobs", json=lab.spec(), headers=headers)

    answer = lab.client.post("/v1/jobs", json=lab.spec(name="b"), headers=headers)

    problem(answer, 422, "idempotency_key_reused")


def test_a_dry_run_tells_everything_and_stores_nothing(lab: Lab) -> None:
    answer = lab.client.post("/v1/jobs?dry_run=true", json=lab.spec())

    told = answer.json()
    assert answer.status_code == 200
    assert [layer["name"] for layer in told["layers"]] == ["hidden1", "output"]
    assert told["layers"][0]["output_shape"] == [20]
    assert told["parameters"] == sum(layer["parameters"] for layer in told["layers"])
    assert told["memory"]["bytes"] > 0
    assert told["time"]["seconds"] > 0
    assert told["classes"] == list(range(10))
    assert lab.get("/v1/jobs")["data"] == []


def test_a_reuse_is_shown_in_the_dry_run_and_in_the_job(lab: Lab) -> None:
    source = lab.model("source")
    reuse = [{"from": "source@best", "layers": "hidden1", "freeze": 1}]

    told = lab.client.post("/v1/jobs?dry_run=true", json=lab.spec(reuse=reuse)).json()
    job = lab.submit(reuse=reuse)

    hidden = next(line for line in job["reuse"] if line["layer"] == "hidden1")
    assert (hidden["source"], hidden["frozen"]) == (source, True)
    assert told["reuse"] == job["reuse"]
    assert job["resolved_spec"]["reuse"][0]["from"] == source
    assert job["spec"]["reuse"] == reuse


def test_an_unknown_source_is_refused_with_its_place(lab: Lab) -> None:
    lab.model("source")

    answer = lab.client.post("/v1/jobs", json=lab.spec(reuse=[{"from": "sauce"}]))

    document = problem(answer, 422, "invalid_spec")
    assert faults(document) == [("/reuse/0/from", "unknown_model")]
    assert document["errors"][0]["suggestion"] == "source"


def test_an_unknown_data_set_is_refused_with_its_place(lab: Lab) -> None:
    answer = lab.client.post("/v1/jobs", json=lab.spec(dataset={"id": "digit"}))

    document = problem(answer, 422, "invalid_spec")
    assert faults(document) == [("/dataset/id", "unknown_dataset")]
    assert document["errors"][0]["suggestion"] == "digits"


@pytest.mark.parametrize(
    ("changes", "place", "code"),
    [
        (
            {"network": {"layers": [{"kind": "denze", "units": 3}]}},
            "/network/layers/0/kind",
            "unknown_name",
        ),
        ({"nmae": "x"}, "/nmae", "unknown_field"),
        ({"name": "../../etc/passwd"}, "/name", "string_pattern_mismatch"),
        ({"name": "a\nb"}, "/name", "string_pattern_mismatch"),
        (
            {"training": {"epochs": 1_000_001}},
            "/training/epochs",
            "too_large",
        ),
        (
            {"network": {"layers": [{"kind": "dense", "units": 1}] * 1001}},
            "/network/layers",
            "too_large",
        ),
        (
            {"network": {"layers": [{"kind": "dense", "units": 10**9}] * 2}},
            "/network/layers",
            "too_large",
        ),
        (
            {"network": {"layers": [{"kind": "dense", "units": 10**12}]}},
            "/network/layers/0/units",
            "less_than_equal",
        ),
    ],
)
def test_a_wrong_spec_is_refused_with_its_place(
    lab: Lab, changes: dict[str, Any], place: str, code: str
) -> None:
    answer = lab.client.post("/v1/jobs", json=lab.spec(**changes))

    assert (place, code) in faults(problem(answer, 422, "invalid_spec"))
    assert lab.get("/v1/jobs")["data"] == []


def test_an_unknown_layer_kind_is_answered_with_the_nearest(lab: Lab) -> None:
    network = {"layers": [{"kind": "denze", "units": 3}]}

    answer = lab.client.post("/v1/jobs", json=lab.spec(network=network))

    assert answer.json()["errors"][0]["suggestion"] == "dense"


def test_jobs_are_listed_newest_first_and_in_pages(lab: Lab) -> None:
    ids = [lab.submit(name=f"n{number}")["id"] for number in range(5)]

    first = lab.get("/v1/jobs", limit=3)
    second = lab.get("/v1/jobs", limit=3, cursor=first["next_cursor"])

    assert [job["id"] for job in first["data"] + second["data"]] == ids[::-1]
    assert (first["object"], first["has_more"]) == ("list", True)
    assert (second["has_more"], second["next_cursor"]) == (False, None)


def test_a_list_can_be_narrowed(lab: Lab) -> None:
    old = lab.submit(name="old", tags=["a"])
    new = lab.submit(name="new", tags=["b"])
    lab.client.post(f"/v1/jobs/{new['id']}/cancel")

    def found(**query: str) -> list[str]:
        return [job["name"] for job in lab.get("/v1/jobs", **query)["data"]]

    assert found(status="queued") == ["old"]
    assert found(status="cancelled") == ["new"]
    assert found(name="new") == ["new"]
    assert found(tag="a") == ["old"]
    assert found(created_after=old["created_at"]) == ["new"]
    assert found(dataset="digits@1") == ["new", "old"]


def test_a_list_of_jobs_can_be_narrowed_to_a_model(lab: Lab) -> None:
    lab.model("source")
    user = lab.submit(name="user", reuse=[{"from": "source"}])
    lab.submit(name="other")

    found = [job["name"] for job in lab.get("/v1/jobs", model="source")["data"]]

    assert found == [user["name"], "source"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=many",
        "status=asleep",
        "cursor=garbage",
        "cursor=bm9uc2Vuc2U",
        "created_after=yesterday",
        "created_after=2026-01-01T00:00:00",
    ],
)
def test_a_malformed_question_is_refused(lab: Lab, query: str) -> None:
    answer = lab.client.get(f"/v1/jobs?{query}")

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_running_job_shows_how_far_it_is(lab: Lab) -> None:
    job = lab.submit()
    claim = lab.claim()
    told = {"phase": "training", "epoch": 2, "step": 30, "percent": 20.0}
    values = [(10, 0.7), (20, 0.5), (30, 0.6)]
    with transaction() as session:
        jobs.beat(session, claim, told | {"eta_seconds": 9, "steps_per_second": 3.5})
        metrics.add(
            session,
            claim,
            [
                {"step": step, "epoch": 1, "name": "validation_loss", "value": value}
                for step, value in values
            ],
        )

    shown = lab.get(f"/v1/jobs/{job['id']}")

    assert shown["status"] == "running"
    assert shown["progress"].items() >= told.items()
    assert shown["progress"]["eta_seconds"] == 9
    assert shown["progress"]["queue_position"] is None
    best = {"name": "validation_loss", "value": 0.5, "step": 20, "epoch": 1}
    assert shown["progress"]["best"] == best
    assert [attempt["attempt"] for attempt in shown["attempts"]] == [1]


def test_a_succeeded_job_names_its_model(lab: Lab) -> None:
    job = lab.submit()
    model = lab.succeed(lab.claim())

    shown = lab.get(f"/v1/jobs/{job['id']}")

    assert (shown["status"], shown["model"]) == ("succeeded", model)
    assert shown["ended_at"] is not None


def test_a_job_that_is_not_there_is_a_404(lab: Lab, ledger: Path) -> None:
    problem(lab.client.get("/v1/jobs/job_nothing"), 404, "not_found")
