"""Predictions: rows in the data set's own form in, classes and values out."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save_file

from catalog import models
from catalog.session import reading, transaction
from catalog.tables import Model
from tests.api.lab import DIGITS, FLOWERS, Lab, faults, problem
from trainer.preprocessing import Preprocessing
from trainer.spec.data.schema import Schema

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""A prediction asks the database for one row only."""

FLOWER_COLUMNS = {
    "length": np.array([1.0, 3.0, 5.0, 7.0]),
    "width": np.array([0.0, 1.0, 2.0, np.nan]),
    "species": np.array([0, 0, 1, 1], np.int32),
}
FLOWER = {"length": 7.0, "width": 2.0}
PICTURE = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def place_graph(
    ledger: Path,
    model_id: str,
    schema: Schema,
    names: Sequence[str],
    columns: dict[str, Any],
    units: int,
    **how: Any,
) -> Preprocessing:
    """Write the files of a model whose output k is k times the sum of its input.

    `how` says more of its preprocessing: encodings, windows, the rows it is fitted to,
    and how many `examples` the network is given at once.
    """
    examples = how.pop("examples", 1)
    rows = how.pop("rows", np.arange(len(next(iter(columns.values())))))
    is_table = "image" not in names
    fitted = Preprocessing.fit(
        schema, columns, names, rows, standardize=is_table, **how
    )
    with reading() as session:
        folder = ledger / session.get_one(Model, model_id).folder
    folder.mkdir(parents=True)
    model = {"preprocessing": fitted.described(), "input": {"examples": examples}}
    shape = fitted.shape if examples == 1 else (examples, *fitted.shape)
    (folder / "model.json").write_text(json.dumps(model))
    save_file(dict(fitted.arrays), folder / "preprocessing.safetensors")
    features = int(np.prod(shape))
    weight = np.tile(np.arange(units, dtype=np.float32), (features, 1))
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["input"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["output"]),
        ],
        "sums",
        [_value("input", ["batch", *shape])],
        [_value("output", ["batch", units])],
        [numpy_helper.from_array(weight, "weight")],
    )
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.save(made, str(folder / "model.onnx"))
    with transaction() as session:
        models.exported(session, model_id, {}, {"model.onnx": {"bytes": 5}})
    return fitted


