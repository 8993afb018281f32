"""Zoos over HTTP: what lies in a folder, what may be said of it, what stays outside."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save

from frostline import Client
from tests.api.lab import Lab, problem, serving
from tests.api.test_model_imports import CONVOLUTIONS

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NETWORK = {
    "defaults": {"normalization": "none", "dropout": 0, "activation": "relu"},
    "layers": [{"name": "hidden", "kind": "dense", "units": 3}],
}
KNOWN = {
    "license": "MIT",
    "description": "Two classes of four columns.",
    "classes": ["left", "right"],
    "input": {"shape": [4]},
    "preprocessing": {"divide_by": 1},
    "network": NETWORK,
}


def weights(seed: int = 0) -> bytes:
    draw = np.random.default_rng(seed).standard_normal
    return save(
        {
            "hidden.weight": draw((3, 4)).astype(np.float32),
            "hidden.bias": np.zeros(3, np.float32),
            "output.weight": draw((2, 3)).astype(np.float32),
            "output.bias": np.zeros(2, np.float32),
        }
    )


def put(folder: Path, name: str, content: bytes | Mapping[str, Any]) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(text)
    return path


@pytest.fixture
def zoo(ledger: Path) -> Path:
    folder = ledger / "zoo"
    put(folder, "digits.safetensors", weights())
    put(folder, "digits.json", KNOWN)
    return folder


def load(lab: Lab, model: str, **said: Any) -> httpx.Response:
    body = {"zoo": "folder", "model": model, **said}
    return lab.client.post("/v1/models/import", json=body)


def loaded(lab: Lab, model: str, **said: Any) -> Any:
    answer = load(lab, model, **said)
    assert answer.status_code == 201, answer.text
    return answer.json()


def names(lab: Lab, **query: Any) -> list[str]:
    return [m["name"] for m in lab.get("/v1/zoos/folder/models", **query)["data"]]


def refused(answer: httpx.Response, code: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = problem(answer, 422, "invalid_input")["errors"][0]
    assert found["code"] == code, found
    return found


def test_the_import_request_that_a_zoo_shows_loads_the_model(
    lab: Lab, zoo: Path
) -> None:
    (shown,) = lab.get("/v1/zoos/folder/models")["data"]

    answer = lab.client.post("/v1/models/import", json=shown["import_request"])

    assert shown["format"] == "safetensors"
    assert shown["license"] == "MIT"
    assert shown["description"] == "Two classes of four columns."
    assert shown["bytes"] == len(weights())
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == "digits"


def test_a_zoos_model_is_what_an_upload_of_the_same_file_makes(
    lab: Lab, zoo: Path
) -> None:
    mine = loaded(lab, "digits.safetensors")
    sent = lab.client.post(
        "/v1/models/import",
        files=[("file", ("digits.safetensors", weights()))],
        data={"spec": json.dumps(KNOWN)},
    ).json()

    assert mine["files"]["weights.safetensors"] == sent["files"]["weights.safetensors"]
    assert mine["layers"] == sent["layers"]
    mine_told, sent_told = mine["card"]["import"], sent["card"]["import"]
    assert mine_told.pop("zoo") == {"zoo": "folder", "model": "digits.safetensors"}
    assert sent_told.pop("zoo") is None
    assert mine_told == sent_told
    assert mine_told["license"] == "MIT"
    assert len(mine_told["files"][0]["sha256"]) == 64


def test_what_the_request_says_wins_over_the_zoo(lab: Lab, zoo: Path) -> None:
    model = loaded(
        lab, "digits.safetensors", license="BSD", preprocessing={"divide_by": 16}
    )

    assert model["card"]["import"]["license"] == "BSD"
    assert model["description"] == "Two classes of four columns."


def test_a_zoo_yaml_speaks_for_its_folder_and_a_models_own_file_wins(
    lab: Lab, zoo: Path
) -> None:
    put(zoo, "small/one.safetensors", weights(1))
    put(zoo, "small/two.safetensors", weights(2))
    put(zoo, "small/two.yaml", b"license: of its own")
    about = {"models": {"one.safetensors": {"license": "of the list"}}}
    put(zoo, "small/zoo.json", {"defaults": KNOWN, **about})

    shown = lab.get("/v1/zoos/folder/models", q="small")["data"]

    told = {model["name"]: model["license"] for model in shown}
    assert told == {
        "small/one.safetensors": "of the list",
        "small/two.safetensors": "of its own",
    }
    assert loaded(lab, "small/two.safetensors")["name"] == "two"


def test_published_weights_are_loaded_from_a_zoo(
    lab: Lab, zoo: Path, test_data: Path
) -> None:
    source = test_data / "weights" / "safetensors" / "mnist.safetensors"
    put(zoo, "mnist.safetensors", source.read_bytes())
    about = {"input": {"shape": [1, 28, 28]}, "preprocessing": {"divide_by": 1}}
    put(zoo, "mnist.json", {"network": CONVOLUTIONS, **about})

    model = loaded(lab, "mnist.safetensors", classes=list(range(10)))

    assert model["layers"][0]["name"] == "conv1"
    assert model["card"]["import"]["files"][0]["sha256"].startswith("22972e10")


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_the_pages_of_a_zoo_together_are_the_zoo(
    lab: Lab, zoo: Path, limit: int
) -> None:
    wanted = [f"m{n}.npz" for n in range(7)]
    for name in wanted:
        put(zoo, name, b"")
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = lab.get("/v1/zoos/folder/models", q="npz", limit=limit, **cursor)
        assert len(page["data"]) <= limit
        found += [model["name"] for model in page["data"]]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert found == wanted
    assert page["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["!", "W10", "eyJhIjoxfQ", "WyJ6b28iLDFd", "bm8"])
def test_a_cursor_that_was_not_made_here_is_refused(
    lab: Lab, zoo: Path, cursor: str
) -> None:
    answer = lab.client.get("/v1/zoos/folder/models", params={"cursor": cursor})

    problem(answer, 422, "malformed_cursor")


@pytest.mark.parametrize("words", ["mit", "CLASSES four", "safetensors digits"])
def test_a_search_finds_all_words_wherever_they_stand(
    lab: Lab, zoo: Path, words: str
) -> None:
    put(zoo, "other.npz", b"")

    assert names(lab, q=words) == ["digits.safetensors"]


@pytest.mark.parametrize(
    "name",
    [
        "../outside.safetensors",
        "sub/../../outside.safetensors",
        "/etc/passwd",
        "./digits.safetensors",
        "digits.json",
        "Digits.safetensors",
        "a\\..\\digits.safetensors",
    ],
)
def test_a_name_that_is_not_in_the_list_is_no_path(
    lab: Lab, zoo: Path, name: str
) -> None:
    put(zoo.parent, "outside.safetensors", weights())

    found = refused(load(lab, name), "unknown_zoo_model")

    assert found["pointer"] == "/model"


def test_a_name_that_is_nearly_right_gets_the_right_one(lab: Lab, zoo: Path) -> None:
    found = refused(load(lab, "digit.safetensors"), "unknown_zoo_model")

    assert found["suggestion"] == "digits.safetensors"


@pytest.fixture
def outside(zoo: Path) -> Path:
    folder = zoo.parent / "outside"
    put(folder, "secret.safetensors", weights())
    put(folder, "secret.json", KNOWN)
    return folder


def test_links_and_what_is_no_file_are_not_there(
    lab: Lab, zoo: Path, outside: Path
) -> None:
    (zoo / "link.safetensors").symlink_to(outside / "secret.safetensors")
    (zoo / "folder").symlink_to(outside)
    os.mkfifo(zoo / "pipe.safetensors")
    put(zoo, ".hidden/one.npz", b"")

    assert names(lab) == ["digits.safetensors"]
    refused(load(lab, "link.safetensors"), "unknown_zoo_model")
    refused(load(lab, "folder/secret.safetensors"), "unknown_zoo_model")
    refused(load(lab, "pipe.safetensors"), "unknown_zoo_model")


def test_a_link_is_no_declaration(lab: Lab, zoo: Path, outside: Path) -> None:
    put(zoo, "secret.safetensors", weights())
    (zoo / "secret.json").symlink_to(outside / "secret.json")

    (shown,) = lab.get("/v1/zoos/folder/models", q="secret")["data"]

    assert shown["license"] is None


def test_further_files_of_a_model_are_names_beside_it(
    lab: Lab, zoo: Path, outside: Path
) -> None:
    put(zoo, "far.onnx", b"")
    put(zoo, "far.json", {"files": ["../outside/secret.safetensors"]})
    put(zoo, "gone.onnx", b"")
    put(zoo, "gone.json", {"files": ["gone.bin"]})

    far = refused(load(lab, "far.onnx"), "invalid_declaration")

    assert "far.json" in far["detail"]
    assert "gone.bin" in refused(load(lab, "gone.onnx"), "missing_file")["detail"]


def test_a_broken_declaration_is_shown_and_stops_only_its_import(
    lab: Lab, zoo: Path
) -> None:
    put(zoo, "sub/sound.safetensors", weights())
    put(zoo, "sub/sound.json", KNOWN)
    put(zoo, "zoo.yaml", b"models: [")

    broken, sound = lab.get("/v1/zoos/folder/models")["data"]

    assert broken["problem"].startswith("zoo.yaml: the file is not YAML: line")
    assert sound["problem"] is None
    fault = refused(load(lab, "digits.safetensors"), "invalid_declaration")
    assert fault["detail"] == broken["problem"]
    assert loaded(lab, "sub/sound.safetensors")["name"] == "sound"


def test_a_file_that_lies_about_itself_is_refused_as_an_upload_is(
    lab: Lab, zoo: Path
) -> None:
    put(zoo, "digits.safetensors", (2**60).to_bytes(8, "little") + b"{}")

    problem(load(lab, "digits.safetensors"), 422, "invalid_import")


@pytest.fixture
def small(ledger: Path) -> Iterator[httpx.Client]:
    """Serve with a bound of a megabyte on uploads."""
    with (
        serving(upload_bytes=1_000_000) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield client


def test_a_model_larger_than_an_upload_may_be_is_refused_before_it_is_read(
    lab: Lab, zoo: Path, small: httpx.Client
) -> None:
    with (zoo / "huge.npz").open("wb") as file:
        file.truncate(2**40)  # a hole: it takes no room

    body = {"zoo": "folder", "model": "huge.npz"}
    answer = small.post("/v1/models/import", json=body)

    found = problem(answer, 413, "import_too_large")["errors"][0]
    assert found["code"] == "too_many_bytes"
    assert "1,000,000 bytes" in found["detail"]


def test_a_server_without_the_folder_says_how_to_make_one(lab: Lab) -> None:
    (view,) = [z for z in lab.get("/v1/zoos")["data"] if z["name"] == "folder"]

    assert view["available"] is False
    assert "FROSTLINE_ZOO" in view["detail"]
    listed = lab.client.get("/v1/zoos/folder/models")
    assert refused(listed, "zoo_unavailable")["pointer"] == "/zoo"
    refused(load(lab, "digits.safetensors"), "zoo_unavailable")


@pytest.mark.parametrize("name", ["huggingface", "timm", "torchvision"])
def test_a_librarys_zoo_is_named_and_says_what_to_do_instead(
    lab: Lab, zoo: Path, name: str
) -> None:
    (view,) = [z for z in lab.get("/v1/zoos")["data"] if z["name"] == name]

    assert view["kind"] == "library"
    assert view["available"] is False
    body = {"zoo": name, "model": "resnet18"}
    found = refused(lab.client.post("/v1/models/import", json=body), "zoo_unavailable")
    assert view["detail"] in found["detail"]
    assert "safetensors" in found["detail"]


def test_an_unknown_zoo_is_unknown(lab: Lab, zoo: Path) -> None:
    problem(lab.client.get("/v1/zoos/bronx/models"), 404, "not_found")
    body = {"zoo": "bronx", "model": "tiger"}
    answer = lab.client.post("/v1/models/import", json=body)
    assert refused(answer, "unknown_zoo")["pointer"] == "/zoo"


def test_a_client_searches_and_imports_by_name(lab: Lab, zoo: Path) -> None:
    with Client(lab.url) as client:
        (found,) = client.zoos.each("folder", "digits")
        model = client.models.import_from("folder", found.name, name="mine")
        shelves = {one.name: one.available for one in client.zoos.list()}

    assert model.name == "mine"
    assert shelves["folder"] is True
