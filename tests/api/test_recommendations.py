"""POST /v1/datasets/{id}/recommend-sources, with real models and a real data set."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

from api.recommendations import chosen
from catalog import models
from catalog.models import Registration
from catalog.recommendations import NotCompared, compare, without_faulty
from catalog.session import reading, transaction
from catalog.settings import settings
from tests.api.lab import Lab, add_dataset, faults, problem
from trainer.data.dataset import Dataset, described
from trainer.export import export
from trainer.process.commands import Commands
from trainer.process.order import Order
from trainer.run import Run
from trainer.saved import model_folder
from trainer.spec.data import DatasetRef
from trainer.spec.transfer import Candidate, ModelFilter, RecommendationOrder

one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""The database is asked for models only; a child process takes a second to start."""
LOW = {"where": {"label": {"maximum": 4}}}


class Trained(Run):
    """A run on a data set that is open."""

    def __init__(self, order: Order, data: Dataset) -> None:
        super().__init__(order, Commands())
        self.data = data

    def assemble(self) -> Any:
        from trainer.assembly import assembled  # noqa: PLC0415 - beside its only use

        return assembled(self.order, self.data)


def trained(folder: Path, data: Dataset, units: int, **reference: Any) -> Path:
    """Train a small model and write its graph."""
    spec = {
        "name": folder.name,
        "dataset": {"id": "any", **reference},
        "network": {"layers": [{"kind": "dense", "name": "hidden1", "units": units}]},
        "training": {"epochs": 4, "seed": 2},
    }
    run = Trained(Order(spec=spec, dataset=Path("any"), model=folder), data)
    for _ in run.events():
        pass
    assert run.assembly is not None
    export(run.assembly.network, run.assembly.rows[:8], folder / "model.onnx")
    return folder


def pictures(side: int) -> Dataset:
    """Return pictures of any size, with labels that have nothing to do with them."""
    draw = np.random.default_rng(side)
    columns: dict[str, Any] = {
        "image": draw.integers(0, 256, (200, side, side)).astype(np.uint8),
        "label": draw.integers(0, 5, 200),
    }
    return described(Path("any"), {"train": columns}, "any")


@pytest.fixture(scope="module")
def handwriting() -> Dataset:
    """Return scikit-learn's digits."""
    digits = load_digits()
    columns: dict[str, Any] = {
        "image": digits.images.astype(np.uint8),
        "label": digits.target,
    }
    return described(Path("any"), {"train": columns}, "any")


