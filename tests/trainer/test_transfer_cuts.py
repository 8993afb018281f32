"""What the layers of a source give, by its graph, is what the network itself gives."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from tests.trainer.trainings import CONVOLUTIONAL, DENSE, build, order, pictures, spec
from tests.trainer.trainings import carry_out as carried
from trainer.assembly import Assembly
from trainer.export import export
from trainer.network import Network
from trainer.serving.served import serve
from trainer.spec.serving import Serving
from trainer.transfer import cuts, sources
from trainer.transfer.errors import NotComparable

LATER = time.monotonic() + 1e6
DROPPED: list[dict[str, Any]] = [
    {"kind": "dense", "name": "hidden1", "units": 6},
    {"kind": "dropout", "name": "drop1", "rate": 0.5},
    {"kind": "dense", "name": "hidden2", "units": 5},
]
BRANCHED: list[dict[str, Any]] = [
    {"kind": "conv2d", "name": "conv1", "filters": 3},
    {"kind": "conv2d", "name": "left", "filters": 2},
    {"kind": "conv2d", "name": "right", "filters": 2, "inputs": ["conv1"]},
    {"kind": "concatenate", "name": "both", "inputs": ["left", "right"]},
    {"kind": "flatten", "name": "flat"},
]


def source(folder: Path, layers: list[dict[str, Any]]) -> Assembly:
    """Write a model folder without its graph; return what it was made of."""
    data, what = pictures(), spec(layers, epochs=1)
    for _ in carried(order(what, model=folder), data):
        pass
    return build(what | {"reuse": [reused(folder)]}, data, sources=(folder,))


def reused(folder: Path) -> dict[str, Any]:
    return {"from": f"mdl_{folder.name}", "layers": ".*"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "source"


def graph_of(folder: Path) -> cuts.CutGraph:
    return cuts.opened(sources.opened(folder, "source@1", "mdl_source"))


def expected(network: Network, rows: torch.Tensor, layer: str) -> Any:
    with torch.inference_mode():
        return network.eval().values(rows)[layer].flatten(1).numpy()


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        (DENSE, ["hidden1", "hidden2"]),
        (CONVOLUTIONAL, ["pool1", "block1", "hidden1"]),
        (DROPPED, ["hidden1", "hidden2"]),
        (BRANCHED, ["conv1", "flat"]),
    ],
    ids=["dense", "convolutional", "dropout", "branched"],
)
def test_a_cut_point_gives_what_the_layer_gives(
    folder: Path, layers: list[dict[str, Any]], found: list[str]
) -> None:
    made = source(folder, layers)
    export(made.network, made.rows[:8], folder / "model.onnx")
    rows = made.rows[:9]

    graph = graph_of(folder)
    values = cuts.features(graph, rows.numpy(), LATER)

    assert [cut.layer for cut in graph.cuts] == found
    for cut, value in zip(graph.cuts, values, strict=True):
        slow = expected(made.network, rows, cut.layer)
        assert value == pytest.approx(slow, abs=1e-5)


@pytest.mark.parametrize(
    ("wish", "tolerance"),
    [({"fold_normalization": True}, 1e-4), ({"precision": "float16"}, 2e-2)],
    ids=["folded", "float16"],
)
def test_a_graph_that_was_made_fast_still_tells_its_layers(
    folder: Path, wish: dict[str, Any], tolerance: float
) -> None:
    made = source(folder, [{"kind": "dense", "name": "hidden1", "units": 40}])
    rows = made.rows[:9]
    wanted = expected(made.network, rows, "hidden1")
    wished = Serving.model_validate(wish)
    serve(made.network, rows, folder / "model.onnx", wished, [])

    (value,) = cuts.features(graph_of(folder), rows.numpy(), LATER)

    assert value == pytest.approx(wanted, abs=tolerance)


def test_a_graph_in_int8_gives_nearly_what_the_layer_gives(folder: Path) -> None:
    made = source(folder, DENSE)
    rows = made.rows[:9]
    wanted = expected(made.network, rows, "hidden2")
    wish = Serving(precision="int8")
    serve(made.network, rows, folder / "model.onnx", wish, [])

    values = cuts.features(graph_of(folder), rows.numpy(), LATER)

    assert np.corrcoef(values[-1].ravel(), wanted.ravel())[0, 1] > 0.95


class Wave(torch.nn.Module):
    """An activation that no rule of ours knows: torch's exporter writes it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sine."""
        return x.sin()


@pytest.mark.slow
@pytest.mark.timeout(400)  # torch's exporter imports torch's compiler
def test_a_graph_that_torch_wrote_tells_its_layers_too(folder: Path) -> None:
    made = source(folder, DENSE)
    made.network.layers["hidden1"].activation = Wave()
    rows = made.rows[:9]

    route = export(made.network, rows, folder / "model.onnx").route
    values = cuts.features(graph_of(folder), rows.numpy(), LATER)

    assert route == "torch"
    assert values[0] == pytest.approx(expected(made.network, rows, "hidden1"), abs=1e-5)


def test_many_cut_points_are_thinned_over_the_depth() -> None:
    cut = sources.CutPoint("", (), (), ())
    many = [sources.CutPoint(f"layer{n}", (), (), ()) for n in range(30)]

    kept = [each.layer for each in sources.thinned(many, 4)]

    assert kept == ["layer0", "layer10", "layer19", "layer29"]
    assert sources.thinned([cut], 4) == [cut]


def prepared(folder: Path) -> Path:
    """Return the file of a graph that could be used."""
    made = source(folder, DENSE)
    export(made.network, made.rows[:8], folder / "model.onnx")
    return folder / "model.onnx"


def without_metadata(graph: Path) -> None:
    model = onnx.load(graph)
    del model.metadata_props[:]
    onnx.save(model, graph)


def of_an_unknown_operator(graph: Path) -> None:
    model = onnx.load(graph)
    model.graph.node[0].op_type = "Nonsense"
    onnx.save(model, graph)


def of_layers_that_are_not_there(graph: Path) -> None:
    model = onnx.load(graph)
    told = {"hidden1": "nothing", "hidden2": "nothing either"}
    model.metadata_props[0].value = json.dumps(told)
    onnx.save(model, graph)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda graph: graph.unlink(), "not_exported"),
        (lambda graph: graph.write_bytes(b"\xff\x00 no graph"), "broken_graph"),
        (without_metadata, "no_cut_points"),
        (of_an_unknown_operator, "broken_graph"),
        (of_layers_that_are_not_there, "broken_graph"),
    ],
    ids=["absent", "garbage", "no metadata", "unknown operator", "wrong names"],
)
def test_a_graph_that_cannot_be_used_is_left_out_with_a_reason(
    folder: Path, spoil: Any, code: str
) -> None:
    spoil(prepared(folder))

    with pytest.raises(NotComparable) as refused:
        graph_of(folder)

    assert refused.value.code == code
    assert refused.value.detail


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"layers": [], "network": {"layers": []}, "preprocessing": {}}'],
)
def test_a_description_that_is_none_is_left_out_with_a_reason(
    folder: Path, text: str
) -> None:
    folder.mkdir()
    (folder / "model.json").write_text(text)

    with pytest.raises(NotComparable) as refused:
        sources.opened(folder, "source@1", "mdl_source")

    assert refused.value.code == "broken"


def test_layers_that_take_too_long_are_left_out_with_a_reason(folder: Path) -> None:
    made = source(folder, DENSE)
    export(made.network, made.rows[:8], folder / "model.onnx")

    with pytest.raises(NotComparable, match="too long"):
        cuts.features(graph_of(folder), made.rows[:9].numpy(), time.monotonic() - 1)
