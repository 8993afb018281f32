"""Garbage of every kind gets a problem document that says what to change."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from catalog import session as catalog_session
from catalog.settings import settings as catalog_settings
from tests.api.lab import Lab, faults, problem, serving

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What is refused before a database is asked is the same on both."""

JSON = {"Content-Type": "application/json"}
YAML = {"Content-Type": "application/yaml"}
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "empty_body"),
        (b"  \n", 400, "empty_body"),
        (b'{"name": "digits", "netw', 400, "invalid_json"),
        (b"{'name': 'digits'}", 400, "invalid_json"),
        (b'{"name": "\xff\xfe"}', 400, "invalid_utf8"),
        (b"\x1f\x8b\x08\x00", 400, "invalid_utf8"),
        (b'{"training": {"optimizer": {"learning_rate": NaN}}}', 400, "not_finite"),
        (b'{"a": Infinity}', 400, "not_finite"),
        (b'{"a": -Infinity}', 400, "not_finite"),
        (b'{"a": 1e999}', 400, "not_finite"),
        (b'{"a": ' + b"9" * 100_000 + b"}", 400, "not_finite"),
        (b'{"name": "a", "name": "b"}', 400, "duplicate_key"),
        (b"[" * 10_000 + b"]" * 10_000, 400, "too_deep"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, "too_deep"),
        (b"[" * 65 + b"]" * 65, 400, "too_deep"),
        (b'{"name": "a\\u0000b"}', 400, "invalid_text"),
        (b'{"name": "\\ud800"}', 400, "invalid_text"),
        (b'{"\\u0000": 1}', 400, "invalid_text"),
        (b"null", 422, "invalid_spec"),
        (b"[]", 422, "invalid_spec"),
        (b'"spec"', 422, "invalid_spec"),
        (b"3", 422, "invalid_spec"),
        (b"{}", 422, "invalid_spec"),
        (b'{"name": 3, "dataset": [], "network": null}', 422, "invalid_spec"),
    ],
)
def test_a_body_that_is_no_spec_is_refused(
    lab: Lab, body: bytes, status: int, code: str
) -> None:
    answer = lab.client.post("/v1/jobs", content=body, headers=JSON)

    problem(answer, status, code)
    assert lab.get("/v1/jobs")["data"] == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "empty_body"),
        ("# nothing\n", "empty_body"),
        ("a: [1, 2", "invalid_yaml"),
        ("a: 1\na: 2", "duplicate_key"),
        ("a: &a [*a]", "invalid_yaml"),
        (BOMB, "yaml_too_large"),
        ("[" * 5_000 + "]" * 5_000, "too_deep"),
        ("- " * 5_000 + "1", "too_deep"),
        ("a: !!python/object/apply:os.system ['true']", "invalid_yaml"),
        ("a: !!binary aGk=", "invalid_yaml"),
        ("1: one", "invalid_yaml"),
        ("a: 1\n---\nb: 2", "invalid_yaml"),
        ("a: " + "9" * 400, "not_finite"),
        ("x" * 1_100_000, "yaml_too_large"),
        ("a: \x01", "invalid_yaml"),
    ],
)
def test_yaml_that_is_no_spec_is_refused(lab: Lab, body: str, code: str) -> None:
    answer = lab.client.post("/v1/jobs", content=body, headers=YAML)

    problem(answer, 400, code)


def test_words_of_older_yaml_stay_words(lab: Lab) -> None:
    body = "name: no\ndataset: {id: 2026-01-01}\nnetwork: {layers: []}"

    answer = lab.client.post("/v1/jobs", content=body, headers=YAML)

    assert faults(answer.json()) == [("/dataset/id", "unknown_dataset")]


@pytest.mark.parametrize("mebibytes", [5, 40])
def test_a_spec_that_is_too_large_is_refused(lab: Lab, mebibytes: int) -> None:
    body = json.dumps(lab.spec(description="x" * (mebibytes << 20)))

    answer = lab.client.post("/v1/jobs", content=body, headers=JSON)

    document = problem(answer, 413, "body_too_large")
    assert "4,194,304" in document["detail"]


def test_a_body_without_a_length_is_refused_when_it_grows_too_large(lab: Lab) -> None:
    pieces = (b"x" * 65_536 for _ in range(80))

    answer = lab.client.post("/v1/jobs", content=pieces, headers=JSON)

    problem(answer, 413, "body_too_large")


