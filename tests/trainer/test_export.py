"""The exported graph computes what the network computes, or is not there."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from tests.trainer.networks import (
    CONVOLUTIONAL,
    DENSE,
    IMAGE,
    RESIDUAL,
    SKIPPING,
    examples,
    network,
)
from trainer import export as exporting
from trainer.errors import ExportWrong
from trainer.export import export
from trainer.export.graph import record
from trainer.network import Network
from trainer.spec.activations import Activation
from trainer.spec.base import variants

EVEN = (2, 7, 6)
"""An image on which `same` padding is uneven."""

EVERY_KIND = [
    {"kind": "conv2d", "filters": 4, "kernel_size": [3, 2], "padding": "same"},
    {"kind": "conv2d", "filters": 4, "padding": "same", "stride": 2, "groups": 2},
    {"kind": "batch_normalization"},
    {"kind": "activation", "activation": "tanh", "name": "act"},
    {"kind": "conv2d", "filters": 4, "padding": "same", "dilation": 2, "bias": False},
    {"kind": "add", "inputs": ["conv2d3", "act"], "name": "sum"},
    {"kind": "concatenate", "inputs": ["sum", "act"]},
    {"kind": "max_pool2d", "pool_size": 2, "stride": 1, "padding": "same"},
    {"kind": "average_pool2d", "pool_size": 2, "padding": "same"},
    {"kind": "residual", "filters": 4, "stride": 2},
    {"kind": "dropout"},
    {"kind": "flatten"},
    {"kind": "dense", "units": 6, "bias": False},
]
NETWORKS = {
    "dense": (DENSE, IMAGE),
    "linear": ([], (5,)),
    "convolution": (CONVOLUTIONAL, IMAGE),
    "residual": (RESIDUAL, IMAGE),
    "skipping": (SKIPPING, IMAGE),
    "every kind of layer": (EVERY_KIND, EVEN),
    "valid average pooling": (
        [
            {"kind": "average_pool2d", "pool_size": [3, 2], "stride": [2, 1]},
            {"kind": "global_average_pool2d"},
        ],
        EVEN,
    ),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def answers(path: Path, x: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["output"], {"input": x.numpy()})[0])


@pytest.mark.parametrize(
    ("layers", "shape"), list(NETWORKS.values()), ids=list(NETWORKS)
)
def test_the_graph_answers_what_the_network_answers(
    path: Path, layers: list[dict[str, Any]], shape: tuple[int, ...]
) -> None:
    net = network(layers, shape)
    rows, _ = examples(30, shape)

    exported = export(net, rows, path)
    net.eval()

    onnx.checker.check_model(path, full_check=True)
    assert exported.route == "recorded"
    assert exported.maximum_difference <= 1e-4
    for size in (1, 2, 11, 64):
        x, _ = examples(size, shape, seed=size)
        torch.testing.assert_close(answers(path, x), net(x).detach(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", variants(Activation))
def test_every_activation_is_exported(path: Path, kind: Any) -> None:
    parameters = {
        name: 0.3 for name in kind.model_fields if name in {"alpha", "negative_slope"}
    }
    activation = {"kind": kind.model_fields["kind"].default, **parameters}
    net = network([{"kind": "dense", "units": 8, "activation": activation}], (5,))

    exported = export(net, torch.randn(20, 5) * 5, path)

    assert exported.route == "recorded"
    assert exported.maximum_difference <= 1e-4


def test_weights_keep_their_names(path: Path) -> None:
    export(network(DENSE), examples(5)[0], path)

    graph = onnx.load(path).graph

    names = {tensor.name for tensor in graph.initializer}
    assert "layers.hidden1.weight.t" in names
    assert "layers.hidden1.normalization.running_mean" in names


def test_the_graph_says_that_any_number_of_rows_will_do(path: Path) -> None:
    export(network(DENSE), examples(5)[0], path)

    (given,) = onnx.load(path).graph.input

    dims = given.type.tensor_type.shape.dim
    assert dims[0].dim_param == "batch"
    assert [d.dim_value for d in dims[1:]] == list(IMAGE)


def test_exporting_changes_nothing_in_the_network(path: Path) -> None:
    net = network(RESIDUAL)
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}

    export(net, examples(5)[0], path)

    assert all(module.training for module in net.layers.values())
    assert all(torch.equal(net.state_dict()[n], v) for n, v in before.items())


class Wave(nn.Module):
    """An activation that no rule covers: torch runs it as one operator of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x)


