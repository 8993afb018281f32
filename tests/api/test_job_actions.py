"""Stopping, setting aside, going on, doing again."""

from __future__ import annotations

from typing import Any

import pytest

from catalog import jobs, wishes
from catalog.session import reading, transaction
from tests.api.lab import Lab, faults, problem


def test_a_queued_job_is_cancelled_at_once(lab: Lab) -> None:
    job = lab.submit()

    answer = lab.client.post(f"/v1/jobs/{job['id']}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")


def test_a_running_job_is_asked_to_stop(lab: Lab) -> None:
    job = lab.submit()
    claim = lab.claim()

    answer = lab.client.post(f"/v1/jobs/{job['id']}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (202, "cancelling")
    with transaction() as session:
        assert jobs.beat(session, claim) == "cancel"


def test_a_job_can_be_paused_and_resumed(lab: Lab) -> None:
    job = lab.submit()

    paused = lab.client.post(f"/v1/jobs/{job['id']}/pause")
    resumed = lab.client.post(f"/v1/jobs/{job['id']}/resume")

    assert (paused.status_code, paused.json()["status"]) == (202, "paused")
    assert (resumed.status_code, resumed.json()["status"]) == (202, "queued")


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "checkpoint"])
def test_an_ended_job_does_not_change(lab: Lab, verb: str) -> None:
    job = lab.submit()
    lab.succeed(lab.claim())

    answer = lab.client.post(f"/v1/jobs/{job['id']}/{verb}")

    document = problem(answer, 409, "conflict")
    assert "succeeded" in document["detail"]
    assert faults(document) == [("/status", "succeeded")]


@pytest.mark.parametrize(
    "verb", ["cancel", "pause", "resume", "checkpoint", "retry", "clone"]
)
def test_nothing_can_be_done_with_a_job_that_is_not_there(lab: Lab, verb: str) -> None:
    problem(lab.client.post(f"/v1/jobs/job_nothing/{verb}"), 404, "not_found")


def test_a_retry_is_a_new_job(lab: Lab) -> None:
    job = lab.submit()
    lab.client.post(f"/v1/jobs/{job['id']}/cancel")

    answer = lab.client.post(f"/v1/jobs/{job['id']}/retry")

    again = answer.json()
    assert answer.status_code == 202
    assert (again["parent"], again["status"]) == (job["id"], "queued")
    assert again["spec"] == job["spec"]
    assert answer.headers["location"] == f"/v1/jobs/{again['id']}"
    assert lab.get(f"/v1/jobs/{job['id']}")["status"] == "cancelled"


def test_a_job_that_still_lives_is_not_retried(lab: Lab) -> None:
    job = lab.submit()

    document = problem(lab.client.post(f"/v1/jobs/{job['id']}/retry"), 409, "conflict")

    assert "queued" in document["detail"]


def test_a_retry_with_a_key_makes_one_job(lab: Lab) -> None:
    job = lab.submit()
    lab.client.post(f"/v1/jobs/{job['id']}/cancel")
    path, headers = f"/v1/jobs/{job['id']}/retry", {"Idempotency-Key": "again"}

    first = lab.client.post(path, headers=headers).json()
    second = lab.client.post(path, headers=headers).json()

    assert first["id"] == second["id"]


def test_a_clone_changes_what_the_patch_says(lab: Lab) -> None:
    job = lab.submit(tags=["a"], training={"epochs": 5, "batch_size": 10})
    patch: dict[str, Any] = {"tags": None, "training": {"epochs": 7}}

    answer = lab.client.post(f"/v1/jobs/{job['id']}/clone", json=patch)

    clone = answer.json()
    assert answer.status_code == 202
    assert clone["parent"] == job["id"]
    assert clone["spec"]["training"] == {"epochs": 7, "batch_size": 10}
    assert "tags" not in clone["spec"]


def test_a_clone_without_a_body_is_the_same_again(lab: Lab) -> None:
    job = lab.submit()

    clone = lab.client.post(f"/v1/jobs/{job['id']}/clone").json()

    assert clone["spec"] == job["spec"]


def test_a_clone_can_be_tried_dry(lab: Lab) -> None:
    job = lab.submit()
    path = f"/v1/jobs/{job['id']}/clone?dry_run=true"

    told = lab.client.post(path, json={"training": {"epochs": 3}})

    assert told.status_code == 200
    assert told.json()["time"]["epochs"] == 3
    assert len(lab.get("/v1/jobs")["data"]) == 1


@pytest.mark.parametrize("patch", [[], "text", 3, None])
def test_a_patch_is_an_object(lab: Lab, patch: object) -> None:
    job = lab.submit()

    answer = lab.client.post(
        f"/v1/jobs/{job['id']}/clone",
        json=patch,
        headers={"Content-Type": "application/merge-patch+json"},
        content=None if patch is not None else b"null",
    )

    problem(answer, 422, "invalid_input")


def test_a_clone_that_would_not_run_is_refused(lab: Lab) -> None:
    job = lab.submit()

    answer = lab.client.post(f"/v1/jobs/{job['id']}/clone", json={"network": None})

    assert ("/network", "missing") in faults(problem(answer, 422, "invalid_spec"))


def test_a_running_job_hears_of_the_wish_for_a_checkpoint(lab: Lab) -> None:
    job = lab.submit()
    claim = lab.claim()

    answer = lab.client.post(f"/v1/jobs/{job['id']}/checkpoint")

    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    with reading() as session:
        wish = wishes.newest(session, claim)
        assert wish is not None
        assert wishes.newest(session, claim, wish) is None


def test_a_queued_job_has_no_checkpoint_to_write(lab: Lab) -> None:
    job = lab.submit()

    answer = lab.client.post(f"/v1/jobs/{job['id']}/checkpoint")

    problem(answer, 409, "conflict")
