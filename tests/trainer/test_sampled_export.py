"""The graph in which dropout goes on draws as the network does while training."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from tests.trainer.networks import examples, network
from trainer.errors import DrawsWrong
from trainer.export.sampled import export_sampled, spreads_alike
from trainer.modules.sampled import SampledAlpha, sampled
from trainer.network import Network

LAYERS: dict[str, list[dict[str, Any]]] = {
    "on inputs and layers": [
        {"kind": "dropout", "rate": 0.3},
        {"kind": "dense", "units": 12, "dropout": 0.5},
        {"kind": "dense", "units": 8},
    ],
    "of images": [
        {"kind": "conv2d", "filters": 4},
        {"kind": "spatial_dropout", "rate": 0.3},
        {"kind": "residual", "filters": 4, "dropout": 0.3},
        {"kind": "dense", "units": 8, "dropout": 0},
    ],
    "of other kinds": [
        {"kind": "dense", "units": 12, "dropout": 0, "activation": "selu"},
        {"kind": "alpha_dropout", "rate": 0.2},
        {"kind": "gaussian_dropout", "rate": 0.2},
    ],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.sampled.onnx"


def draws(path: Path, x: torch.Tensor, count: int) -> torch.Tensor:
    """Return so many answers for each row: (count, rows, outputs)."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = [session.run(["output"], {"input": x.numpy()})[0] for _ in range(count)]
    return torch.from_numpy(np.stack(found))


@pytest.mark.parametrize("layers", list(LAYERS.values()), ids=list(LAYERS))
def test_every_run_of_the_graph_is_another_draw(
    path: Path, layers: list[dict[str, Any]]
) -> None:
    net = network(layers)

    written = export_sampled(net, examples(20)[0], path)
    first, second = draws(path, examples(9)[0], 2)

    onnx.checker.check_model(path, full_check=True)
    assert written
    assert (first != second).any(1).float().mean() > 0.9


def test_the_rate_and_the_scale_are_those_of_the_layer(path: Path) -> None:
    torch.manual_seed(1)
    net = linear([{"kind": "dropout", "rate": 0.25}])

    export_sampled(net, torch.ones(4, 1), path)

    # output = input x mask / (1 - rate)
    found = draws(path, torch.ones(2000, 1), 10).flatten()
    kept = found[found != 0]
    assert kept.unique().tolist() == pytest.approx([1 / 0.75])
    assert (found == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)


def test_draws_of_one_run_and_of_several_are_independent(path: Path) -> None:
    net = linear([{"kind": "dropout", "rate": 0.5}])
    export_sampled(net, torch.ones(4, 1), path)

    found = (draws(path, torch.ones(50, 1), 200)[:, :, 0] > 0).double()

    between = torch.corrcoef(found.T)[~torch.eye(50, dtype=torch.bool)]
    along = torch.corrcoef(torch.stack([found[1:].flatten(), found[:-1].flatten()]))
    assert between.abs().mean() < 0.08  # of 200 independent coins: 0.056
    assert abs(along[0, 1].item()) < 0.05


def linear(layers: list[dict[str, Any]]) -> Network:
    """Return layers of one number, and an output that passes it on."""
    net = network(layers, (1,), normalization="none")
    output: Any = net.layers["output"]
    with torch.no_grad():
        output.weight.fill_(1.0)
        output.bias.zero_()
    return net


def test_dropout_of_attentions_weights_alone_makes_no_graph(path: Path) -> None:
    layers = [{"kind": "multi_head_attention", "heads": 1, "dropout": 0.2}]
    net = network([*layers, {"kind": "flatten"}], (4, 5), normalization="none")

    written = export_sampled(net, examples(9, (4, 5))[0], path)

    assert not written
    assert not path.exists()


@pytest.mark.parametrize("rate", [0.0, None])
def test_a_network_without_dropout_has_no_such_graph(
    path: Path, rate: float | None
) -> None:
    layers = [{"kind": "dense", "units": 6, "dropout": 0}]
    if rate is not None:
        layers.append({"kind": "dropout", "rate": rate})

    written = export_sampled(network(layers), examples(20)[0], path)

    assert not written
    assert not path.exists()


@pytest.mark.parametrize(
    "shown",
    [{"kind": "dropout", "rate": 0.1}, {"kind": "gaussian_dropout", "rate": 0.05}],
    ids=["another rate", "another kind"],
)
def test_a_graph_that_draws_otherwise_than_its_network_is_found_out(
    path: Path, shown: dict[str, Any]
) -> None:
    rows = examples(4)[0]
    right, wrong = network([{"kind": "dropout", "rate": 0.6}]), network([shown])

    export_sampled(wrong, rows, path)

    with pytest.raises(DrawsWrong):
        spreads_alike(right.eval(), path, rows)


def test_the_network_is_left_as_it_was(path: Path) -> None:
    net = network(LAYERS["on inputs and layers"]).train()
    state = torch.get_rng_state()
    before = {name: type(module) for name, module in net.named_modules()}

    export_sampled(net, examples(20)[0], path)

    assert {n: type(m) for n, m in net.named_modules()} == before
    assert net.training
    assert torch.equal(torch.get_rng_state(), state)


def test_alpha_dropout_draws_what_torchs_draws() -> None:
    torch.manual_seed(2)
    x = torch.tensor([0.7, -1.2]).repeat(20000, 1)
    torchs = nn.AlphaDropout(0.3).train()

    ours, theirs = SampledAlpha(0.3)(x), torchs(x)

    for column in (0, 1):
        values = ours[:, column].unique()
        torch.testing.assert_close(values, theirs[:, column].unique())
        share = (ours[:, column] == values[0]).float().mean().item()
        assert share == pytest.approx(0.3, abs=0.015)


def test_images_lose_whole_channels() -> None:
    torch.manual_seed(3)
    net = network([{"kind": "spatial_dropout", "rate": 0.5}], (6, 4, 4))
    sampled(net)
    drop: Any = net.layers["spatial_dropout1"]

    found = drop(torch.ones(200, 6, 4, 4))

    per_channel = found.flatten(2)
    assert (per_channel == per_channel[:, :, :1]).all()
    assert found.unique().tolist() == [0.0, 2.0]
