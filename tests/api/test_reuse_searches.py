"""A search for the depth of reuse: what it tries, who goes on, what it says."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from api.search_steps import advance, step_all
from api.settings import Settings
from catalog import jobs, searches
from catalog.jobs import Claim
from catalog.search_rows import Search, SearchTrial
from catalog.session import reading, transaction
from catalog.tables import Job
from tests.api.lab import Lab, registration

LIMITS = Settings()
WIDTHS = {"hidden1": [20, 64], "hidden2": [15, 20], "hidden3": [10, 15]}
LAYERS = [
    {"name": name, "kind": "dense", "units": shape[0]} for name, shape in WIDTHS.items()
]
NETWORK = {"defaults": {"normalization": "none"}, "layers": LAYERS}
CANDIDATES = [
    ("from scratch", 0, 0, 0, 0),
    ("all 3 reused and frozen", 3, 3, 0, 0),
    ("lowest 1 of 3 reused and frozen, the rest new", 1, 1, 0, 0),
    ("lowest 2 of 3 reused and frozen, the rest new", 2, 2, 0, 0),
    ("all 3 reused, none frozen", 3, 0, 0, 0),
    ("all 3 reused, lowest 1 frozen", 3, 1, 0, 0),
    ("all 3 reused, lowest 2 frozen", 3, 2, 0, 0),
    ("lowest 2 of 3 reused and frozen, the upper 1 gone", 2, 2, 1, 0),
    ("lowest 1 of 3 reused and frozen, the upper 2 gone", 1, 1, 2, 0),
    ("all 3 reused and frozen, one dense layer more", 3, 3, 0, 1),
]


def made(claim: Claim, accuracy: float) -> Any:
    """Return a model with three hidden layers."""
    plain = registration(claim, accuracy, None)
    output = plain.description["layers"][-1]
    layers = [
        {
            **output,
            "name": name,
            "output_shape": shape[:1],
            "tensors": [
                {"name": f"{name}.weight", "shape": shape, "dtype": "float32"},
                {"name": f"{name}.bias", "shape": shape[:1], "dtype": "float32"},
            ],
        }
        for name, shape in WIDTHS.items()
    ]
    return replace(
        plain, description={**plain.description, "layers": [*layers, output]}
    )


@pytest.fixture
def source(lab: Lab) -> str:
    """Return the id of a model to reuse."""
    lab.submit(name="low", network=NETWORK)
    return end(lab.claim(), 0.9)


def request(lab: Lab, **changes: Any) -> dict[str, Any]:
    asked = {
        "name": "depths",
        "kind": "reuse_depth",
        "from": "low@best",
        "spec": lab.spec(name="high", network=NETWORK),
        "rungs": [2, 6],
        "parallel": 3,
    }
    return {**asked, **changes}


def begun(lab: Lab, **changes: Any) -> str:
    """Have a search accepted, without the service's own thread at it."""
    with transaction() as session:
        order = searches.SearchOrder(
            name="depths",
            kind="reuse_depth",
            request=request(lab, **changes),
            dataset_id=lab.digits,
            monitor="validation_loss",
        )
        return searches.add(session, order).id


def end(claim: Claim, accuracy: float) -> str:
    with transaction() as session:
        found = jobs.succeed(session, claim, made(claim, accuracy))
    assert found.model_id is not None
    return found.model_id


def search_of(search_id: str) -> Search:
    with reading() as session:
        return searches.get(session, search_id)


def parameters_of(claim: Claim) -> dict[str, Any]:
    with reading() as session:
        query = select(SearchTrial).where(SearchTrial.job_id == claim.job_id)
        return session.scalars(query).one().parameters


def work_all(search_id: str, accuracy: Any) -> None:
    """Carry a search to its end."""
    while search_of(search_id).finished_at is None:
        step_all(LIMITS)
        while (claim := take()) is not None:
            end(claim, accuracy(parameters_of(claim)))


def take() -> Claim | None:
    with transaction() as session:
        return jobs.claim(session, "w1")


def deeper_is_better(found: dict[str, Any]) -> float:
    """Return an accuracy: each frozen layer helps, and each further epoch a little."""
    return 0.5 + 0.1 * float(found["frozen"]) + 0.001 * float(found["epochs"])


