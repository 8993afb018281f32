"""POST /v1/advice: what it answers is accepted as a job, what it refuses says where."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.lab import Lab, faults, problem

SMALL_AND_FAST = {
    "dataset": "digits",
    "wishes": ["small_training_set", "very_fast_model"],
}


def advice(lab: Lab, **asked: Any) -> dict[str, Any]:
    """Return an advice that must be given."""
    answer = lab.client.post("/v1/advice", json=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_an_advised_spec_is_accepted_as_it_is(lab: Lab) -> None:
    found = advice(lab, **SMALL_AND_FAST)

    job = lab.client.post("/v1/jobs", json=found["spec"])

    assert job.status_code == 202, job.text
    assert job.json()["spec"] == found["spec"]


def test_every_choice_has_its_value_its_reason_and_its_source(lab: Lab) -> None:
    found = advice(lab, **SMALL_AND_FAST)

    assert found["object"] == "advice"
    chosen = {choice["pointer"]: choice for choice in found["choices"]}
    assert chosen["/network/defaults/activation"]["value"] == "leaky_relu"
    assert "very fast model" in chosen["/network/defaults/activation"]["reason"]
    assert all(c["reason"] and c["source"] and c["rule"] for c in found["choices"])


def test_an_alternative_is_a_patch_that_clone_takes(lab: Lab) -> None:
    found = advice(lab, **SMALL_AND_FAST)
    job = lab.client.post("/v1/jobs", json=found["spec"]).json()
    patches = [one["patch"] for one in found["alternatives"] if one["patch"]]

    answers = [
        lab.client.post(f"/v1/jobs/{job['id']}/clone", json=patch) for patch in patches
    ]

    assert len(patches) >= 3
    assert [answer.status_code for answer in answers] == [202] * len(patches)


def test_the_estimate_counts_the_epochs_that_fit_into_the_time(lab: Lab) -> None:
    found = advice(lab, dataset="digits", time_budget_seconds=0.5)

    estimate = found["estimate"]
    assert estimate["epochs"] == found["spec"]["training"]["epochs"] < 100
    assert estimate["seconds"] <= 0.5


def test_a_model_with_the_same_input_is_named(lab: Lab) -> None:
    model = lab.model()

    found = advice(lab, dataset="digits")

    (hint,) = [one for one in found["alternatives"] if one["rule"] == "reuse"]
    assert hint["model"] == model
    assert "digits@1" in hint["reason"]
    assert hint["patch"] is None


def test_name_and_target_are_those_that_were_asked_for(lab: Lab) -> None:
    spec = advice(lab, dataset="digits@1", name="mine", target="label")["spec"]

    assert spec["name"] == "mine"
    assert spec["dataset"]["id"] == "digits@1"
    assert spec["dataset"]["target"] == "label"


def test_a_request_may_be_yaml(lab: Lab) -> None:
    answer = lab.client.post(
        "/v1/advice",
        content="dataset: digits\nwishes: [sparse_model]\n",
        headers={"Content-Type": "application/yaml"},
    )

    assert answer.status_code == 200
    assert answer.json()["spec"]["training"]["regularization"]["l1"] > 0


def test_an_unknown_data_set_is_refused_and_a_near_one_is_named(lab: Lab) -> None:
    answer = lab.client.post("/v1/advice", json={"dataset": "digitz"})

    found = problem(answer, 422, "invalid_spec")
    assert faults(found) == [("/dataset", "unknown_dataset")]
    assert "did you mean 'digits'" in found["detail"]


@pytest.mark.parametrize(
    ("asked", "pointer", "code"),
    [
        ({"dataset": "digits", "wishes": ["fast_model"]}, "/wishes/0", "unknown_name"),
        ({"dataset": "digits", "wish": []}, "/wish", "unknown_field"),
        ({"dataset": "digits", "target": "lable"}, "/target", "unknown_column"),
        ({"wishes": []}, "/dataset", "missing"),
        (
            {"dataset": "digits", "time_budget_seconds": 0},
            "/time_budget_seconds",
            "greater_than",
        ),
    ],
)
def test_what_cannot_be_advised_is_refused_with_its_place(
    lab: Lab, asked: dict[str, Any], pointer: str, code: str
) -> None:
    answer = lab.client.post("/v1/advice", json=asked)

    about = "invalid_spec" if pointer == "/target" else "invalid_input"
    assert faults(problem(answer, 422, about)) == [(pointer, code)]
