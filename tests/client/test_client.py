"""The Python client against a running service: verbs, waiting, following, errors."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frostline import Client, errors
from tests.servers import free_port
from tests.stack import Stack

pytestmark = pytest.mark.parametrize("stack", ["sqlite"], indirect=True)


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    """Return a client of the running service."""
    with stack.client() as found:
        yield found


@pytest.fixture
def spec(client: Client) -> dict[str, Any]:
    """Return a spec whose job takes a moment."""
    dataset = client.datasets.add_from("sklearn:iris")
    return {
        "name": "client-iris",
        "dataset": {"id": dataset.id},
        "network": {"layers": [{"name": "hidden", "kind": "dense", "units": 8}]},
        "training": {"epochs": 3},
    }


@pytest.fixture
def endless(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a spec whose job does not end by itself."""
    training = {"epochs": 1_000_000, "early_stopping": "none"}
    return spec | {"name": "client-endless", "training": training}


def test_files_become_a_data_set(client: Client, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,kind\n" + "1,x\n2,y\n" * 20)

    added = client.datasets.add(table, name="client-table", target="kind")

    assert (added.name, added.rows) == ("client-table", 40)
    assert client.datasets.get("client-table").id == added.id
    assert client.datasets.report(added.id)["rows"] == 40
    assert len(client.datasets.preview(added.id)["rows"]) == 10
    assert added.id in [one.id for one in client.datasets.each()]
    client.datasets.delete(added.id)
    with pytest.raises(errors.NotFound):
        client.datasets.get(added.id)


def test_a_job_is_submitted_followed_and_its_model_used(
    client: Client, spec: dict[str, Any], tmp_path: Path
) -> None:
    job = client.jobs.submit(spec)

    events = list(client.jobs.follow(job.id))

    assert events[-1].type == "done"
    ended = client.jobs.wait(job.id)
    assert ended.status == "succeeded"
    assert {row["name"] for row in client.jobs.metrics(job.id)} >= {"train_loss"}
    model = client.models.get(ended.model or "")
    preview = client.datasets.preview(spec["dataset"]["id"])["rows"][0]
    row = {name: value for name, value in preview.items() if name != "label"}
    answer = client.models.predict(model.id, [row])
    assert answer["predictions"][0]["class"] in {"setosa", "versicolor", "virginica"}
    saved = client.models.download(model.id, tmp_path / "model")
    assert {path.name for path in saved} >= {"model.json", "weights.safetensors"}


def test_a_stream_goes_on_after_the_last_event_that_arrived(
    client: Client, spec: dict[str, Any]
) -> None:
    job = client.jobs.submit(spec)
    everything = list(client.jobs.follow(job.id))

    rest = list(client.jobs.follow(job.id, after=everything[1].id))

    assert [event.id for event in rest] == [event.id for event in everything[2:]]


def test_the_same_key_makes_one_job(client: Client, spec: dict[str, Any]) -> None:
    first = client.jobs.submit(spec, "client-key")

    assert client.jobs.submit(spec, "client-key").id == first.id
    assert client.jobs.submit(spec).id != first.id


def test_a_dry_run_stores_nothing(client: Client, spec: dict[str, Any]) -> None:
    found = client.jobs.dry_run(spec | {"name": "client-dry"})

    assert [layer["name"] for layer in found["layers"]] == ["hidden", "output"]
    assert client.jobs.page(name="client-dry").data == []


def test_a_job_is_paused_resumed_and_cancelled(
    client: Client, endless: dict[str, Any]
) -> None:
    job = client.jobs.submit(endless)

    assert client.jobs.pause(job.id).status in {"pausing", "paused"}
    with pytest.raises(errors.TooSlow, match="it goes on"):
        client.jobs.wait(job.id, seconds=0.1)
    stopped = threading.Event()
    while client.jobs.get(job.id).status != "paused":
        assert not stopped.wait(0.1)
    assert client.jobs.resume(job.id).status in {"queued", "running"}
    client.jobs.cancel(job.id)

    with pytest.raises(errors.NotSucceeded, match="cancelled") as ended:
        client.jobs.wait(job.id, seconds=60)
    assert ended.value.status == "cancelled"
    with pytest.raises(errors.Conflict):
        client.jobs.resume(job.id)


def test_a_refusal_names_the_place_and_the_remedy(
    client: Client, spec: dict[str, Any]
) -> None:
    spec["network"]["layers"][0]["unit"] = 3

    with pytest.raises(errors.Invalid) as refused:
        client.jobs.submit(spec)

    (problem,) = refused.value.problems
    assert problem.pointer == "/network/layers/0/unit"
    assert problem.suggestion == "units"
    assert str(refused.value).count("there is no field") == 1


def test_what_is_not_there_is_told_as_such(client: Client) -> None:
    with pytest.raises(errors.NotFound):
        client.models.get("no-such-model")


def test_lists_go_on_over_pages(client: Client, spec: dict[str, Any]) -> None:
    made = [client.jobs.submit(spec | {"name": "client-page"}).id for _ in range(3)]

    page = client.jobs.page(limit=2, name="client-page")
    rest = client.jobs.page(limit=2, name="client-page", cursor=page.next_cursor)

    assert [job.id for job in page.data + rest.data] == made[::-1]
    assert not rest.has_more
    assert [job.id for job in client.jobs.each(name="client-page")] == made[::-1]


def test_techniques_and_limits_are_told(client: Client) -> None:
    families = {one["family"] for one in client.techniques()["data"]}

    assert {"layers", "optimizers"} <= families
    assert client.limits()


def test_no_server_is_one_sentence(stack: Stack) -> None:
    told = pytest.raises(errors.Unreachable, match="start one with `frostline up`")
    with Client(f"http://127.0.0.1:{free_port()}") as nobody, told:
        nobody.jobs.get("job_1")