def _value(name: str, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def describe(model_id: str, **changes: Any) -> None:
    """Change what a model says of itself."""
    with transaction() as session:
        model = session.get_one(Model, model_id)
        model.task = changes.pop("task", model.task)
        model.card = model.card | changes


@pytest.fixture
def pictures(lab: Lab, ledger: Path) -> str:
    """Return the id of a model of digits that can predict."""
    model_id = lab.model()
    columns = {"image": np.zeros((4, 8, 8, 1), np.uint8)}
    place_graph(ledger, model_id, DIGITS, ["image"], columns, 10)
    return model_id


@pytest.fixture
def flowers(lab: Lab, ledger: Path) -> str:
    """Return the id of a model of flowers that can predict."""
    model_id = lab.model("flowers")
    names = ["length", "width"]
    place_graph(ledger, model_id, FLOWERS, names, FLOWER_COLUMNS, 2)
    describe(model_id, classes=["setosa", "virginica"], target=["species"])
    return model_id


def ask(lab: Lab, model_id: str, **body: Any) -> Any:
    answer = lab.client.post(f"/v1/models/{model_id}/predict", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(lab: Lab, model_id: str, **body: Any) -> list[tuple[str, str]]:
    answer = lab.client.post(f"/v1/models/{model_id}/predict", json=body)
    assert answer.status_code == 422, answer.text
    return faults(answer.json())


def test_classes_come_with_their_probabilities(lab: Lab, flowers: str) -> None:
    told = ask(lab, flowers, rows=[FLOWER, {"length": 1, "width": 0}])

    high, low = told["predictions"]
    assert told["classes"] == ["setosa", "virginica"]
    assert (high["class"], low["class"]) == ("virginica", "setosa")
    assert high["probability"] == max(high["probabilities"]) > 0.5
    assert sum(low["probabilities"]) == pytest.approx(1)
    assert (told["name"], told["version"]) == ("flowers", 1)


def test_the_preprocessing_of_the_model_is_applied(lab: Lab, flowers: str) -> None:
    describe(flowers, task="regression")

    told = ask(lab, flowers, rows=[FLOWER])

    length = (7 - 4) / FLOWER_COLUMNS["length"].std()
    width = (2 - 1) / np.nanstd(FLOWER_COLUMNS["width"][:3])
    values = told["predictions"][0]["values"]
    assert values[0] == 0
    assert values[1] == pytest.approx(length + width, rel=0.2)


def test_an_unknown_value_is_null(lab: Lab, flowers: str) -> None:
    told = ask(lab, flowers, rows=[{"length": 7.0, "width": None}])

    assert told["predictions"][0]["class"] == "virginica"


def test_the_target_may_stay_in_a_row(lab: Lab, flowers: str) -> None:
    row = FLOWER | {"species": "setosa"}

    assert ask(lab, flowers, rows=[row]) == ask(lab, flowers, rows=[FLOWER])


def test_a_row_of_the_data_set_may_have_columns_that_the_model_does_not_use(
    lab: Lab, flowers: str
) -> None:
    unused = FLOWER | {DIGITS.columns[-1].name: 3}

    assert ask(lab, flowers, rows=[unused]) == ask(lab, flowers, rows=[FLOWER])


def test_labels_are_those_that_are_likely(lab: Lab, flowers: str) -> None:
    describe(flowers, task="multi_label", classes=[], target=["red", "tall"])

    told = ask(lab, flowers, rows=[FLOWER])

    assert told["classes"] == ["red", "tall"]
    assert told["predictions"][0]["labels"] == ["red", "tall"]
    assert told["predictions"][0]["probabilities"][0] == 0.5


def test_an_image_may_be_lists_or_a_file(lab: Lab, pictures: str) -> None:
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode()
    forms = [PICTURE.tolist(), PICTURE[..., None].tolist(), text]
    forms.append(f"data:image/png;base64,{text}")

    told = ask(lab, pictures, images=forms)

    assert [p["class"] for p in told["predictions"]] == [9, 9, 9, 9]
    first = told["predictions"][0]
    assert all(p == first for p in told["predictions"])
    assert ask(lab, pictures, rows=[{"image": text}])["predictions"] == [first]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([{"length": 1}], [("/rows/0/width", "missing_column")]),
        ([FLOWER, FLOWER | {"lenght": 1}], [("/rows/1/lenght", "unknown_column")]),
        ([FLOWER | {"length": "long"}], [("/rows/0/length", "bad_value")]),
        ([FLOWER | {"length": 1e300}], [("/rows/0/length", "bad_value")]),
        ([FLOWER, 3, []], [("/rows/1", "not_an_object"), ("/rows/2", "not_an_object")]),
        ([], [("/rows", "row_count")]),
        ([FLOWER] * 10_001, [("/rows", "row_count")]),
        (None, [("", "missing")]),
        ({}, [("/rows", "list_type")]),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_their_place(
    lab: Lab, flowers: str, rows: Any, found: list[tuple[str, str]]
) -> None:
    assert refused(lab, flowers, rows=rows) == found


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ([[1]], "bad_value"),
        (PICTURE.tolist()[:-1], "bad_value"),
        ((PICTURE * 2.5).tolist(), "bad_value"),
        ([[[[1]]]] * 8, "bad_value"),
        ("not base64!", "bad_image"),
        (base64.b64encode(b"not an image").decode(), "bad_image"),
        (None, "bad_value"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    lab: Lab, pictures: str, image: Any, code: str
) -> None:
    assert refused(lab, pictures, images=[image]) == [("/images/0", code)]


def test_an_image_of_another_size_is_refused_before_it_is_decoded(
    lab: Lab, pictures: str
) -> None:
    size = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    header = b"IHDR" + size
    chunks = struct.pack(">I", len(size)) + header
    chunks += struct.pack(">I", zlib.crc32(header)) + bytes(4) + b"IDAT" + bytes(4)
    file = b"\x89PNG\r\n\x1a\n" + chunks
    text = base64.b64encode(file).decode()

    assert refused(lab, pictures, images=[text]) == [("/images/0", "bad_image")]


def test_one_form_of_rows_is_enough(lab: Lab, flowers: str) -> None:
    assert refused(lab, flowers, rows=[FLOWER], arrays=[[1]]) == [("", "missing")]


def test_a_model_without_its_graph_asks_for_patience(lab: Lab) -> None:
    model_id = lab.model()

    answer = lab.client.post(f"/v1/models/{model_id}/predict", json={"rows": [FLOWER]})

    problem(answer, 503, "export_pending")
    assert answer.headers["retry-after"] == "1"


def test_a_model_whose_graph_cannot_be_written_says_so(lab: Lab) -> None:
    model_id = lab.model()
    with transaction() as session:
        models.export_failed(session, model_id, "the graph differs by 3")

    answer = lab.client.post(f"/v1/models/{model_id}/predict", json={"rows": [FLOWER]})

    assert "differs by 3" in problem(answer, 409, "conflict")["detail"]


def test_a_model_whose_files_are_gone_says_so(lab: Lab) -> None:
    model_id = lab.model()
    with transaction() as session:
        models.exported(session, model_id, {}, {})

    answer = lab.client.post(f"/v1/models/{model_id}/predict", json={"rows": [FLOWER]})

    assert "model.onnx" in problem(answer, 404, "not_found")["detail"]


def test_a_model_that_is_not_there_predicts_nothing(lab: Lab) -> None:
    answer = lab.client.post("/v1/models/nothing/predict", json={"rows": [FLOWER]})

    problem(answer, 404, "not_found")
