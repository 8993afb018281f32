"""Uploads that go wrong: refused with the place and the remedy, and nothing left."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from catalog import datasets, folders
from catalog.settings import settings
from tests.api.lab import Lab, faults, problem, serving
from tests.api.posting import (
    added,
    form,
    left_on_disk,
    readers,
    rows_of_uploads,
    start_upload,
    upload,
    wait_until,
)
from tests.catalog.uploads import npz, png, zipped

LONG = "x,y\n" + "1.5,2\n" * 4_000_000

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""All this happens before the ledger is asked."""


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        ("a,b\n1,2\n3\n", 422, "ragged_row"),
        ("", 422, "empty_file"),
        (npz(x=np.array([[1.0], [np.nan]])), 422, "non_finite"),
        (npz(x=np.array([{}], object)), 422, "pickled_objects"),
        (npz(x=np.zeros((50, 50)))[:-50], 422, "damaged_file"),
        (zipped({"../a/1.png": png()}), 422, "unsafe_path"),
        (zipped({"a/1.png": bytes(80_000_000)}, packed=True), 413, "too_compressed"),
    ],
)
def test_a_refused_upload_leaves_nothing(
    lab: Lab, content: bytes | str, status: int, code: str
) -> None:
    kind = "invalid_upload" if status == 422 else "upload_too_large"

    document = problem(upload(lab, content), status, kind)

    assert document["errors"][0]["code"] == code
    assert document["errors"][0]["suggestion"]
    assert rows_of_uploads(lab) == []
    assert left_on_disk() == set()


def test_a_refusal_names_the_row(lab: Lab) -> None:
    document = problem(upload(lab, "a,b\n1,2\n3\n"), 422, "invalid_upload")

    assert document["errors"][0]["row"] == 2
    assert document["errors"][0]["line"] == 3
    assert faults(document) == [("/file/rows/2", "ragged_row")]
    assert "row 2" in document["detail"]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": "../x"}, "/name"),
        ({"name": "a/b"}, "/name"),
        ({"name": ""}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"delimitr": ","}, "/delimitr"),
        ({"delimiter": ",,"}, "/delimiter"),
        ({"kinds": "x"}, "/kinds"),
        ({"kinds": '{"x": "image"}'}, "/kinds/x"),
        ({"resize": "0x5"}, "/resize/height"),
        ({"options": "[1]"}, "/options"),
        ({"name": ["a", "b"]}, "/name"),
    ],
)
def test_a_field_that_cannot_be_followed_is_named(
    lab: Lab, fields: Mapping[str, Any], pointer: str
) -> None:
    document = problem(upload(lab, **fields), 422, "invalid_input")

    assert document["errors"][0]["pointer"] == pointer
    assert left_on_disk() == set()


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        ("", b"", 415, "unknown_media_type"),
        ("text/csv", b"a,b\n", 415, "unknown_media_type"),
        ("multipart/form-data", b"", 400, "invalid_multipart"),
        ("multipart/form-data; boundary=x", b"", 400, "invalid_multipart"),
        ("multipart/form-data; boundary=x", b"nonsense", 400, "invalid_multipart"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\na,b\n1,',
            400,
            "invalid_multipart",
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nn\r\n--x--\r\n',
            422,
            "invalid_input",
        ),
        (
            "multipart/form-data; boundary=x",
            form("a,b\n").replace(b'name="file"', b'name="data"'),
            422,
            "invalid_input",
        ),
        ("application/json", b"", 400, "empty_body"),
        ("application/json", b"{", 400, "invalid_json"),
        ("application/json", b"{}", 422, "invalid_input"),
        ("application/json", b'{"uri": "file:///etc/passwd"}', 422, "invalid_input"),
        (
            "application/json",
            b'{"uri": "http://169.254.169.254/"}',
            422,
            "invalid_input",
        ),
        ("application/json", b'{"uri": "sklearn:../x"}', 422, "invalid_input"),
    ],
)
def test_a_body_that_is_no_upload_is_refused(
    lab: Lab, content_type: str, body: bytes, status: int, code: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    answer = lab.client.post("/v1/datasets", content=body, headers=headers)

    problem(answer, status, code)
    assert left_on_disk() == set()


def test_an_unknown_builtin_is_refused_with_the_known_ones(lab: Lab) -> None:
    answer = lab.client.post("/v1/datasets", json={"uri": "sklearn:digit"})

    document = problem(answer, 422, "invalid_upload")
    assert "sklearn:digits" in document["errors"][0]["suggestion"]


def test_a_body_beyond_the_limit_is_refused(ledger: Path, service: str) -> None:
    with (
        serving(upload_bytes=10_000) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        small = client.post("/v1/datasets", files={"file": ("t.csv", b"1,2\n" * 5_000)})
        sender = start_upload(url, b"", 100_000_000_000)
        answer = sender.recv(10_000)
        sender.close()

    problem(small, 413, "body_too_large")
    assert answer.startswith(b"HTTP/1.1 413")
    assert left_on_disk() == set()


def test_a_client_that_leaves_while_sending_leaves_nothing(lab: Lab) -> None:
    body = form(LONG)

    sender = start_upload(lab.url, body[:4_000_000], len(body))
    wait_until(lambda: any(settings().folder.glob("uploads/*/files/0")))
    sender.close()

    wait_until(lambda: left_on_disk() == set())


def test_a_client_that_leaves_while_its_upload_is_read_ends_the_reading(
    lab: Lab,
) -> None:
    body = form(LONG)

    sender = start_upload(lab.url, body, len(body))
    wait_until(lambda: readers() != [])
    sender.close()

    wait_until(lambda: readers() == [] and left_on_disk() == set(), seconds=10)
    assert rows_of_uploads(lab) == []


def test_other_requests_are_answered_while_an_upload_is_read(lab: Lab) -> None:
    with ThreadPoolExecutor(1) as pool:
        reading_it = pool.submit(added, lab, LONG[:4_000_006])
        wait_until(lambda: readers() != [])
        answered = 0
        while not reading_it.done():
            lab.client.get("/healthz", timeout=10).raise_for_status()
            answered += 1

    assert reading_it.result()["rows"] > 600_000
    assert answered > 10


def test_what_killed_processes_left_is_removed_and_nothing_else(lab: Lab) -> None:
    kept = added(lab)
    uploads = settings().folder / "uploads"
    (uploads / "dead" / "files").mkdir(parents=True)
    (uploads / "dead.lock").touch()
    orphan = folders.absolute(folders.dataset("f" * 64))
    orphan.mkdir()
    os.utime(orphan, (0, 0))

    with datasets.staging() as living:
        datasets.remove_leftovers()

        assert living.exists()
        assert not (uploads / "dead").exists()
    assert left_on_disk() == {f"datasets/{kept['sha256']}"}
