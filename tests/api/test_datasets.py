"""Data sets over HTTP: what is stored is whole, what is refused leaves nothing."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from sqlalchemy import select

from catalog import datasets, folders
from catalog.session import reading
from catalog.settings import settings
from catalog.tables import Dataset
from tests.api.lab import Lab, faults, problem, serving
from tests.catalog.uploads import idx, npz, png, zipped

TABLE = "x,colour,label\n" + "1,red,a\n2,blue,b\n,red,a\n4,blue,b\n"
LONG = "x,y\n" + "1.5,2\n" * 4_000_000


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what happens before the ledger is asked."""


def upload(lab: Lab, content: bytes | str = TABLE, **fields: Any) -> httpx.Response:
    files = {"file": ("table.csv", content)}
    return lab.client.post("/v1/datasets", files=files, data=fields, timeout=110)


def added(lab: Lab, content: bytes | str = TABLE, **fields: Any) -> dict[str, Any]:
    answer = upload(lab, content, **fields)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def form(content: str) -> bytes:
    head = (
        '--x\r\nContent-Disposition: form-data; name="file"; filename="t.csv"\r\n\r\n'
    )
    return (head + content + "\r\n--x--\r\n").encode()


def left_on_disk() -> set[str]:
    """Return what uploads left in the data folder, but for the lock itself."""
    data = settings().folder
    found = [*data.glob("uploads/*"), *data.glob("datasets/*")]
    return {str(path.relative_to(data)) for path in found} - {"datasets/.lock"}


def rows_of_uploads(lab: Lab) -> list[str]:
    with reading() as session:
        ids = session.scalars(select(Dataset.id).where(Dataset.deleted_at.is_(None)))
        return [i for i in ids if i not in {lab.digits, lab.flowers}]


def test_an_upload_is_answered_with_the_whole_data_set(lab: Lab) -> None:
    answer = upload(lab, name="colours", target="label")

    found = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/datasets/{found['id']}"
    assert found["object"] == "dataset"
    assert (found["name"], found["version"], found["rows"]) == ("colours", 1, 4)
    assert found["parts"] == [{"name": "train", "rows": 4, "start": 0, "stop": 4}]
    assert found["target"] == found["schema"]["target"] == "label"
    assert [column["kind"] for column in found["schema"]["columns"]] == [
        "number",
        "category",
        "category",
    ]
    assert found["report"]["missing"] == {"x": 1}
    assert found["report"]["files"][0]["name"] == "table.csv"
    assert lab.get(answer.headers["location"]) == found
    assert lab.get("/v1/datasets/colours/report") == found["report"]
    assert lab.get("/v1/datasets/colours/preview", limit=1)["rows"] == [
        {"x": 1.0, "colour": "red", "label": "a"}
    ]
    assert left_on_disk() == {f"datasets/{found['sha256']}"}


def test_a_name_counts_its_versions_and_never_uses_one_again(lab: Lab) -> None:
    first = added(lab, name="colours")
    same = added(lab, name="colours")
    other = added(lab, TABLE + "5,red,a\n", name="colours")
    lab.client.delete("/v1/datasets/colours@3").raise_for_status()
    fourth = added(lab, TABLE + "5,red,a\n", name="colours")

    assert [d["version"] for d in (first, same, other, fourth)] == [1, 2, 3, 4]
    assert first["sha256"] == same["sha256"] != other["sha256"]
    assert lab.get("/v1/datasets/colours")["id"] == fourth["id"]
    assert lab.get("/v1/datasets/colours@2")["id"] == same["id"]
    assert lab.get(f"/v1/datasets/{first['id']}")["version"] == 1
    problem(lab.client.get("/v1/datasets/colours@3"), 404, "not_found")
    problem(lab.client.get("/v1/datasets/colours@latest"), 404, "not_found")