@pytest.fixture(scope="module")
def trunks(handwriting: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of models: of low digits, of nonsense, of other pictures."""
    folder = tmp_path_factory.mktemp("trunks")
    trained(folder / "low", handwriting, 24, standardize=True, **LOW)
    trained(folder / "nonsense", pictures(8), 2)
    trained(folder / "large", pictures(10), 4)
    return folder


def entered(name: str, trunk: Path, *, exported: bool = True) -> str:
    """Enter a model into the catalog as a worker does; return its id."""
    relative = f"models/{name}"
    place = settings().folder / relative
    shutil.copytree(trunk, place)
    if not exported:
        (place / "model.onnx").unlink()
    registration = Registration(
        folder=relative,
        description=model_folder.read(place).description,
        metrics={},
        files={},
    )
    with transaction() as session:
        model = models.register(session, registration, name=name, dataset_id=None)
        if exported:
            models.exported(session, model.id, {}, {})
        return model.id


@pytest.fixture
def digits(lab: Lab, handwriting: Dataset) -> str:
    """Return scikit-learn's digits as a data set of the service."""
    dataset_id = add_dataset("real", handwriting.schema)
    columns = settings().folder / "datasets" / dataset_id / "columns"
    columns.mkdir(parents=True)
    schema = handwriting.schema.model_dump_json()
    (columns.parent / "dataset.json").write_text(schema)
    for number, column in enumerate(handwriting.schema.columns):
        np.save(columns / f"{number}.npy", handwriting.columns[column.name])
    return dataset_id


def asked(lab: Lab, which: str, **body: Any) -> Any:
    return lab.client.post(
        f"/v1/datasets/{which}/recommend-sources", json=body, timeout=100
    )


def recommended(lab: Lab, dataset: str, **body: Any) -> dict[str, Any]:
    answer = asked(lab, dataset, **body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@one_database
def test_sources_are_ranked_and_the_rest_has_reasons(
    lab: Lab, digits: str, trunks: Path
) -> None:
    low = entered("low", trunks / "low")
    entered("nonsense", trunks / "nonsense")
    entered("large", trunks / "large")
    entered("waiting", trunks / "low", exported=False)
    high = {"where": {"label": {"minimum": 5}}, "examples_per_class": 20}

    found = recommended(lab, digits, **high)

    assert found["object"] == "recommendation"
    assert [(s["rank"], s["reference"]) for s in found["sources"]] == [
        (1, "low@1"),
        (2, "nonsense@1"),
    ]
    best = found["sources"][0]
    assert best["model"] == low
    assert best["cut"] == "hidden1"
    assert best["probe"] > found["sources"][1]["probe"]
    assert {(left["reference"], left["code"]) for left in found["left_out"]} == {
        ("large@1", "other_inputs"),
        ("waiting@1", "not_exported"),
    }
    assert found["rows"] == {"train": 100, "validation": 90}
    assert found["baseline"]["shape"] == [1, 8, 8]
    assert found["metric"] == "accuracy"
    assert found["benchmark"]["kendall_tau"]["median"] >= 0.6
    assert found["benchmark"]["kendall_tau"]["least"] >= 0.4


def test_the_spec_of_the_answer_is_accepted_as_it_is(
    lab: Lab, digits: str, trunks: Path
) -> None:
    low = entered("low", trunks / "low")
    (source,) = recommended(lab, "real@1", examples_per_class=20)["sources"]

    job = lab.client.post("/v1/jobs", json=source["spec"])

    assert job.status_code == 202, job.text
    table = {line["layer"]: line for line in job.json()["reuse"]}
    assert table["hidden1"]["state"] == "frozen"
    assert table["hidden1"]["source"] == low
    assert table["output"]["state"] == "new"
    assert list(table.values()) == source["match"]
    assert source["reuse"] == source["spec"]["reuse"][0]


def test_only_the_models_that_are_asked_for_are_compared(
    lab: Lab, digits: str, trunks: Path
) -> None:
    low = entered("low", trunks / "low")
    entered("nonsense", trunks / "nonsense")
    lab.client.patch(f"/v1/models/{low}", json={"tags": ["good", "old"]})

    def names(**wanted: Any) -> list[str]:
        with reading() as session:
            found = chosen(session, ModelFilter(**wanted))
            return [f"{model.name}@{model.version}" for model in found]

    assert names(tags=["good", "old"]) == ["low@1"]
    assert names(names=["nonsense"]) == ["nonsense@1"]
    assert names(names=[low]) == ["low@1"]
    assert names(names=["low@best", "nonsense@1"], q="low") == ["low@1"]
    assert names() == ["nonsense@1", "low@1"]


@one_database
def test_an_empty_catalog_has_an_empty_answer_with_the_baseline(
    lab: Lab, digits: str
) -> None:
    found = recommended(lab, digits)

    assert found["sources"] == []
    assert found["baseline"]["probe"] > 0.8
    assert "no model" in found["warnings"][0]


@one_database
@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"target": "lable"}, "/target", "unknown_column"),
        ({"where": {"size": {"minimum": 1}}}, "/where/size", "unknown_column"),
        ({"models": {"names": ["nobody"]}}, "/models/names/0", "unknown_model"),
        ({"sample": 2}, "/sample", "greater_than_equal"),
        ({"score": "guess"}, "/score", "unknown_name"),
        ({"dataset": "real"}, "/dataset", "unknown_field"),
        ({"task": "reconstruction"}, "/task", "no_target"),
        ({"split": {"validation": {"part": "test"}}}, "/split/validation", None),
    ],
)
def test_what_cannot_be_compared_is_refused_with_its_place(
    lab: Lab, digits: str, body: dict[str, Any], pointer: str, code: str | None
) -> None:
    answer = asked(lab, digits, **body)

    assert answer.status_code == 422, answer.text
    (found,) = faults(answer.json())
    assert found[0] == pointer
    assert code in {None, found[1]}


