"""Layers of other sizes: what is kept of them, unit by unit and channel by channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer.networks import network
from tests.trainer.test_reuse import reused
from trainer.network import Network
from trainer.saved import model_folder

SEQUENCE = (5, 4)


def catalogued(folder: Path, net: Network) -> Path:
    """Write a network as a model folder that says what flows between its layers."""
    lines = [
        {
            "name": row.name,
            "kind": row.kind,
            "inputs": list(row.inputs),
            "output_shape": list(row.output_shape),
        }
        for row in net.rows
    ]
    description = {
        "name": "source",
        "classes": [0, 1, 2, 3],
        "network": net.spec.model_dump(mode="json", by_alias=True),
        "preprocessing": {
            "shape": list(net.shape),
            "columns": [{"name": "pixels", "kind": "image"}],
        },
        "layers": lines,
    }
    model_folder.write(folder, description, net.layers.state_dict(), {})
    return folder


def adapted(
    folder: Path, theirs: Any, ours: Any, shape: tuple[int, ...], here: Any = None
) -> tuple[Network, Network, Network]:
    """Return the source, what it was adapted to, and that as it was drawn."""
    source = network(theirs, shape, seed=8)
    net, fresh = network(ours, here or shape), network(ours, here or shape)
    reused(net, catalogued(folder / "source", source), on_mismatch="adapt")
    return source, net, fresh


def weight(net: Network, layer: str) -> Tensor:
    found: Tensor = net.layers[layer].state_dict()["weight"]
    return found


def conv(filters: int) -> list[dict[str, Any]]:
    return [
        {"kind": "conv2d", "name": "conv", "filters": filters, "kernel_size": 3},
        {"kind": "dense", "name": "top", "units": 7},
    ]


@pytest.mark.parametrize("between", [[], ["flatten"], ["dropout", "flatten"]])
@pytest.mark.parametrize(("theirs", "ours"), [(2, 3), (3, 2)])
def test_flattened_columns_follow_their_channels(
    tmp_path: Path, theirs: int, ours: int, between: list[str]
) -> None:
    middle = [{"kind": kind, "name": f"between_{kind}"} for kind in between]
    there, here = ([b, *middle, t] for b, t in map(conv, (theirs, ours)))

    source, net, fresh = adapted(tmp_path, there, here, (1, 6, 8))

    by_channel = weight(net, "top").view(7, ours, 4, 6)
    least = min(theirs, ours)
    given = weight(source, "top").view(7, theirs, 4, 6)
    assert torch.equal(by_channel[:, :least], given[:, :least])
    drawn = weight(fresh, "top").view(7, ours, 4, 6)
    assert torch.equal(by_channel[:, least:], drawn[:, least:])


def test_columns_of_an_image_of_another_size_follow_their_pixels(
    tmp_path: Path,
) -> None:
    top = [{"kind": "dense", "name": "top", "units": 7}]

    source, net, _ = adapted(tmp_path, top, top, (2, 4, 4), (2, 5, 6))

    ours, theirs = weight(net, "top"), weight(source, "top")
    assert torch.equal(ours.view(7, 2, 5, 6)[:, :, :4, :4], theirs.view(7, 2, 4, 4))


def test_columns_of_joined_branches_follow_their_branch(tmp_path: Path) -> None:
    def branches(left: int) -> list[dict[str, Any]]:
        return [
            {"kind": "dense", "name": "left", "units": left},
            {"kind": "dense", "name": "right", "units": 3, "inputs": ["input"]},
            {"kind": "concatenate", "name": "both", "inputs": ["left", "right"]},
            {"kind": "dense", "name": "top", "units": 6},
        ]

    source, net, fresh = adapted(tmp_path, branches(2), branches(4), (5,))

    ours, theirs = weight(net, "top"), weight(source, "top")
    assert torch.equal(ours[:, :2], theirs[:, :2])
    assert torch.equal(ours[:, 2:4], weight(fresh, "top")[:, 2:4])
    assert torch.equal(ours[:, 4:], theirs[:, 2:])


KINDS: dict[str, tuple[tuple[int, ...], dict[str, Any], dict[str, Any]]] = {
    "dense": ((6,), {"kind": "dense", "units": 4}, {"kind": "dense", "units": 6}),
    "conv2d": (
        (2, 6, 6),
        {"kind": "conv2d", "filters": 3},
        {"kind": "conv2d", "filters": 5},
    ),
    "conv1d": (
        SEQUENCE,
        {"kind": "conv1d", "filters": 3, "kernel_size": 3},
        {"kind": "conv1d", "filters": 5, "kernel_size": 3},
    ),
    "separable_conv2d": (
        (2, 6, 6),
        {"kind": "separable_conv2d", "filters": 3},
        {"kind": "separable_conv2d", "filters": 5},
    ),
    "lstm": (SEQUENCE, {"kind": "lstm", "units": 3}, {"kind": "lstm", "units": 5}),
    "gru": (SEQUENCE, {"kind": "gru", "units": 3}, {"kind": "gru", "units": 5}),
    "simple_rnn": (
        SEQUENCE,
        {"kind": "simple_rnn", "units": 3},
        {"kind": "simple_rnn", "units": 5},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_of_a_wider_layer_holds_the_narrower_one(
    tmp_path: Path, kind: str
) -> None:
    shape, narrow, wide = KINDS[kind]
    there, here = ([layer | {"name": "layer"}] for layer in (narrow, wide))

    source, net, fresh = adapted(tmp_path, there, here, shape)

    (row,) = (row for row in net.rows if row.name == "layer")
    own, given, drawn = (
        each.layers["layer"].state_dict() for each in (net, source, fresh)
    )
    for name, tensor in own.items():
        gates = row.tensors[name].stacked
        mine, theirs, new = (
            each.reshape(gates, -1, *each.shape[1:]) if gates > 1 else each
            for each in (tensor, given[name], drawn[name])
        )
        inside = tuple(slice(size) for size in theirs.shape)
        assert torch.equal(mine[inside], theirs), name
        outside = torch.ones_like(mine, dtype=torch.bool)
        outside[inside] = False
        assert torch.equal(mine[outside], new[outside]), name