@pytest.mark.timeout(400)  # torch's exporter imports torch's compiler
def test_an_operator_without_a_rule_is_left_to_torch(path: Path) -> None:
    net = network(DENSE)
    net.layers["hidden1"].activation = Wave()
    level = logging.getLogger("torch.onnx._internal.exporter._registration").level

    exported = export(net, examples(5)[0], path)
    net.eval()

    x, _ = examples(9)
    assert exported.route == "torch"
    torch.testing.assert_close(answers(path, x), net(x).detach(), atol=1e-4, rtol=0)
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    assert registration.level == level


RECORD = """
import sys, pathlib
from tests.trainer.networks import DENSE, examples, network
from trainer.export import export
export(network(DENSE), examples(5)[0], pathlib.Path(sys.argv[1]))
print("torch._dynamo" in sys.modules)
"""


def test_recording_does_not_import_the_compiler(path: Path) -> None:
    command = [sys.executable, "-c", RECORD, str(path)]

    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert said == "False\n"


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_another(net: Any, x: torch.Tensor) -> Any:
        return record(network(DENSE, seed=77).eval(), x)

    monkeypatch.setattr(exporting, "record", of_another)


@pytest.mark.usefixtures("wrong")
def test_a_graph_that_differs_is_refused_and_leaves_nothing(path: Path) -> None:
    with pytest.raises(ExportWrong, match=r"differs from the network by .*0\.000"):
        export(network(DENSE), examples(5)[0], path)

    assert list(path.parent.iterdir()) == []


def test_a_network_that_answers_no_numbers_is_refused(path: Path) -> None:
    net = network(DENSE)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(float("nan"))

    with pytest.raises(ExportWrong, match="nan"):
        export(net, examples(5)[0], path)

    assert not path.exists()


def unsteady() -> tuple[Network, torch.Tensor]:
    """Return a network that blows up the last bits, and rows that it does it on.

    Exponential units answer with numbers near 0, which later layers bring to size one:
    what a runtime's exp(x) - 1 rounds off is a thousandth then.
    """
    net = network(
        [
            {"kind": "dense", "name": "small", "units": 48, "activation": "elu"},
            {"kind": "reshape", "shape": [6, 8]},
            {
                "kind": "conv1d",
                "filters": 8,
                "kernel_size": 1,
                "normalization": "instance",
            },
        ],
        (5,),
    )
    with torch.no_grad():
        net.layers["small"].get_buffer("normalization.running_var").fill_(1e8)
        net.layers["output"].get_parameter("weight").mul_(100)
    return net, torch.rand(20, 5, generator=torch.Generator().manual_seed(3))


def test_a_graph_may_round_where_the_network_blows_a_rounding_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x = unsteady()

    found = export(net, x, path)

    assert found.maximum_difference > exporting.TOLERANCE
    monkeypatch.setattr(exporting, "LAST_BIT", 0.0)
    with pytest.raises(ExportWrong):
        export(net, x, path)


def test_an_export_replaces_the_one_before_in_one_step(path: Path) -> None:
    export(network(DENSE), examples(5)[0], path)
    net = network(DENSE, seed=5)

    export(net, examples(5)[0], path)
    net.eval()

    x, _ = examples(9)
    torch.testing.assert_close(answers(path, x), net(x).detach(), atol=1e-4, rtol=0)
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"]


def test_constants_beyond_the_limit_of_the_format_lie_beside_the_graph(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PROTOBUF_LIMIT", 100)
    net = network(DENSE)

    export(net, examples(5)[0], path)
    net.eval()

    x, _ = examples(9)
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "model.onnx",
        "model.onnx.data",
    ]
    torch.testing.assert_close(answers(path, x), net(x).detach(), atol=1e-4, rtol=0)
