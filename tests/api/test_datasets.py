"""Data sets over HTTP: whole when they are answered, and kept as they are."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from catalog import folders
from tests.api.lab import Lab, problem
from tests.api.posting import TABLE, added, left_on_disk, upload
from tests.catalog.uploads import idx

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what happens before the ledger is asked."""


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
def test_the_file_a_path_names_is_called_by_its_last_piece(lab: Lab) -> None:
    files = {"file": ("../../etc/my table.csv", TABLE)}

    found = lab.client.post("/v1/datasets", files=files).json()

    assert found["report"]["files"][0]["name"] == "my table.csv"
    assert found["name"] == "my-table"


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
def test_a_stored_data_set_is_not_changed_by_another_upload(lab: Lab) -> None:
    found = added(lab)
    folder = folders.absolute(folders.dataset(found["sha256"]))
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}

    added(lab)

    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before
