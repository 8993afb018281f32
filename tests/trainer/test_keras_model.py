"""Keras archives: read back by the importer, they compute the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer import test_layers_everywhere as everywhere
from tests.trainer.exported_models import trained
from tests.trainer.layers import made
from tests.trainer.networks import (
    CONVOLUTIONAL,
    DENSE,
    IMAGE,
    RESIDUAL,
    SKIPPING,
    network,
)
from tests.trainer.test_export import EVEN, EVERY_KIND
from trainer.errors import ExportWrong
from trainer.export.errors import CannotExport
from trainer.export.keras_model import EVERY_RULE, drawn
from trainer.export.keras_model.archive import save
from trainer.export.keras_model.checked import LIMITS, read_back
from trainer.export.keras_model.drawing import Drawing, Value, in_keras_order, snake
from trainer.export.requested import write
from trainer.importing.keras_weights import KerasFile
from trainer.spec.base import variants
from trainer.spec.exports import NO_KERAS_TWIN
from trainer.spec.layers import Layer


def of_kind(member: Any) -> str:
    return str(member.model_fields["kind"].default)


def test_every_kind_of_layer_has_a_rule_or_a_reason() -> None:
    kinds = {of_kind(member) for member in variants(Layer)}

    assert kinds - EVERY_RULE.keys() == NO_KERAS_TWIN.keys()


CELU = {"kind": "celu", "alpha": 2.0}
FLAT_AFTER: list[dict[str, Any]] = [
    {"kind": "conv2d", "filters": 4, "name": "first"},
    {"kind": "flatten"},
    {"kind": "activation", "activation": "tanh"},
    {"kind": "dropout"},
    {"kind": "dense", "units": 5},
]
BRANCHES: list[dict[str, Any]] = [
    {"kind": "conv2d", "filters": 4, "name": "a", "padding": "same"},
    {"kind": "conv2d", "filters": 4, "name": "b", "inputs": ["input"]}
    | {"padding": "same"},
    {"kind": "conv2d", "filters": 4, "name": "c", "inputs": ["a"], "padding": "same"},
    {"kind": "add", "inputs": ["c", "b", "a"]},
    {"kind": "global_max_pool2d"},
]


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        (DENSE, IMAGE),
        (CONVOLUTIONAL, IMAGE),
        (RESIDUAL, IMAGE),
        (SKIPPING, (6,)),
        (EVERY_KIND, EVEN),
        (FLAT_AFTER, EVEN),
        (BRANCHES, EVEN),
        (everywhere.NETWORKS["merges"][1], (6,)),
    ],
    ids=["dense", "conv", "residual", "skip", "every", "flat", "branch", "merge"],
)
def test_the_importer_reads_back_a_network_that_computes_the_same(
    layers: Any, shape: Any, tmp_path: Path
) -> None:
    net = network(layers, shape).eval()
    path = tmp_path / "model.keras"

    drawing, output = drawn(net)
    save(drawing, output, "toy", path)

    x = torch.randn(11, *shape)
    with torch.no_grad():
        torch.testing.assert_close(read_back(path)(x), net(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "place", "expected"),
    [
        ("lstm", "lstm/cell", [(4, 12), (3, 12), (12,)]),
        ("gru", "gru/cell", [(4, 9), (3, 9), (2, 9)]),
        ("simple_rnn", "simple_rnn/cell", [(4, 3), (3, 3), (3,)]),
    ],
)
def test_recurrent_weights_lie_as_keras_has_them(
    kind: str, place: str, expected: Any, tmp_path: Path
) -> None:
    """The gates of a GRU are update, reset, new there, and reset, update, new here."""
    net = made([{"kind": kind, "units": 3, "name": "rnn"}], (6, 4)).float()
    part: Any = net.layers["rnn"]
    drawing, output = drawn(net)
    save(drawing, output, "toy", tmp_path / "m.keras")

    held = KerasFile(tmp_path / "m.keras", tmp_path, LIMITS).every()

    found = [held[f"layers/{place}/vars/{n}"] for n in range(3)]
    assert [each.shape for each in found] == expected
    gates = part.forwards.weight_ih_l0.detach().numpy().T.reshape(4, -1, 3)
    order = [1, 0, 2] if kind == "gru" else list(range(gates.shape[1]))
    np.testing.assert_array_equal(found[0].reshape(4, -1, 3), gates[:, order])


def test_layers_are_counted_in_keras_order() -> None:
    """Keras numbers the groups of weights by how far layers are from the output."""
    drawing, _ = drawn(network(BRANCHES, EVEN))

    order = [layer.name for layer in in_keras_order(drawing.layers)]

    convolutions = [name for name in order if name in {"a", "b", "c"}]
    assert convolutions == ["a", "c", "b"]
    names = ["Conv2D", "GlobalAveragePooling1D", "PReLU", "LSTM", "SimpleRNN"]
    assert [snake(name) for name in names] == [
        "conv2d",
        "global_average_pooling1d",
        "p_re_lu",
        "lstm",
        "simple_rnn",
    ]


@pytest.mark.parametrize(
    ("layers", "shape", "why"),
    [
        ([{"kind": "positional_encoding"}], (6, 4), "no positional encoding"),
        (everywhere.NETWORKS["words"][1], (7,), "steps that are padding"),
        ([{"kind": "dense", "units": 4, "activation": "maxout"}], (5,), "maxout"),
        (
            [{"kind": "conv2d", "filters": 4, "normalization": "rms"}],
            EVEN,
            "root mean square",
        ),
        (
            [{"kind": "dense", "units": 4, "activation": CELU}],
            (5,),
            "celu",
        ),
    ],
    ids=["positions", "padding", "maxout", "rms", "celu"],
)
def test_what_keras_cannot_say_is_refused_by_name(
    layers: Any, shape: Any, why: str
) -> None:
    with pytest.raises(CannotExport, match=why):
        drawn(network(layers, shape, normalization="none"))


def test_a_model_of_images_takes_pixels(tmp_path: Path) -> None:
    model, data, _ = trained(tmp_path, "images")

    written = write("keras", model, data)

    assert written.maximum_difference <= 1e-5
    assert written.report["real_rows"] == 44
    assert written.report["input"] == "pixels from 0 to 255"


def test_an_archive_beyond_the_importer_is_compared_array_by_array(
    tmp_path: Path,
) -> None:
    model, data, _ = trained(tmp_path, "series")

    written = write("keras", model, data)

    assert written.report["compared"] == "arrays"
    assert written.report["arrays"] == 5
    assert "GRU" in written.report["why"]


def test_a_wrong_layout_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data, _ = trained(tmp_path, "images")
    flat = Drawing.flat

    def forgetful(drawing: Drawing, value: Value, name: str, *, turned: bool) -> Value:
        found = flat(drawing, value, name, turned=turned)
        return Value(found.name, found.shape)  # without the image that it was

    monkeypatch.setattr(Drawing, "flat", forgetful)

    with pytest.raises(ExportWrong):
        write("keras", model, data)

    assert not list(model.glob("*.keras"))