def test_uploads_at_the_same_time_get_different_versions(lab: Lab) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: added(lab, name="colours"), range(3)))

    assert sorted(dataset["version"] for dataset in found) == [1, 2, 3]


@on_sqlite
def test_several_files_make_one_data_set(lab: Lab) -> None:
    images = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    parts = {
        "train-images-idx3-ubyte.gz": idx(images[:2]),
        "train-labels-idx1-ubyte.gz": idx([1, 0]),
        "t10k-images-idx3-ubyte.gz": idx(images[2:]),
        "t10k-labels-idx1-ubyte.gz": idx([1]),
    }
    files = [("file", (n, gzip.compress(c))) for n, c in parts.items()]

    answer = lab.client.post("/v1/datasets", files=files, data={"name": "tiny"})

    found = answer.json()
    assert answer.status_code == 201, answer.text
    assert {part["name"]: part["rows"] for part in found["parts"]} == {
        "train": 2,
        "test": 1,
    }
    assert found["target"] == "label"
    assert len(found["report"]["files"]) == 4
    assert lab.get("/v1/datasets/tiny/preview")["rows"][2]["label"] == 1


@on_sqlite
def test_options_may_be_fields_or_one_json_object(lab: Lab) -> None:
    table = "1;NULL;a\n2;none;b\n3;7;a\n"

    fields = added(
        lab,
        table,
        name="fields",
        header=["n", "gap", "label"],
        missing=["NULL", "none"],
        kinds="n=category",
    )
    whole = added(
        lab,
        table,
        options=json.dumps(
            {
                "name": "whole",
                "header": ["n", "gap", "label"],
                "missing": ["NULL", "none"],
                "kinds": {"n": "category"},
            }
        ),
    )

    assert fields["sha256"] == whole["sha256"]
    assert whole["name"] == "whole"
    assert whole["report"]["missing"] == {"gap": 2}


@on_sqlite
def test_a_data_set_that_the_server_knows_needs_no_upload(lab: Lab) -> None:
    answer = lab.client.post("/v1/datasets", json={"uri": "sklearn:iris"})

    assert answer.status_code == 201, answer.text
    assert (answer.json()["name"], answer.json()["rows"]) == ("iris", 150)


def test_the_list_shows_the_newest_first_in_pages(lab: Lab) -> None:
    ids = [added(lab, name="colours")["id"] for _ in range(2)]

    first = lab.get("/v1/datasets", limit=1)
    second = lab.get("/v1/datasets", limit=1, cursor=first["next_cursor"])
    named = lab.get("/v1/datasets", name="colours")

    assert [first["data"][0]["id"], second["data"][0]["id"]] == [*reversed(ids)]
    assert first["has_more"]
    assert [row["id"] for row in named["data"]] == [*reversed(ids)]
    assert "schema" not in named["data"][0]
    refusal = lab.client.get("/v1/datasets", params={"cursor": "x"})
    problem(refusal, 422, "malformed_cursor")


@on_sqlite
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


@on_sqlite
def test_a_refusal_names_the_row(lab: Lab) -> None:
    document = problem(upload(lab, "a,b\n1,2\n3\n"), 422, "invalid_upload")

    assert document["errors"][0]["row"] == 2
    assert document["errors"][0]["line"] == 3
    assert faults(document) == [("/file/rows/2", "ragged_row")]
    assert "row 2" in document["detail"]


@on_sqlite
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


@on_sqlite
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


@on_sqlite
def test_an_unknown_builtin_is_refused_with_the_known_ones(lab: Lab) -> None:
    answer = lab.client.post("/v1/datasets", json={"uri": "sklearn:digit"})

    document = problem(answer, 422, "invalid_upload")
    assert "sklearn:digits" in document["errors"][0]["suggestion"]


@on_sqlite
def test_the_file_a_path_names_is_called_by_its_last_piece(lab: Lab) -> None:
    files = {"file": ("../../etc/my table.csv", TABLE)}

    found = lab.client.post("/v1/datasets", files=files).json()

    assert found["report"]["files"][0]["name"] == "my table.csv"
    assert found["name"] == "my-table"


