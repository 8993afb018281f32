"""A search is accepted once, checked at every end, and its step may be taken anyhow."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import select

from api.proposals import losing_rung
from api.search_steps import advance, step_all
from api.settings import Settings
from catalog import jobs, metrics, searches
from catalog.jobs import Claim
from catalog.search_rows import Search, SearchTrial
from catalog.searches import Trial
from catalog.session import reading, transaction
from catalog.tables import Job, Reason
from tests.api.lab import Lab, registration
from trainer.spec.searches import SuccessiveHalving

LIMITS = Settings()
RATE = "/training/optimizer/learning_rate"
UNITS = "/network/layers/0/units"
SPACE = {
    RATE: {"kind": "log_uniform", "low": 1e-4, "high": 0.1},
    UNITS: {"kind": "integer", "low": 5, "high": 50},
    "/network/defaults/activation": {"kind": "choice", "values": ["relu", "elu"]},
}
WRONG = [
    ({RATE: {"kind": "uniform", "low": 0, "high": 1}}, RATE),
    ({UNITS: {"kind": "integer", "low": 0, "high": 9}}, UNITS),
    ({UNITS: {"kind": "choice", "values": [5, "many"]}}, UNITS),
    ({"/network/layers/3/units": {"kind": "choice", "values": [5]}}, None),
    ({"/training/optimiser/learning_rate": {"kind": "choice", "values": [1]}}, None),
    ({"/training/batchsize": {"kind": "choice", "values": [10, 20]}}, None),
]


def request(lab: Lab, **changes: Any) -> dict[str, Any]:
    asked = {"name": "tune", "spec": lab.spec(), "space": SPACE, "trials": 4}
    return {**asked, **changes}


def begun(lab: Lab, **changes: Any) -> str:
    """Have a search accepted, without the service's own thread at it."""
    asked = request(lab, **changes)
    with transaction() as session:
        order = searches.SearchOrder(
            name="tune",
            kind="hyperparameters",
            request=asked,
            dataset_id=lab.digits,
            monitor="validation_loss",
        )
        return searches.add(session, order).id


def trials_of(search_id: str) -> list[Trial]:
    with reading() as session:
        return searches.trials(session, searches.get(session, search_id))


def search_of(search_id: str) -> Search:
    with reading() as session:
        return searches.get(session, search_id)


def take() -> Claim | None:
    with transaction() as session:
        return jobs.claim(session, "w1")


def work(accuracy: float = 0.5) -> Claim:
    """Play the worker for one job."""
    claim = take()
    assert claim is not None
    with transaction() as session:
        jobs.succeed(session, claim, registration(claim, accuracy, None))
    return claim


def work_all(search_id: str, loss: Any = lambda _: 0.5) -> list[dict[str, Any]]:
    """Carry a search to its end; return the draws of its trials."""
    while search_of(search_id).finished_at is None:
        step_all(LIMITS)
        while (claim := take()) is not None:
            with transaction() as session:
                row = session.scalars(
                    select(SearchTrial).where(SearchTrial.job_id == claim.job_id)
                ).one()
                made = registration(claim, 1 - loss(row.parameters), None)
                jobs.succeed(session, claim, made)
    return [trial.row.draws for trial in trials_of(search_id)]


def test_a_search_is_accepted_once_however_often_it_is_sent(lab: Lab) -> None:
    key = {"Idempotency-Key": "one"}
    first = lab.client.post("/v1/searches", json=request(lab), headers=key)
    again = lab.client.post("/v1/searches", json=request(lab), headers=key)
    other = lab.client.post("/v1/searches", json=request(lab, trials=5), headers=key)
    found = lab.client.get("/v1/searches").json()["data"]
    place = first.headers["Location"]
    lab.client.post(f"{place}/cancel")

    assert first.status_code == again.status_code == 202
    assert first.json()["id"] == again.json()["id"] == found[0]["id"]
    assert (other.status_code, len(found)) == (422, 1)
    assert lab.client.get(place).json()["status"] == "cancelled"