def test_every_depth_is_tried_once_and_the_better_half_goes_on_beside_no_reuse(
    lab: Lab, source: str
) -> None:
    found = begun(lab, alias="champion")

    work_all(found, deeper_is_better)
    view = lab.get(f"/v1/searches/{found}")
    table = view["result"]["table"]
    words = ("candidate", "reused", "frozen", "dropped", "added")
    tried = [
        [tuple(r[w] for w in words) for r in table if r["rung"] == n] for n in (0, 1)
    ]
    specs = {r["trial"]: lab.get(f"/v1/jobs/{r['job']}")["spec"] for r in table}

    assert view["status"] == "succeeded"
    assert sorted(tried[0]) == sorted(CANDIDATES)
    assert len({str(spec) for spec in specs.values()}) == len(table)
    assert {row[0] for row in tried[1]} - {"from scratch"} <= {
        row[0] for row in CANDIDATES if row[2] >= 2
    }
    assert (len(tried[1]), tried[1][0][0]) == (6, "from scratch")
    assert {specs[r["trial"]]["training"]["epochs"] for r in table if r["rung"]} == {6}
    assert view["best"]["parameters"]["frozen"] == 3
    assert view["best"]["parameters"]["epochs"] == 6
    assert lab.get("/v1/models/high@champion")["id"] == view["best"]["model"]


def test_the_jobs_freeze_and_reuse_what_their_words_say(lab: Lab, source: str) -> None:
    found = begun(lab, rungs=[2])

    work_all(found, deeper_is_better)
    rows = lab.get(f"/v1/searches/{found}")["result"]["table"]
    jobs_made = {r["candidate"]: lab.get(f"/v1/jobs/{r['job']}") for r in rows}
    of = {words: job["spec"] for words, job in jobs_made.items()}

    lower = of["all 3 reused, lowest 2 frozen"]
    names = ["hidden1", "hidden2", "hidden3"]
    assert lower["reuse"] == [{"from": source, "layers": names, "freeze": names[:2]}]
    assert lower["training"]["frozen_cache_depths"] == "every"
    assert "reuse" not in of["from scratch"]
    assert "frozen_cache_depths" not in of["all 3 reused, none frozen"]["training"]
    short = of["lowest 1 of 3 reused and frozen, the upper 2 gone"]
    assert [layer["name"] for layer in short["network"]["layers"]] == names[:1]
    tall = of["all 3 reused and frozen, one dense layer more"]["network"]["layers"]
    assert tall[-1] == {"name": "added", "kind": "dense", "units": 10}
    assert all(job["status"] == "succeeded" for job in jobs_made.values())


def test_the_front_and_the_sentences_follow_from_the_table(
    lab: Lab, source: str
) -> None:
    found = begun(lab)

    work_all(found, deeper_is_better)
    view = lab.get(f"/v1/searches/{found}")
    result = view["result"]
    rows = result["table"]

    def beaten(row: dict[str, Any]) -> bool:
        mine = (row["value"], row["seconds"])
        others = [(other["value"], other["seconds"]) for other in rows]
        return any(
            value <= mine[0] and seconds <= mine[1] and (value, seconds) != mine
            for value, seconds in others
        )

    near = [r for r in rows if r["value"] <= view["best"]["value"] + 0.01]
    quickest = min(near, key=lambda row: row["seconds"])
    assert [row["on_front"] for row in rows] == [not beaten(row) for row in rows]
    assert rows[result["cheapest"]]["seconds"] == quickest["seconds"]
    assert rows[result["scratch"]]["candidate"] == "from scratch"
    assert rows[result["scratch"]]["epochs"] == 6
    assert "10 candidates over 3 layers of low@best" in result["explanation"]
    assert "Best: all 3 reused and frozen" in result["explanation"]
    assert "reuse is better by 0.3" in result["explanation"]


def test_it_is_told_before_it_begins_and_shown_as_lines(lab: Lab, source: str) -> None:
    told = lab.client.post("/v1/searches?dry_run=true", json=request(lab)).json()
    found = begun(lab)
    work_all(found, deeper_is_better)
    shown = lab.get(f"/v1/searches/{found}/trials")

    assert told["candidates"] == [words for words, *_ in CANDIDATES]
    assert told["trials"] == 16
    assert told["resolved_spec"]["training"]["epochs"] == 2
    names = [axis["name"] for axis in shown["coordinates"]["axes"]]
    assert names == ["reused", "frozen", "epochs", "validation_loss"]
    assert len(shown["coordinates"]["lines"]) == len(shown["data"]) == 16
    assert lab.get("/v1/searches")["data"][0]["result"] is None


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"from": "lo@best"}, "/from", "unknown_model"),
    ({"rungs": [4, 4]}, "/rungs", "value_error"),
    ({"rungs": []}, "/rungs", "too_short"),
    ({"kind": "reuse_depths"}, "/kind", "unknown_name"),
    ({"space": {}}, "/space", "unknown_field"),
    ({"monitor": "validation_acuracy"}, "/monitor", "unknown_name"),
]


@pytest.mark.parametrize(("changes", "place", "code"), WRONG, ids=str)
def test_a_wrong_request_is_refused_at_its_place(
    lab: Lab, source: str, changes: dict[str, Any], place: str, code: str
) -> None:
    answer = lab.client.post("/v1/searches", json=request(lab, **changes))

    assert answer.status_code == 422
    error = answer.json()["errors"][0]
    assert error["pointer"] == place
    assert error["code"] == code or place == "/monitor"


UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"network": {**NETWORK, "layers": LAYERS[:2]}}, "/spec/network/layers"),
    (
        {"network": {**NETWORK, "layers": [{**LAYERS[0], "units": 7}, *LAYERS[1:]]}},
        "/from",
    ),
    ({"network": NETWORK, "reuse": [{"from": "low"}]}, "/spec/reuse"),
    ({"network": NETWORK, "training": {"epoch": 1}}, "/spec/training/epoch"),
]


@pytest.mark.parametrize(("changes", "place"), UNFIT, ids=str)
def test_a_network_that_the_source_does_not_fit_is_refused(
    lab: Lab, source: str, changes: dict[str, Any], place: str
) -> None:
    asked = request(lab, spec=lab.spec(name="high", **changes))

    answer = lab.client.post("/v1/searches", json=asked)

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == place


def test_over_http_it_begins_and_a_cancel_ends_it(lab: Lab, source: str) -> None:
    answer = lab.client.post("/v1/searches", json=request(lab))
    place = answer.headers["Location"]
    lab.client.post(f"{place}/cancel")

    assert answer.status_code == 202
    assert answer.json()["kind"] == "reuse_depth"
    assert lab.get(place)["status"] == "cancelled"


def test_the_others_wait_for_the_job_that_fills_the_cache(
    lab: Lab, source: str
) -> None:
    found = begun(lab, parallel=4)
    step_all(LIMITS)
    step_all(LIMITS)
    before = lab.get(f"/v1/searches/{found}")["counts"]
    scratch, deepest = take(), take()
    assert scratch is not None
    assert deepest is not None
    end(deepest, 0.5)
    step_all(LIMITS)

    after = lab.get(f"/v1/searches/{found}")["counts"]
    assert parameters_of(deepest)["frozen"] == 3
    assert before == {"queued": 2}
    assert after == {"running": 1, "succeeded": 1, "queued": 3}


def test_every_job_keeps_what_is_monitored_unless_the_spec_says_otherwise(
    lab: Lab, source: str
) -> None:
    other = {"early_stopping": {"monitor": "validation_loss", "patience": 3}}
    spec = lab.spec(name="high", network=NETWORK, training=other)
    path, metric = "/v1/searches?dry_run=true", "validation_accuracy"
    silent = lab.client.post(path, json=request(lab, monitor=metric)).json()
    written = lab.client.post(path, json=request(lab, monitor=metric, spec=spec)).json()

    kept = silent["resolved_spec"]["training"]["early_stopping"]
    told = written["resolved_spec"]["training"]["early_stopping"]
    assert (kept["monitor"], kept["patience"] > 1000) == (metric, True)
    assert (told["monitor"], told["patience"]) == ("validation_loss", 3)


class Killed(Exception):
    """The process dies."""


def perhaps_die(draw: random.Random) -> None:
    if draw.random() < 0.5:
        raise Killed


@pytest.mark.parametrize("seed", range(2))
def test_dying_anywhere_neither_loses_nor_doubles_a_trial(
    lab: Lab, source: str, seed: int
) -> None:
    draw = random.Random(seed)
    found = begun(lab)
    for _ in range(400):
        if search_of(found).finished_at is not None:
            break
        try:
            with transaction() as session:
                advance(session, found, LIMITS)
                perhaps_die(draw)  # all is written, nothing is committed
        except Killed:
            continue
        if draw.random() < 0.7 and (claim := take()) is not None:
            end(claim, rank(parameters_of(claim)))
    with reading() as session:
        trials = searches.trials(session, search_of(found))
        job_ids = session.scalars(select(Job.id).where(Job.name == "high")).all()
    straight = begun(lab)  # not before: the service takes steps of its own, too
    work_all(straight, rank)
    with reading() as session:
        others = searches.trials(session, search_of(straight))

    assert search_of(found).status == "succeeded"
    assert [trial.row.number for trial in trials] == list(range(len(trials)))
    assert sorted(trial.row.job_id or "" for trial in trials) == sorted(job_ids)
    assert [t.row.draws for t in trials] == [t.row.draws for t in others]


def rank(found: dict[str, Any]) -> float:
    """Return an accuracy that no two candidates share, so that no clock decides."""
    place = [words for words, *_ in CANDIDATES].index(found["candidate"])
    return 0.5 + 0.01 * place + 0.001 * float(found["epochs"])


def test_a_source_that_is_gone_fails_a_search_instead_of_holding_it(
    lab: Lab, source: str
) -> None:
    found = begun(lab, parallel=1)
    step_all(LIMITS)
    claim = take()
    assert claim is not None
    deleted = lab.client.delete(f"/v1/models/{source}")
    assert deleted.status_code in {200, 202, 204}, deleted.text
    end(claim, 0.5)
    step_all(LIMITS)

    view = lab.get(f"/v1/searches/{found}")
    assert view["status"] == "failed"
    assert "/from" in view["error"]