def test_a_body_that_says_it_is_huge_is_refused_unread(lab: Lab) -> None:
    address = httpx.URL(lab.url)
    with socket.create_connection((address.host, address.port)) as client:
        head = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: 10000000000\r\n\r\n".encode())
        answer = client.recv(65_536)

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-pickle", "a"])
def test_a_body_of_another_type_is_refused(lab: Lab, media_type: str) -> None:
    headers = {"Content-Type": media_type}

    answer = lab.client.post("/v1/jobs", content=b"{}", headers=headers)

    problem(answer, 415, "unknown_media_type")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "unknown_route"),
        ("POST", "/nothing", 404, "unknown_route"),
        ("GET", "/v1/jobs/", 404, "unknown_route"),
        ("GET", "/v1/jobs/a/b/c", 404, "unknown_route"),
        ("GET", "/..%2f..%2fetc%2fpasswd", 404, "unknown_route"),
        ("DELETE", "/v1/jobs", 405, "method_not_allowed"),
        ("TRACE", "/v1/jobs", 405, "method_not_allowed"),
        ("POST", "/v1/limits", 405, "method_not_allowed"),
        ("GET", "/v1/jobs/a%00b", 400, "invalid_address"),
        ("GET", "/v1/jobs?name=%00", 400, "invalid_address"),
        ("GET", "/v1/jobs?name=%ff", 400, "invalid_address"),
        ("GET", "/v1/jobs/%ff", 400, "invalid_address"),
        ("GET", "/v1/jobs/..%2f..%2fetc%2fpasswd", 404, "unknown_route"),
    ],
)
def test_an_address_that_leads_nowhere_is_a_problem_too(
    lab: Lab, method: str, path: str, status: int, code: str
) -> None:
    problem(lab.client.request(method, path), status, code)


def test_a_wrong_method_is_told_the_right_ones(lab: Lab) -> None:
    answer = lab.client.delete("/v1/jobs")

    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "ü"])
def test_a_malformed_key_is_refused(lab: Lab, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}

    answer = lab.client.post("/v1/jobs", json=lab.spec(), headers=headers)

    document = problem(answer, 422, "invalid_parameter")
    assert faults(document)[0][0] == "/header/Idempotency-Key"


def test_the_id_of_a_request_can_be_given(lab: Lab) -> None:
    given = lab.client.get("/v1/no", headers={"X-Request-Id": "mine-1"})
    made = lab.client.get("/v1/no", headers={"X-Request-Id": "<script>"})

    assert given.json()["request_id"] == "mine-1"
    assert made.json()["request_id"].startswith("req_")


def test_a_key_is_asked_where_one_is_set(lab: Lab) -> None:
    with serving(api_key="secret-of-the-lab") as url:
        right = {"Authorization": "Bearer secret-of-the-lab"}

        assert httpx.get(f"{url}/v1/jobs", headers=right).status_code == 200
        assert httpx.get(f"{url}/healthz").status_code == 200
        for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eA"}):
            answer = httpx.get(f"{url}/v1/jobs", headers=wrong)
            problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"


def test_a_database_that_is_away_is_a_503(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    monkeypatch.setenv("FROSTLINE_DATABASE_URL", away)
    catalog_settings.cache_clear()
    catalog_session.dispose()

    answers: list[Any] = [
        lab.client.get("/v1/jobs"),
        lab.client.post("/v1/jobs", json=lab.spec()),
        lab.client.get("/v1/models/x"),
    ]

    for answer in answers:
        problem(answer, 503, "database_unavailable")
        assert answer.headers["retry-after"] == "2"
    assert "frostline_database_up 0.0" in lab.client.get("/metrics").text


def test_a_full_disk_is_a_507_and_leaves_nothing(lab: Lab) -> None:
    catalog_session.dispose()

    @event.listens_for(catalog_session.engine(), "connect")
    def _allow_no_growth(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # rounded up to what there is

    spec = lab.spec(description="x" * 10_000, tags=["y" * 100] * 100)
    answers = [lab.client.post("/v1/jobs", json=spec) for _ in range(30)]

    refused = [answer for answer in answers if answer.status_code != 202]
    problem(refused[-1], 507, "disk_full")
    assert refused[-1].headers["retry-after"]
    accepted = len(answers) - len(refused)
    assert len(lab.get("/v1/jobs", limit=100)["data"]) == accepted
