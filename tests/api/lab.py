"""A service under test: real HTTP on a free port, and the ledger behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from sqlalchemy import insert
from sqlalchemy.pool import QueuePool

from api.app import create_app
from api.settings import Settings
from catalog import ids, jobs
from catalog.jobs import Claim
from catalog.models import Registration
from catalog.session import engine, transaction
from catalog.tables import Dataset
from trainer.spec.data.schema import Column, Part, Schema, Value

DIGITS = Schema(
    rows=1000,
    parts=(
        Part(name="train", start=0, stop=900),
        Part(name="test", start=900, stop=1000),
    ),
    columns=(
        Column(name="image", kind="image", shape=(8, 8, 1)),
        Column(
            name="label",
            kind="integer",
            distinct=10,
            values=tuple(Value(value=n, count=100, train=90) for n in range(10)),
            minimum=0,
            maximum=9,
        ),
    ),
    target="label",
    source="images",
)

FLOWERS = Schema(
    rows=150,
    parts=(Part(name="train", start=0, stop=150),),
    columns=(
        Column(name="length", kind="number", minimum=1, maximum=7, mean=4, deviation=1),
        Column(name="width", kind="number", minimum=0, maximum=3, mean=1, deviation=1),
        Column(
            name="species",
            kind="category",
            categories=("setosa", "virginica"),
            distinct=2,
            values=(
                Value(value="setosa", count=75, train=75),
                Value(value="virginica", count=75, train=75),
            ),
        ),
    ),
    target="species",
)


class Lab:
    """The service, its data sets, and a hand that plays the worker."""

    def __init__(self, url: str, client: httpx.Client) -> None:
        self.url, self.client = url, client
        self.digits = add_dataset("digits", DIGITS)
        self.flowers = add_dataset("flowers", FLOWERS)

    def spec(self, **changes: Any) -> dict[str, Any]:
        """Return a short spec that is accepted."""
        return {
            "name": "digits",
            "dataset": {"id": "digits"},
            "network": {
                "defaults": {"normalization": "none"},
                "layers": [{"name": "hidden1", "kind": "dense", "units": 20}],
            },
            **changes,
        }

    def submit(self, **changes: Any) -> dict[str, Any]:
        """Have a job accepted."""
        answer = self.client.post("/v1/jobs", json=self.spec(**changes))
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of an answer that must succeed."""
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def claim(self) -> Claim:
        """Take the job that is first in the queue, as a worker would."""
        with transaction() as session:
            found = jobs.claim(session, "hand")
        assert found is not None
        return found

    def succeed(
        self, claim: Claim, *, accuracy: float = 0.9, source: str | None = None
    ) -> str:
        """End a job with a model; return the model's id."""
        with transaction() as session:
            job = jobs.succeed(session, claim, registration(claim, accuracy, source))
        assert job.model_id is not None
        return job.model_id

    def model(self, name: str = "digits", **ending: Any) -> str:
        """Make a model of that name; return its id."""
        self.submit(name=name)
        return self.succeed(self.claim(), **ending)


def add_dataset(name: str, schema: Schema) -> str:
    """Enter a data set; return its id."""
    dataset_id = ids.new_id("ds")
    with transaction() as session:
        session.execute(
            insert(Dataset).values(
                id=dataset_id,
                name=name,
                version=1,
                sha256="0" * 64,
                folder=f"datasets/{dataset_id}",
                rows=schema.rows,
                bytes=100,
                schema=schema.model_dump(mode="json"),
                report={},
                options={},
            )
        )
    return dataset_id


def registration(claim: Claim, accuracy: float, source: str | None) -> Registration:
    """Return a model as a supervisor hands it over."""
    layers = [
        _layer("hidden1", [20, 64], f"{source}/hidden1" if source else None),
        _layer("output", [10, 20], None),
    ]
    return Registration(
        folder=f"models/{claim.job_id}-a{claim.attempt}",
        description={
            "format": 1,
            "task": "classification",
            "classes": list(range(10)),
            "target": ["label"],
            "layers": layers,
            "preprocessing": {
                "format": 1,
                "columns": [{"name": "image", "kind": "image", "shape": [8, 8, 1]}],
                "shape": [1, 8, 8],
            },
        },
        metrics={"test_accuracy": accuracy, "validation_loss": 1 - accuracy},
        monitored={"name": "validation_loss", "value": 1 - accuracy, "mode": "min"},
        files={"weights.safetensors": {"sha256": "2" * 64, "bytes": 10}},
        sources=[source] if source else [],
    )


def _layer(name: str, shape: list[int], source: str | None) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "dense",
        "inputs": ["input"],
        "output_shape": shape[:1],
        "parameters": shape[0] * shape[1] + shape[0],
        "frozen": source is not None,
        "source": source,
        "tensors": [
            {"name": f"{name}.weight", "shape": shape, "dtype": "float32"},
            {"name": f"{name}.bias", "shape": shape[:1], "dtype": "float32"},
        ],
    }


@contextmanager
def serving(**changes: Any) -> Iterator[str]:
    """Serve the application on a free port; give its address."""
    app = create_app(Settings(**changes))
    config = uvicorn.Config(app, "127.0.0.1", 0, log_level="warning", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


def connections_in_use() -> int:
    """Return how many database connections are not in the pool."""
    pool = engine().pool
    assert isinstance(pool, QueuePool)
    return pool.checkedout()


def until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something is so; fail if it does not come to be."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


def problem(answer: httpx.Response, status: int, code: str) -> Mapping[str, Any]:
    """Return the problem document of a refusal, having checked what all must have."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["code"] == code, document
    assert document["status"] == status
    assert document["request_id"] == answer.headers["x-request-id"]
    assert document["type"] == f"urn:frostline:problem:{code}"
    assert document["title"]
    assert document["detail"]
    return document


def faults(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return where something is wrong, and what."""
    return [(fault["pointer"], fault["code"]) for fault in document["errors"]]
