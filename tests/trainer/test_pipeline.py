"""The graph with its preprocessing: a person's rows in, the service's answers out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.trainer.exported_models import COLOURS, trained
from trainer.errors import ExportWrong
from trainer.export import export
from trainer.export.errors import CannotExport
from trainer.export.pipeline.calendar import place as write_place
from trainer.export.pipeline.columns import RULES
from trainer.export.pipeline.node_writer import NodeWriter, value_info
from trainer.export.requested import write
from trainer.preprocessing import Preprocessing
from trainer.preprocessing.encodings import Flag
from trainer.preprocessing.fitting import FittedEncoding
from trainer.saved.reopened import drawn_rows, network_of
from trainer.spec.base import variants
from trainer.spec.data.calendar import CYCLES, place
from trainer.spec.exports import TOKENIZED


def ready(tmp_path: Path, case: str) -> tuple[Path, Path]:
    """Return the folders of a model that can predict and of its data."""
    model, data, _ = trained(tmp_path, case)
    network = network_of(model)
    export(network, drawn_rows(network), model / "model.onnx")
    return model, data


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_every_encoding_has_a_rule_or_is_a_tokenizers() -> None:
    unsaid = [each for each in variants(FittedEncoding) if each not in RULES]

    assert {str(each.model_fields["kind"].default) for each in unsaid} == TOKENIZED


@pytest.mark.parametrize(
    ("case", "outputs"),
    [
        ("table", ["values"]),
        ("encoded table", ["values"]),
        ("raw table", ["values"]),
        ("classes", ["probabilities", "label"]),
        ("labels", ["probabilities", "labels"]),
        ("several values", ["values"]),
        ("series", ["values"]),
        ("images", ["probabilities", "label"]),
        ("standardised images", ["probabilities", "label"]),
        ("arrays", ["values"]),
    ],
)
def test_the_graph_answers_what_frostline_answers(
    case: str, outputs: list[str], tmp_path: Path
) -> None:
    model, data = ready(tmp_path, case)

    written = write("onnx_pipeline", model, data)

    graph = onnx.load(written.path)
    onnx.checker.check_model(graph)
    assert [each.name for each in graph.graph.output] == outputs
    assert written.maximum_difference <= 1e-6
    assert written.report["real_rows"] > 40
    assert written.report["rows"] > written.report["real_rows"]


def test_a_row_as_a_person_writes_it_is_answered_as_the_service_does(
    tmp_path: Path,
) -> None:
    """Missing values, an unknown category and a date, through both ways by hand."""
    model, data = ready(tmp_path, "encoded table")
    graph = session(write("onnx_pipeline", model, data).path)
    moment = datetime(2024, 2, 29, 12, tzinfo=UTC)
    row = {
        "colour": "no such colour",
        "shop": None,
        "price": None,
        "area (m²)": 75.5,
        "rooms": 3,
        "new": True,
        "when": moment.isoformat(),
        "sold": None,
    }
    nothing = np.iinfo(np.int64).min

    (found,) = graph.run(
        ["values"],
        {
            "colour": np.array([row["colour"]], object),
            "shop": np.array([""], object),
            "price": np.array([np.nan]),
            "area (m²)": np.array([75.5]),
            "rooms": np.array([3.0]),
            "new": np.array([1.0]),
            "when": np.array([np.datetime64("2024-02-29T12", "us")]).view(np.int64),
            "sold": np.array([np.datetime64("NaT", "us")]).view(np.int64),
        },
    )

    given = Preprocessing.load(model).apply([row])
    (expected,) = session(model / "model.onnx").run(None, {"input": given})
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.datetime64("NaT", "us").view(np.int64) == nothing


def test_the_graph_tells_what_it_takes_and_gives(tmp_path: Path) -> None:
    model, data = ready(tmp_path, "classes")

    graph = onnx.load(write("onnx_pipeline", model, data).path)

    told = {entry.key: json.loads(entry.value) for entry in graph.metadata_props}
    inputs = {each["name"]: each for each in told["frostline.inputs"]}
    assert inputs["colour"]["type"] == "string"
    assert inputs["colour"]["missing"] == '""'
    assert inputs["price"] | {"shape": 0} == {
        "name": "price",
        "type": "double",
        "shape": 0,
        "missing": "NaN",
    }
    assert told["frostline.classes"] == [0, 1]
    assert COLOURS[0] in str(graph.graph.node)


def test_a_text_that_a_tokenizer_reads_is_refused_by_its_name(tmp_path: Path) -> None:
    model, data = ready(tmp_path, "texts")

    with pytest.raises(CannotExport, match=r"'review'.*tokenizer"):
        write("onnx_pipeline", model, data)

    assert not list(model.glob("*pipeline.onnx"))


def test_a_graph_that_answers_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = ready(tmp_path, "table")
    forgetful = RULES | {Flag: lambda scribe, _, value: scribe.reshaped(value, -1, 1)}
    monkeypatch.setattr("trainer.export.pipeline.columns.RULES", forgetful)

    with pytest.raises(ExportWrong, match="nan"):
        write("onnx_pipeline", model, data)

    assert not list(model.glob("*pipeline.onnx"))


@pytest.mark.parametrize("part", list(CYCLES))
def test_the_calendar_of_the_graph_is_numpys(part: Any) -> None:
    """Every fifth day and hour from 1600 to 2400, both sides of 1970 and of 2000."""
    scribe = NodeWriter()
    scribe.named(write_place(scribe, part, "moments"), "place")
    graph = onnx.helper.make_graph(
        scribe.nodes,
        "calendar",
        [value_info("moments", "int64", ["rows"])],
        [value_info("place", "double", ["rows"])],
        scribe.initializers,
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    start = datetime(1600, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    first, step = start // timedelta(microseconds=1), 5 * 86_400_000_000 + 3_600_000_000
    moments = first + np.arange(58_000, dtype=np.int64) * step

    runs = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = runs.run(["place"], {"moments": moments})

    np.testing.assert_allclose(found, place(part, moments), rtol=0, atol=1e-9)