def test_a_dry_run_tells_and_stores_nothing(lab: Lab) -> None:
    answer = lab.client.post("/v1/searches?dry_run=true", json=request(lab)).json()

    assert (answer["trials"], answer["monitor"]) == (4, "validation_loss")
    assert answer["resolved_spec"]["network"]["layers"][0]["units"] == 5
    assert lab.client.get("/v1/searches").json()["data"] == []


@pytest.mark.parametrize(("space", "place"), WRONG, ids=str)
def test_an_end_that_makes_no_spec_is_refused_at_submit(
    lab: Lab, space: dict[str, Any], place: str | None
) -> None:
    answer = lab.client.post("/v1/searches", json=request(lab, space=space))

    escaped = "/space/" + (place or next(iter(space))).replace("/", "~1")
    assert answer.status_code == 422
    first = answer.json()["errors"][0]
    assert first["pointer"].startswith(escaped) or first["pointer"].startswith("/spec")
    assert place is None or first["pointer"] == escaped


def test_a_metric_that_is_not_measured_is_refused_with_its_neighbour(lab: Lab) -> None:
    asked = request(lab, monitor="validation_acuracy")

    error = lab.client.post("/v1/searches", json=asked).json()["errors"][0]

    assert (error["pointer"], error["suggestion"]) == (
        "/monitor",
        "validation_accuracy",
    )


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_same_seed_makes_the_same_proposals(lab: Lab, sampler: str) -> None:
    kind = {"kind": sampler, "seed": 3}
    if sampler == "tpe":
        kind["startup_trials"] = 3

    def loss(values: dict[str, Any]) -> float:
        return float(abs(values[UNITS] - 20) / 100)

    one = work_all(begun(lab, sampler=kind, trials=8), loss)
    two = work_all(begun(lab, sampler=kind, trials=8), loss)
    other = work_all(begun(lab, sampler={**kind, "seed": 4}, trials=8), loss)

    assert one == two != other
    assert len({draw[RATE] for draw in one}) == 8


def test_a_grid_is_every_combination_once(lab: Lab) -> None:
    space = {
        UNITS: {"kind": "integer", "low": 10, "high": 20, "step": 5},
        "/training/optimizer": {
            "kind": "choice",
            "values": ["adam", {"kind": "sgd", "learning_rate": 0.1}],
        },
    }
    found = begun(lab, space=space, sampler="grid", trials=None, parallel=4)

    work_all(found)
    values = [list(trial.row.parameters.values()) for trial in trials_of(found)]

    sgd = {"kind": "sgd", "learning_rate": 0.1}
    assert values == [[u, o] for u in (10, 15, 20) for o in ("adam", sgd)]


def test_the_best_trial_wins_and_gets_the_alias(lab: Lab) -> None:
    found = begun(lab, sampler="random", alias="champion", trials=5)

    work_all(found, lambda values: values[UNITS] / 100)
    view = lab.client.get(f"/v1/searches/{found}").json()
    table = lab.client.get(f"/v1/searches/{found}/trials").json()
    model = lab.client.get("/v1/models/digits@champion").json()
    listed = lab.client.get("/v1/jobs", params={"search": found}).json()["data"]

    least = min(table["data"], key=lambda one: one["parameters"][UNITS])
    assert (view["status"], view["best"]) == ("succeeded", least)
    assert model["id"] == least["model"]
    assert {one["job"] for one in table["data"]} == {job["id"] for job in listed}
    line = table["coordinates"]["lines"][least["number"]]
    assert line["at"][1:] == [
        least["parameters"][UNITS],
        line["at"][2],
        least["value"],
    ]
    assert len(line["at"]) == len(table["coordinates"]["axes"]) == 4


