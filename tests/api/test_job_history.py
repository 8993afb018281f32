"""What a job leaves behind: metrics, layers, checkpoints, logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog import checkpoints, folders, metrics
from catalog.jobs import Claim
from catalog.session import transaction
from tests.api.lab import Lab, problem


def measured(
    claim: Claim, *steps: int, names: tuple[str, ...] = ("train_loss",)
) -> None:
    rows = [
        {"step": step, "epoch": step, "name": name, "value": 1 / step}
        for step in steps
        for name in names
    ]
    with transaction() as session:
        metrics.add(session, claim, rows)


def test_metrics_come_in_the_order_of_steps(lab: Lab) -> None:
    job = lab.submit()
    measured(lab.claim(), 2, 1, 3)

    found = lab.get(f"/v1/jobs/{job['id']}/metrics")

    assert [row["step"] for row in found["data"]] == [1, 2, 3]
    assert found["data"][1].items() >= {"epoch": 2, "value": 0.5}.items()
    assert found["data"][0]["at"].endswith("Z")
    assert found["has_more"] is False


def test_metrics_can_be_chosen_by_several_names(lab: Lab) -> None:
    job = lab.submit()
    measured(lab.claim(), 1, names=("train_loss", "validation_loss", "learning_rate"))

    path = f"/v1/jobs/{job['id']}/metrics?name=train_loss&name=learning_rate"
    found = lab.client.get(path).json()

    assert {row["name"] for row in found["data"]} == {"train_loss", "learning_rate"}


def test_metrics_are_not_thinned_unless_asked(lab: Lab) -> None:
    job = lab.submit()
    measured(lab.claim(), *range(1, 2001))
    path = f"/v1/jobs/{job['id']}/metrics"

    assert len(lab.get(path)["data"]) == 2000
    assert len(lab.get(path, limit=100)["data"]) == 100
    assert lab.get(path, limit=100)["has_more"] is True
    thinned = [row["step"] for row in lab.get(path, downsample=10)["data"]]
    assert len(thinned) <= 10
    assert (thinned[0], thinned[-1]) == (1, 2000)


@pytest.mark.parametrize("limit", [0, 100_001, -1])
def test_metrics_have_a_limit(lab: Lab, limit: int) -> None:
    job = lab.submit()

    answer = lab.client.get(f"/v1/jobs/{job['id']}/metrics?limit={limit}")

    problem(answer, 422, "invalid_parameter")


@pytest.mark.parametrize(
    ("query", "accept"),
    [("?format=csv", "*/*"), ("", "text/csv"), ("", "text/csv, */*")],
)
def test_metrics_come_as_csv(lab: Lab, query: str, accept: str) -> None:
    job = lab.submit()
    measured(lab.claim(), 4)

    answer = lab.client.get(
        f"/v1/jobs/{job['id']}/metrics{query}", headers={"Accept": accept}
    )

    lines = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/csv")
    assert lines[0] == "step,epoch,name,value,at"
    assert lines[1].startswith("4,4,train_loss,0.25,")


def test_the_layer_table_is_shown(lab: Lab) -> None:
    job = lab.submit()

    found = lab.get(f"/v1/jobs/{job['id']}/layers")

    assert [layer["name"] for layer in found["data"]] == ["hidden1", "output"]


def test_checkpoints_are_shown_newest_first(lab: Lab) -> None:
    job = lab.submit()
    claim = lab.claim()
    for step in (10, 20):
        folder = f"{folders.checkpoints(claim.job_id, 1)}/step-{step}"
        with transaction() as session:
            checkpoints.add(
                session,
                claim,
                {
                    "folder": folder,
                    "step": step,
                    "epoch": 1,
                    "manifest_sha256": "1" * 64,
                    "bytes": 5,
                },
            )

    found = lab.get(f"/v1/jobs/{job['id']}/checkpoints")

    assert [row["step"] for row in found["data"]] == [20, 10]


def test_a_log_is_text_and_can_be_cut_to_its_end(lab: Lab, ledger: Path) -> None:
    job = lab.submit()
    lab.claim()
    log = ledger / folders.log(job["id"], 1)
    log.parent.mkdir(parents=True)
    log.write_bytes(b"one\ntwo\nthr\xffee\n")
    path = f"/v1/jobs/{job['id']}/logs"

    whole = lab.client.get(path)

    assert whole.headers["content-type"].startswith("text/plain")
    assert whole.text == "one\ntwo\nthr\ufffdee\n"
    assert lab.client.get(f"{path}?tail=1").text == "thr\ufffdee\n"
    assert lab.client.get(f"{path}?attempt=1").text == whole.text
    problem(lab.client.get(f"{path}?attempt=2"), 404, "not_found")


def test_a_job_that_never_ran_has_an_empty_log(lab: Lab) -> None:
    job = lab.submit()

    assert lab.client.get(f"/v1/jobs/{job['id']}/logs").text == ""


@pytest.mark.parametrize(
    "history", ["metrics", "layers", "checkpoints", "logs", "events"]
)
def test_a_job_that_is_not_there_has_no_history(lab: Lab, history: str) -> None:
    problem(lab.client.get(f"/v1/jobs/job_nothing/{history}"), 404, "not_found")