@on_sqlite
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


def wait_until(met: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def start_upload(url: str, body: bytes, declared: int) -> socket.socket:
    """Send a request and part of its body; leave the connection open."""
    host, port = url.removeprefix("http://").split(":")
    sender = socket.create_connection((host, int(port)))
    head = (
        f"POST /v1/datasets HTTP/1.1\r\nHost: {host}\r\nContent-Length: {declared}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    sender.sendall(head.encode() + body)
    return sender


@on_sqlite
def test_a_client_that_leaves_while_sending_leaves_nothing(lab: Lab) -> None:
    body = form(LONG)

    sender = start_upload(lab.url, body[:4_000_000], len(body))
    wait_until(lambda: any(settings().folder.glob("uploads/*/files/0")))
    sender.close()

    wait_until(lambda: left_on_disk() == set())


@on_sqlite
def test_a_client_that_leaves_while_its_upload_is_read_ends_the_reading(
    lab: Lab,
) -> None:
    body = form(LONG)

    sender = start_upload(lab.url, body, len(body))
    wait_until(lambda: readers() != [])
    sender.close()

    wait_until(lambda: readers() == [] and left_on_disk() == set(), seconds=10)
    assert rows_of_uploads(lab) == []


def readers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children():
        try:
            if "catalog.ingest" in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@on_sqlite
def test_other_requests_are_answered_while_an_upload_is_read(lab: Lab) -> None:
    with ThreadPoolExecutor(1) as pool:
        reading_it = pool.submit(added, lab, LONG[:4_000_006])
        wait_until(lambda: readers() != [])
        waited = []
        while not reading_it.done():
            started = time.monotonic()
            httpx.get(f"{lab.url}/healthz", timeout=10).raise_for_status()
            waited.append(time.monotonic() - started)

    assert reading_it.result()["rows"] > 600_000
    assert sorted(waited)[len(waited) // 2] < 0.5


def test_a_data_set_that_a_job_waits_for_is_kept_unless_forced(lab: Lab) -> None:
    found = added(lab, name="colours", target="label")
    job = lab.submit(dataset={"id": "colours"})

    document = problem(lab.client.delete("/v1/datasets/colours"), 409, "in_use")
    forced = lab.client.delete("/v1/datasets/colours", params={"force": True})

    assert job["id"] in document["detail"]
    assert forced.status_code == 204
    problem(lab.client.get(f"/v1/datasets/{found['id']}"), 404, "not_found")
    assert left_on_disk() == set()


def test_content_is_kept_until_its_last_version_goes(lab: Lab) -> None:
    added(lab, name="one")
    added(lab, name="two")

    lab.client.delete("/v1/datasets/one").raise_for_status()
    kept = lab.get("/v1/datasets/two/preview")
    lab.client.delete("/v1/datasets/two").raise_for_status()

    assert len(kept["rows"]) == 4
    assert left_on_disk() == set()


@on_sqlite
def test_what_killed_processes_left_is_removed_and_nothing_else(lab: Lab) -> None:
    kept = added(lab)
    uploads = settings().folder / "uploads"
    (uploads / "dead" / "files").mkdir(parents=True)
    (uploads / "dead.lock").touch()
    orphan = folders.absolute(folders.dataset("f" * 64))
    orphan.mkdir()

    with datasets.staging() as living:
        datasets.remove_leftovers()

        assert living.exists()
        assert not (uploads / "dead").exists()
    assert left_on_disk() == {f"datasets/{kept['sha256']}"}


@on_sqlite
def test_a_stored_data_set_is_not_changed_by_another_upload(lab: Lab) -> None:
    found = added(lab)
    folder = folders.absolute(folders.dataset(found["sha256"]))
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}

    added(lab)

    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before
