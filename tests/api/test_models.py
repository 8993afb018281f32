"""The catalog over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog import models
from catalog.session import reading, transaction
from catalog.tables import Model
from tests.api.lab import Lab, faults, problem, until

WEIGHTS = bytes(range(256)) * 40


def place_files(ledger: Path, model_id: str) -> Path:
    """Write the file that a model's row tells of."""
    with reading() as session:
        folder = ledger / session.get_one(Model, model_id).folder
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(WEIGHTS)
    (folder / "secret.txt").write_text("not of the model")
    return folder


def test_a_model_is_shown_whole(lab: Lab) -> None:
    model_id = lab.model(accuracy=0.9)

    model = lab.get(f"/v1/models/{model_id}")

    assert (model["name"], model["version"]) == ("digits", 1)
    assert model["aliases"] == ["best", "latest"]
    assert model["metrics"]["test_accuracy"] == model["accuracy"] == 0.9
    assert [layer["name"] for layer in model["layers"]] == ["hidden1", "output"]
    assert model["lineage"]["dataset"]["name"] == "digits"
    assert model["lineage"]["job"] == model["job"]
    assert model["card"]["classes"] == list(range(10))
    assert model["files"]["weights.safetensors"]["bytes"] == 10
    assert model["is_ready"] is False


@pytest.mark.parametrize(
    ("reference", "version"),
    [("digits", 2), ("digits@latest", 2), ("digits@best", 1), ("digits@1", 1)],
)
def test_a_model_has_several_names(lab: Lab, reference: str, version: int) -> None:
    lab.model(accuracy=0.9)
    lab.model(accuracy=0.8)

    assert lab.get(f"/v1/models/{reference}")["version"] == version


@pytest.mark.parametrize(
    "reference",
    [
        "nothing",
        "digits@3",
        "digits@none",
        "mdl_x",
        "digits@99999999999999",
        "@",
        "a b",
    ],
)
def test_a_model_that_is_not_there_is_a_404(lab: Lab, reference: str) -> None:
    lab.model()

    problem(lab.client.get(f"/v1/models/{reference}"), 404, "not_found")


def test_the_catalog_can_be_searched(lab: Lab) -> None:
    lab.submit(name="tagged", tags=["mine"])
    lab.succeed(lab.claim(), accuracy=0.95)
    lab.model("plain", accuracy=0.5)
    lab.client.patch("/v1/models/plain", json={"description": "The Plain one, 100%"})

    def found(**query: object) -> list[str]:
        return [model["name"] for model in lab.get("/v1/models", **query)["data"]]

    assert found() == ["plain", "tagged"]
    assert found(tag="mine") == ["tagged"]
    assert found(min_accuracy=0.9) == ["tagged"]
    assert found(task="classification", dataset="digits") == ["plain", "tagged"]
    assert found(task="regression") == []
    assert found(dataset="flowers@1") == []
    assert found(q="LAIN") == ["plain"]
    assert found(q="100%") == ["plain"]
    assert found(q="%") == ["plain"]
    assert found(sort="accuracy") == ["plain", "tagged"]
    assert found(sort="-accuracy") == ["tagged", "plain"]
    assert found(sort="-name") == ["tagged", "plain"]


def test_the_catalog_comes_in_pages(lab: Lab) -> None:
    for number, accuracy in enumerate((0.7, 0.7, 0.9)):
        lab.model(f"n{number}", accuracy=accuracy)

    first = lab.get("/v1/models", sort="-accuracy", limit=2)
    second = lab.get(
        "/v1/models", sort="-accuracy", limit=2, cursor=first["next_cursor"]
    )

    names = [model["name"] for model in first["data"] + second["data"]]
    assert names == ["n2", "n1", "n0"]
    assert second["has_more"] is False
    other = lab.client.get(f"/v1/models?sort=name&cursor={first['next_cursor']}")
    problem(other, 422, "malformed_cursor")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "sort=beauty", "min_accuracy=nan", "cursor=x"]
)
def test_a_malformed_search_is_refused(lab: Lab, query: str) -> None:
    answer = lab.client.get(f"/v1/models?{query}")

    assert answer.status_code == 422
    assert answer.json()["errors"] or answer.json()["code"] == "malformed_cursor"