def test_failed_jobs_are_failed_trials_and_a_search_of_them_fails(lab: Lab) -> None:
    found = begun(lab, trials=2)
    for _ in range(2):
        step_all(LIMITS)
        claim = take()
        assert claim is not None
        with transaction() as session:
            jobs.fail(session, claim, Reason.DIVERGED, "the loss is not finite")
    step_all(LIMITS)

    view = lab.client.get(f"/v1/searches/{found}").json()

    assert (view["status"], view["counts"]) == ("failed", {"failed": 2})
    assert "the loss is not finite" in view["error"]


def test_a_cancel_stops_the_trials_and_ends_when_they_have(lab: Lab) -> None:
    found = begun(lab, parallel=3)
    step_all(LIMITS)
    claim = take()
    assert claim is not None

    view = lab.client.post(f"/v1/searches/{found}/cancel").json()
    with transaction() as session:
        jobs.give_back(session, claim, jobs.Cause.CANCEL)
    step_all(LIMITS)

    assert (view["status"], view["counts"]) == (
        "cancelling",
        {"cancelled": 2, "cancelling": 1},
    )
    assert search_of(found).status == "cancelled"
    assert len(trials_of(found)) == 3


def test_a_trial_that_is_not_among_the_best_third_at_its_rung_is_stopped(
    lab: Lab,
) -> None:
    halving = {"kind": "successive_halving", "minimum_epochs": 2, "reduction": 3}
    found = begun(lab, parallel=4, pruning=halving)
    step_all(LIMITS)
    for loss in (0.5, 0.7, 0.4, 0.6):
        claim = take()
        assert claim is not None
        with transaction() as session:
            rows = [
                {"step": e, "epoch": e, "name": "validation_loss", "value": loss / e}
                for e in (1, 2)
            ]
            metrics.add(session, claim, rows)
        step_all(LIMITS)
        step_all(LIMITS)  # a trial is judged at a rung once

    table = lab.client.get(f"/v1/searches/{found}/trials").json()["data"]

    assert [one["pruned_epoch"] for one in table] == [None, 2, None, 2]
    assert [one["status"] for one in table] == [
        "running",
        "cancelling",
        "running",
        "cancelling",
    ]


def test_a_better_trial_later_does_not_stop_one_that_was_let_past() -> None:
    early, late = (
        Trial(SearchTrial(rungs=rungs), None, None, [(1, value), (3, value)])
        for rungs, value in ((1, 0.5), (0, 0.4))
    )

    assert losing_rung(SuccessiveHalving(), late, [early, late], "validation_loss") == (
        2,
        None,
    )
    assert losing_rung(
        SuccessiveHalving(), early, [early, late], "validation_loss"
    ) == (2, 3)


class Killed(Exception):
    """The process dies."""


def perhaps_die(draw: random.Random) -> None:
    if draw.random() < 0.5:
        raise Killed


@pytest.mark.parametrize("seed", range(3))
def test_dying_anywhere_neither_loses_nor_doubles_a_trial(lab: Lab, seed: int) -> None:
    draw = random.Random(seed)
    found = begun(lab, trials=6, parallel=2, sampler={"kind": "random", "seed": 1})
    for _ in range(200):
        if search_of(found).finished_at is not None:
            break
        try:
            with transaction() as session:
                advance(session, found, LIMITS)
                perhaps_die(draw)  # all is written, nothing is committed
        except Killed:
            continue
        if draw.random() < 0.5 and (claim := take()) is not None:
            with transaction() as session:
                if draw.random() < 0.3:
                    cause = jobs.Cause.DRAIN
                    jobs.give_back(session, claim, cause)
                else:
                    made = registration(claim, 0.5, None)
                    jobs.succeed(session, claim, made)

    trials = trials_of(found)
    with reading() as session:
        made_jobs = session.scalars(select(Job.id)).all()
    assert search_of(found).status == "succeeded"
    assert [trial.row.number for trial in trials] == list(range(6))
    assert sorted(t.row.job_id or "" for t in trials) == sorted(made_jobs)
    draws = [trial.row.draws for trial in trials]
    # begun only now: the service takes steps of its own, too
    straight = begun(lab, trials=6, parallel=2, sampler={"kind": "random", "seed": 1})
    assert draws == work_all(straight)
