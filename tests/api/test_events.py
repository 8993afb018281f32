"""A job's history as a list and as a stream."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent

from catalog import events, jobs, metrics
from catalog.jobs import Claim
from catalog.session import transaction
from tests.api.lab import Lab, connections_in_use, problem, serving, until

STREAM = {"Accept": "text/event-stream"}


def follow(lab: Lab, job_id: str, last: str | None = None) -> list[ServerSentEvent]:
    """Read a stream to its end."""
    return list(followed(lab, job_id, last))


def followed(lab: Lab, job_id: str, last: str | None) -> Iterator[ServerSentEvent]:
    headers = STREAM if last is None else STREAM | {"Last-Event-ID": last}
    path = f"/v1/jobs/{job_id}/events"
    with lab.client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield from EventSource(answer).iter_sse()


def kinds(messages: list[ServerSentEvent]) -> list[str]:
    """Return what the messages tell, in a word each."""
    return [
        json.loads(m.data)["data"]["status"] if m.event == "status" else m.event
        for m in messages
    ]


def measured(claim: Claim, *steps: int) -> None:
    rows = [
        {"step": step, "epoch": 1, "name": name, "value": 0.5}
        for step in steps
        for name in ("train_loss", "validation_loss")
    ]
    with transaction() as session:
        metrics.add(session, claim, rows)


def finished(lab: Lab) -> str:
    """Return the id of a job that ran and succeeded."""
    job_id: str = lab.submit()["id"]
    claim = lab.claim()
    measured(claim, 1)
    with transaction() as session:
        events.add(session, job_id, "log", {"message": "half way"}, claim.attempt)
    measured(claim, 2)
    lab.succeed(claim)
    return job_id


def test_the_list_tells_the_stored_events_in_pages(lab: Lab) -> None:
    job_id = finished(lab)
    path = f"/v1/jobs/{job_id}/events"

    first = lab.get(path, limit=3)
    rest = lab.get(path, limit=3, cursor=first["next_cursor"])

    found = first["data"] + rest["data"]
    assert [line["type"] for line in found] == ["status", "status", "log", "status"]
    assert [line["id"] for line in found] == sorted({line["id"] for line in found})
    assert set(found[0]) == {"id", "type", "at", "attempt", "data"}
    terminal = [line for line in found if line["data"].get("status") == "succeeded"]
    assert len(terminal) == 1


def test_a_cursor_of_another_list_is_refused(lab: Lab) -> None:
    job_id = finished(lab)

    answer = lab.client.get(f"/v1/jobs/{job_id}/events?cursor=abc")

    problem(answer, 422, "malformed_cursor")


def test_the_stream_tells_everything_once_and_ends_with_done(lab: Lab) -> None:
    messages = follow(lab, finished(lab))

    assert kinds(messages) == [
        "queued",
        "running",
        "metrics",
        "log",
        "metrics",
        "succeeded",
        "done",
    ]
    rows = json.loads(messages[2].data)["data"]["rows"]
    assert [row["name"] for row in rows] == ["train_loss", "validation_loss"]
    assert json.loads(messages[-1].data) == {"status": "succeeded"}


@pytest.mark.parametrize("arrived", range(1, 7))
def test_a_reader_that_comes_back_misses_nothing(lab: Lab, arrived: int) -> None:
    job_id = finished(lab)
    whole = follow(lab, job_id)

    rest = follow(lab, job_id, whole[arrived - 1].id)

    assert [(m.id, m.event) for m in rest] == [(m.id, m.event) for m in whole[arrived:]]


def test_the_bare_id_of_an_event_is_understood(lab: Lab) -> None:
    job_id = finished(lab)
    running = lab.get(f"/v1/jobs/{job_id}/events")["data"][1]["id"]

    rest = follow(lab, job_id, str(running))

    assert kinds(rest)[-3:] == ["metrics", "succeeded", "done"]


@pytest.mark.parametrize("last", ["x", "-1", "1-2-3", "9" * 30])
def test_a_malformed_id_is_refused(lab: Lab, last: str) -> None:
    job_id = finished(lab)

    answer = lab.client.get(
        f"/v1/jobs/{job_id}/events", headers=STREAM | {"Last-Event-ID": last}
    )

    problem(answer, 422, "invalid_input")


def test_a_stream_of_no_job_is_a_404(lab: Lab) -> None:
    problem(lab.client.get("/v1/jobs/job_no/events", headers=STREAM), 404, "not_found")


def test_what_happens_is_told_soon(lab: Lab) -> None:
    job_id = lab.submit()["id"]
    told: list[tuple[float, str]] = []

    def listen() -> None:
        told.extend(
            (time.monotonic(), kinds([message])[0])
            for message in followed(lab, job_id, None)
        )

    listener = threading.Thread(target=listen)
    listener.start()
    claim = lab.claim()
    measured(claim, 1)
    lab.succeed(claim)
    ended = time.monotonic()
    listener.join(timeout=20)

    words = [word for _, word in told]
    assert words == ["queued", "running", "metrics", "succeeded", "done"]
    assert told[-1][0] - ended < 5


def test_values_measured_again_after_a_resume_are_told(lab: Lab) -> None:
    job_id = lab.submit()["id"]
    told: list[Any] = []

    def listen() -> None:
        told.extend(
            json.loads(message.data)
            for message in followed(lab, job_id, None)
            if message.event == "metrics"
        )

    listener = threading.Thread(target=listen)
    listener.start()
    first = lab.claim()
    measured(first, 10, 20)
    time.sleep(1)
    with transaction() as session:
        jobs.give_back(session, first, "drain")
    second = lab.claim()
    measured(second, 5)
    time.sleep(1)
    lab.succeed(second)
    listener.join(timeout=20)

    steps = [(line["attempt"], line["data"]["rows"][0]["step"]) for line in told]
    assert steps == [(1, 10), (1, 20), (2, 5)]


def test_a_waiting_stream_holds_no_connection_and_is_kept_alive(lab: Lab) -> None:
    job_id = lab.submit()["id"]
    with (
        serving(keepalive_seconds=0.2) as url,
        httpx.stream("GET", f"{url}/v1/jobs/{job_id}/events", headers=STREAM) as answer,
    ):
        lines = answer.iter_lines()
        comments = 0
        while comments < 3:
            comments += next(lines).startswith(":")
        until(lambda: connections_in_use() == 0)


def test_a_reader_that_hangs_up_is_noticed(lab: Lab) -> None:
    job_id = lab.submit()["id"]
    with serving(event_streams=1, keepalive_seconds=0.2) as url:
        address = httpx.URL(url)
        with socket.create_connection((address.host, address.port)) as reader:
            request = f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: x\r\n"
            reader.sendall(f"{request}Accept: text/event-stream\r\n\r\n".encode())
            assert b"200 OK" in reader.recv(1000)
            full = httpx.get(f"{url}/v1/jobs/{job_id}/events", headers=STREAM)
        problem(full, 503, "too_many_streams")
        assert full.headers["retry-after"] == "5"
        none = "frostline_event_streams 0.0"
        until(lambda: none in httpx.get(f"{url}/metrics").text)