def test_layers_are_listed_in_order(lab: Lab) -> None:
    model_id = lab.model()

    layers = lab.get(f"/v1/models/{model_id}/layers")["data"]

    assert [layer["name"] for layer in layers] == ["hidden1", "output"]
    assert layers[0]["tensors"][0]["shape"] == [20, 64]


def test_the_lineage_goes_down_to_the_layer_and_up_to_the_users(lab: Lab) -> None:
    source = lab.model("source")
    user = lab.model("user", source=source)

    down = lab.get(f"/v1/models/{user}/lineage")
    up = lab.get(f"/v1/models/{source}/lineage")

    assert [model["id"] for model in down["sources"]] == [source]
    hidden = {"layer": "hidden1", "source": f"{source}/hidden1", "frozen": True}
    assert down["layers"][0] == hidden
    assert [(m["id"], m["layers"]) for m in up["dependants"]] == [(user, [hidden])]


def test_a_file_is_sent_whole_or_in_part(lab: Lab, ledger: Path) -> None:
    model_id = lab.model()
    place_files(ledger, model_id)
    path = f"/v1/models/{model_id}/files/weights.safetensors"

    whole = lab.client.get(path)
    part = lab.client.get(path, headers={"Range": "bytes=10-19"})
    end = lab.client.get(path, headers={"Range": "bytes=-5"})

    assert (whole.status_code, whole.content) == (200, WEIGHTS)
    assert (part.status_code, part.content) == (206, WEIGHTS[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(WEIGHTS)}"
    assert end.content == WEIGHTS[-5:]


@pytest.mark.parametrize(
    "asked", ["bytes=5-1", "lines=1-2", "bytes=0-1,5-6", "bytes=-", "nonsense"]
)
def test_a_range_that_makes_no_sense_is_ignored(
    lab: Lab, ledger: Path, asked: str
) -> None:
    model_id = lab.model()
    place_files(ledger, model_id)
    path = f"/v1/models/{model_id}/files/weights.safetensors"

    answer = lab.client.get(path, headers={"Range": asked})

    assert (answer.status_code, answer.content) == (200, WEIGHTS)


def test_a_range_outside_of_the_file_is_refused(lab: Lab, ledger: Path) -> None:
    model_id = lab.model()
    place_files(ledger, model_id)
    path = f"/v1/models/{model_id}/files/weights.safetensors"

    answer = lab.client.get(path, headers={"Range": "bytes=99999-"})

    problem(answer, 416, "unsatisfiable_range")
    assert answer.headers["content-range"] == f"bytes */{len(WEIGHTS)}"


@pytest.mark.parametrize(
    "name",
    [
        "secret.txt",
        "model.onnx",
        "..%2Fsecret.txt",
        "%2e%2e%2fsecret.txt",
        "..%5csecret.txt",
        "%252e%252e%252fsecret.txt",
        "weights.safetensors%2F..%2Fsecret.txt",
    ],
)
def test_only_files_of_the_model_are_sent(lab: Lab, ledger: Path, name: str) -> None:
    model_id = lab.model()
    place_files(ledger, model_id)

    answer = lab.client.get(f"/v1/models/{model_id}/files/{name}")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_tags_and_description_can_be_changed(lab: Lab) -> None:
    model_id = lab.model()
    path = f"/v1/models/{model_id}"

    changed = lab.client.patch(path, json={"tags": ["a", "a"], "description": "x"})
    cleared = lab.client.patch(path, json={"description": None})

    assert (changed.json()["tags"], changed.json()["description"]) == (["a"], "x")
    assert (cleared.json()["tags"], cleared.json()["description"]) == (["a"], None)


@pytest.mark.parametrize(
    ("patch", "place", "code"),
    [
        ({"version": 7}, "", "unknown_field"),
        ({"tags": [""]}, "/tags/0", "string_too_short"),
        ({"tags": "a"}, "/tags", "list_type"),
    ],
)
def test_nothing_else_can_be_changed(
    lab: Lab, patch: dict[str, object], place: str, code: str
) -> None:
    model_id = lab.model()

    answer = lab.client.patch(f"/v1/models/{model_id}", json=patch)

    document = problem(answer, 422, "invalid_input")
    assert code in [found for _, found in faults(document)]
    assert faults(document)[0][0].startswith(place)


def test_an_alias_of_ones_own_points_where_it_is_told(lab: Lab) -> None:
    first = lab.model()
    lab.model()

    answer = lab.client.put(
        "/v1/models/digits/aliases/production", json={"model": "digits@1"}
    )

    assert answer.json() == {
        "name": "digits",
        "alias": "production",
        "model": first,
        "version": 1,
    }
    assert lab.get("/v1/models/digits@production")["id"] == first
    gone = lab.client.delete("/v1/models/digits/aliases/production")
    assert gone.status_code == 204
    problem(lab.client.get("/v1/models/digits@production"), 404, "not_found")


@pytest.mark.parametrize(
    ("alias", "status", "code"),
    [
        ("latest", 409, "name_taken"),
        ("best", 409, "name_taken"),
        ("7", 409, "name_taken"),
        ("a%20b", 422, "invalid_input"),
        ("-a", 422, "invalid_input"),
    ],
)
def test_some_aliases_are_not_for_people(
    lab: Lab, alias: str, status: int, code: str
) -> None:
    lab.model()

    answer = lab.client.put(
        f"/v1/models/digits/aliases/{alias}", json={"model": "digits"}
    )

    problem(answer, status, code)


def test_an_alias_stays_within_its_name(lab: Lab) -> None:
    lab.model("digits")
    lab.model("other")

    answer = lab.client.put("/v1/models/digits/aliases/a", json={"model": "other"})

    problem(answer, 404, "not_found")


def test_a_deleted_model_is_gone_with_its_files(lab: Lab, ledger: Path) -> None:
    model_id = lab.model()
    folder = place_files(ledger, model_id)

    answer = lab.client.delete(f"/v1/models/{model_id}")

    assert answer.status_code == 204
    problem(lab.client.get(f"/v1/models/{model_id}"), 404, "not_found")
    problem(lab.client.get("/v1/models/digits"), 404, "not_found")
    assert lab.get("/v1/models")["data"] == []
    until(lambda: not folder.exists())


def test_a_model_that_others_depend_on_is_kept_unless_forced(lab: Lab) -> None:
    source = lab.model("source")
    user = lab.model("user", source=source)

    refused = lab.client.delete(f"/v1/models/{source}")
    forced = lab.client.delete(f"/v1/models/{source}?force=true")

    assert user in problem(refused, 409, "in_use")["detail"]
    assert forced.status_code == 204
    kept = lab.get(f"/v1/models/{user}/lineage")["sources"][0]
    assert (kept["id"], kept["is_deleted"]) == (source, True)


def test_a_model_that_a_waiting_job_needs_is_kept(lab: Lab) -> None:
    source = lab.model("source")
    job = lab.submit(name="user", reuse=[{"from": "source"}])

    refused = lab.client.delete(f"/v1/models/{source}")

    assert job["id"] in problem(refused, 409, "in_use")["detail"]


def test_a_file_that_is_not_on_the_disk_is_a_404(lab: Lab) -> None:
    model_id = lab.model()

    answer = lab.client.get(f"/v1/models/{model_id}/files/weights.safetensors")

    problem(answer, 404, "not_found")


def test_a_graph_that_is_written_makes_the_model_ready(lab: Lab) -> None:
    model_id = lab.model()
    with transaction() as session:
        models.exported(session, model_id, {}, {"model.onnx": {"bytes": 5}})

    model = lab.get(f"/v1/models/{model_id}")

    assert model["is_ready"] is True
    assert model["bytes"] == 15