@one_database
def test_rows_that_do_not_suffice_are_refused_with_the_reason(
    lab: Lab, digits: str
) -> None:
    split = {"validation": {"rows": [0, 900]}, "test": {"rows": [900, 1796]}}

    answer = asked(lab, digits, split=split)

    assert "too few" in problem(answer, 422, "not_compared")["detail"]


def test_an_unknown_data_set_is_not_found(lab: Lab) -> None:
    problem(asked(lab, "nothing"), 404, "not_found")


@one_database
def test_a_data_set_whose_files_are_gone_is_refused_not_a_crash(lab: Lab) -> None:
    answer = asked(lab, "flowers")

    assert answer.status_code == 422, answer.text


@one_database
def test_other_requests_are_answered_while_sources_are_compared(
    lab: Lab, digits: str, trunks: Path
) -> None:
    entered("low", trunks / "low")
    answers: list[Any] = []
    worker = threading.Thread(
        target=lambda: answers.append(recommended(lab, digits)), name="asking"
    )
    worker.start()
    waits = []
    while worker.is_alive():
        started = time.monotonic()
        assert lab.client.get("/v1/limits").status_code == 200
        waits.append(time.monotonic() - started)
    worker.join()

    assert len(waits) > 5
    assert np.median(waits) < 0.2
    assert answers[0]["compared"] == 1


def hungry(folder: Path) -> None:
    """Let a graph ask for more memory than there is."""
    model = onnx.load(folder / "model.onnx")
    size = numpy_helper.from_array(np.array([2**20, 2**20], np.int64), "size")
    model.graph.initializer.append(size)
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    huge = helper.make_node("ConstantOfShape", ["size"], ["huge"], value=value)
    first = model.graph.input[0].name
    flat = helper.make_node("ReduceMax", ["huge"], ["most"], keepdims=0)
    added = helper.make_node("Add", [first, "most"], ["fed"])
    nodes = [huge, flat, added, *model.graph.node]
    nodes[3].input[0] = "fed"
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, folder / "model.onnx")


@one_database
def test_a_graph_that_wants_too_much_memory_is_left_out(
    lab: Lab, digits: str, trunks: Path, tmp_path: Path
) -> None:
    entered("low", trunks / "low")
    bad = shutil.copytree(trunks / "low", tmp_path / "bad")
    hungry(bad)
    entered("hungry", bad)

    found = recommended(lab, digits)

    assert [source["reference"] for source in found["sources"]] == ["low@1"]
    assert [left["reference"] for left in found["left_out"]] == ["hungry@1"]


def order_of(dataset: Path, *names: str) -> RecommendationOrder:
    return RecommendationOrder(
        dataset=str(dataset),
        reference=DatasetRef(id="real@1"),
        name="real",
        candidates=tuple(
            Candidate(id=name, word=f"{name}@1", folder="/nowhere") for name in names
        ),
        sample=50,
        score="probe",
        seed=0,
        limit=5,
        seconds=20.0,
    )


def test_models_that_a_child_ended_over_are_named(tmp_path: Path) -> None:
    order = order_of(tmp_path, "one", "two")
    (tmp_path / "under-way").mkdir()
    (tmp_path / "under-way" / "two").touch()

    left = without_faulty(order, tmp_path)

    assert left is not None
    assert [each.reason and each.reason[0] for each in left.candidates] == [
        None,
        "crashed",
    ]
    assert without_faulty(left, tmp_path) is None


@one_database
def test_a_child_without_memory_to_begin_with_is_a_refusal(
    lab: Lab, digits: str, tmp_path: Path
) -> None:
    folder = settings().folder / "datasets" / digits

    with pytest.raises(NotCompared, match="more time or memory"):
        compare(order_of(folder), tmp_path, 2**20, threading.Event())
