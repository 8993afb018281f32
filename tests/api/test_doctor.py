"""What the training doctor found, over HTTP: findings, health of layers, patches."""

from __future__ import annotations

from typing import Any

import pytest

from catalog import checkpoints, events, folders, jobs, samples
from catalog.claims import Claim
from catalog.session import transaction
from tests.api.lab import Lab, problem

FINDING: dict[str, Any] = {
    "code": "dying_relu",
    "layer": "hidden1",
    "severity": "warning",
    "detail": "64% of the units of 'hidden1' are dead",
    "evidence": {"dead": {"hidden1": 0.64}},
    "patch": {"network": {"defaults": {"activation": "elu"}}},
    "cause": None,
    "step": 16,
    "epoch": 1,
}


def told(claim: Claim, **changes: Any) -> None:
    with transaction() as session:
        found = {**FINDING, **changes}
        events.add(session, claim.job_id, "diagnostic", found, claim.attempt)


def sampled(claim: Claim, step: int, dead: float | None = 0.25) -> None:
    figures = {"layer": "hidden1", "dead": dead, "gradient_norm": 1.5, "odd": 1.0}
    sample = {"step": step, "epoch": 1, "layers": [figures]}
    with transaction() as session:
        samples.add(session, claim, sample)


def test_a_job_tells_what_was_found_each_fault_once_at_its_worst(lab: Lab) -> None:
    job = lab.submit()
    assert lab.get(f"/v1/jobs/{job['id']}")["diagnostics"] == []
    claim = lab.claim()
    told(claim)
    told(claim, code="overfitting", layer=None, severity="info", step=90)
    told(claim, severity="critical", step=64)

    found = lab.get(f"/v1/jobs/{job['id']}")["diagnostics"]

    assert [(one["code"], one["severity"]) for one in found] == [
        ("dying_relu", "critical"),
        ("overfitting", "info"),
    ]
    assert found[0].items() >= (FINDING | {"severity": "critical", "step": 64}).items()


def test_findings_are_events_of_their_own_type_in_list_and_stream(lab: Lab) -> None:
    job = lab.submit()
    claim = lab.claim()
    told(claim)
    lab.succeed(claim)

    listed = lab.get(f"/v1/jobs/{job['id']}/events")["data"]
    stream = lab.client.get(
        f"/v1/jobs/{job['id']}/events", headers={"Accept": "text/event-stream"}
    ).text

    found = [event for event in listed if event["type"] == "diagnostic"]
    assert [event["data"] for event in found] == [FINDING]
    assert "event: diagnostic" in stream


def test_clone_accepts_the_patch_of_a_finding(lab: Lab) -> None:
    job = lab.submit()
    told(lab.claim())
    [finding] = lab.get(f"/v1/jobs/{job['id']}")["diagnostics"]

    answer = lab.client.post(f"/v1/jobs/{job['id']}/clone", json=finding["patch"])

    assert answer.status_code == 202, answer.text
    assert answer.json()["spec"]["network"]["defaults"]["activation"] == "elu"


def test_layers_show_the_newest_figures_and_on_request_those_before(lab: Lab) -> None:
    job = lab.submit()
    claim = lab.claim()
    path = f"/v1/jobs/{job['id']}/layers"
    assert [row["health"] for row in lab.get(path)["data"]] == [None, None]
    sampled(claim, 1)
    sampled(claim, 2, dead=None)
    sampled(claim, 4, dead=0.5)

    hidden, output = lab.get(path)["data"]
    both, _ = lab.get(path, history=2)["data"]

    assert hidden["parameters"] > 0
    assert hidden["health"].items() >= {"step": 4, "dead": 0.5}.items()
    assert "odd" not in hidden["health"]
    assert hidden["history"] is None
    assert output["health"] is None
    assert [one["step"] for one in both["history"]] == [2, 4]
    problem(lab.client.get(path, params={"history": 1001}), 422, "invalid_parameter")


def test_figures_are_no_metrics(lab: Lab) -> None:
    job = lab.submit()
    sampled(lab.claim(), 1)

    assert lab.get(f"/v1/jobs/{job['id']}/metrics")["data"] == []


def test_what_a_resume_will_measure_again_is_forgotten(lab: Lab) -> None:
    job = lab.submit()
    first = lab.claim()
    saved = {
        "folder": f"{folders.checkpoints(first.job_id, 1)}/step-2",
        "step": 2,
        "epoch": 1,
        "manifest_sha256": "1" * 64,
        "bytes": 5,
    }
    for step in (1, 2, 4):
        sampled(first, step)
    with transaction() as session:
        checkpoints.add(session, first, saved)
        jobs.give_back(session, first, jobs.Cause.DRAIN)
    second = lab.claim()
    sampled(second, 4, dead=0.75)
    sampled(second, 4, dead=0.99)

    hidden, _ = lab.get(f"/v1/jobs/{job['id']}/layers", history=10)["data"]

    assert [one["step"] for one in hidden["history"]] == [1, 2, 4]
    assert hidden["health"]["dead"] == 0.75


def test_the_trainer_is_told_the_spec_as_it_was_submitted(lab: Lab) -> None:
    lab.submit()

    claim = lab.claim()

    assert claim.written == lab.spec()
    assert claim.spec != claim.written


@pytest.mark.parametrize("word", ["off", "none", False, None])
def test_the_doctor_can_be_switched_off_by_several_words(lab: Lab, word: Any) -> None:
    spec = lab.spec(training={"doctor": word})

    found = lab.client.post("/v1/jobs?dry_run=true", json=spec).json()

    assert found["resolved_spec"]["training"]["doctor"] == "none"
