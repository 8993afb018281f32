"""Freezing as a contract: what is frozen is a fixed function and does not move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.nn.functional import cross_entropy

from tests.trainer.networks import (
    CONVOLUTIONAL,
    DENSE,
    RESIDUAL,
    SKIPPING,
    examples,
    network,
)
from trainer import frozen
from trainer.errors import FrozenMoved
from trainer.frozen import Frozen
from trainer.saved.model_folder import tensor_sha256
from trainer.spec.base import variants
from trainer.spec.optimizers import Optimizer

CPU = torch.device("cpu")
CUTS = {
    "dense": (DENSE, {"hidden1", "hidden2"}),
    "convolution": (CONVOLUTIONAL, {"conv1", "conv2"}),
    "residual": (RESIDUAL, {"block1"}),
    "skip over the cut": (SKIPPING, {"hidden1", "hidden2"}),
    "all but the output": (DENSE, {"hidden1", "hidden2", "hidden3"}),
}
every_cut = pytest.mark.parametrize(("layers", "names"), CUTS.values(), ids=list(CUTS))


def train(
    held: Frozen,
    x: Tensor,
    y: Tensor,
    kind: str = "nesterov",
    steps: int = 6,
    **fields: Any,
) -> None:
    """Train from the input with penalties on every weight that learns."""
    optimizer = TypeAdapter(Optimizer).validate_python({"kind": kind, **fields})
    descent = optimizer.build(held.learning())
    for step in range(steps):
        held.network.train()
        held.hold()
        batch = slice(step * 10, step * 10 + 10)
        loss = cross_entropy(held.network(x[batch]), y[batch])
        weights = [p for p in held.learning() if p.ndim > 1]
        loss = loss + 0.01 * sum((w**2).sum() for w in weights)
        descent.zero_grad()
        torch.autograd.backward(loss)
        descent.step()
        with torch.no_grad():
            for weight in weights:
                weight.renorm_(2, 0, 0.5)


@every_cut
def test_outputs_at_the_cut_agree_with_an_ordinary_forward_pass(
    layers: list[dict[str, Any]], names: set[str]
) -> None:
    net = network(layers)
    x, _ = examples(70)
    held = Frozen(net, names)

    values = frozen.features(net, held.cut, x, CPU, chunk=32)[0]
    net.eval()

    assert held.cut.below
    for start in range(0, 70, 10):
        batch = {name: value[start : start + 10] for name, value in values.items()}
        torch.testing.assert_close(
            net.run_above(held.cut, batch),
            net(x[start : start + 10]),
            atol=1e-5,
            rtol=1e-5,
        )


@every_cut
def test_outputs_at_the_cut_are_the_same_bits_every_time(
    layers: list[dict[str, Any]], names: set[str]
) -> None:
    net = network(layers)
    x, _ = examples(70)
    held = Frozen(net, names)

    first = frozen.features(net, held.cut, x, CPU, chunk=32)[0]
    net.train()
    held.hold()
    again = frozen.features(net, held.cut, x, CPU, chunk=32)[0]

    assert all(torch.equal(first[name], again[name]) for name in held.cut.boundary)


def test_wide_layers_are_run_on_fewer_rows_at_a_time() -> None:
    net = network([*DENSE, {"kind": "dense", "name": "wide", "units": 20_000}])
    hidden = {"hidden1", "hidden2", "hidden3"}

    narrow = frozen.chunk_rows(net, net.cut(hidden), CPU)
    wide = frozen.chunk_rows(net, net.cut({*hidden, "wide"}), CPU)

    assert narrow == 1024
    assert wide == 128
    assert wide * 20_000 * 4 <= frozen.CHUNK_BYTES["cpu"] < 2 * wide * 20_000 * 4


@pytest.mark.parametrize(
    "kind", [v.model_fields["kind"].default for v in variants(Optimizer)]
)
@every_cut
def test_no_optimizer_moves_a_frozen_tensor(
    layers: list[dict[str, Any]], names: set[str], kind: str
) -> None:
    net = network(layers)
    x, y = examples(60)
    held = Frozen(net, names)
    before = held.hashes()
    learning = {n: tensor_sha256(p) for n, p in net.named_parameters()}

    train(held, x, y, kind)

    assert held.hashes() == before
    moved = {n for n, p in net.named_parameters() if tensor_sha256(p) != learning[n]}
    assert moved == {n for n, p in net.named_parameters() if p.requires_grad}


def test_weight_decay_does_not_reach_frozen_layers() -> None:
    net = network(DENSE)
    x, y = examples(60)
    held = Frozen(net, {"hidden1"})
    before = held.hashes()
    descent = torch.optim.AdamW(held.learning(), weight_decay=0.5)

    net.train()
    held.hold()
    torch.autograd.backward(cross_entropy(net(x), y))
    descent.step()

    assert held.hashes() == before


def test_a_frozen_layer_between_layers_that_learn_passes_gradients_on() -> None:
    net = network(DENSE)
    x, y = examples(60)
    held = Frozen(net, {"hidden2"})
    before = held.hashes()
    below = tensor_sha256(net.state_dict()["layers.hidden1.weight"])

    train(held, x, y)

    assert held.cut.below == ()
    assert held.hashes() == before
    assert tensor_sha256(net.state_dict()["layers.hidden1.weight"]) != below


def test_training_wakes_neither_dropout_nor_normalization_of_frozen_layers() -> None:
    layers = [{**layer, "dropout": 0.5} for layer in DENSE]
    net = network(layers)
    held = Frozen(net, {"hidden1", "hidden2"})

    net.train()
    held.hold()

    awake = {name for name, layer in net.layers.items() if layer.training}
    assert awake == {"hidden3", "output"}
    assert not any(m.training for m in net.layers["hidden1"].modules())


def test_every_parameter_and_buffer_of_a_frozen_layer_is_hashed() -> None:
    net = network(RESIDUAL)
    held = Frozen(net, {"block1"})

    assert held.tensors().keys() == {
        f"block1.{name}" for name in net.layers["block1"].state_dict()
    }
    assert "block1.conv1.normalization.num_batches_tracked" in held.hashes()


def test_statistics_move_where_training_normalization_is_asked_for() -> None:
    net = network(DENSE)
    x, y = examples(60)
    held = Frozen(net, {"hidden1", "hidden2"}, "train")
    before = held.hashes()
    statistic = "hidden1.normalization.running_mean"
    mean = net.layers["hidden1"].state_dict()["normalization.running_mean"].clone()

    train(held, x, y)

    assert held.cut.below == ()
    assert held.hashes() == before
    assert statistic not in before
    assert {"hidden1.weight", "hidden1.normalization.weight"} <= before.keys()
    now = net.layers["hidden1"].state_dict()["normalization.running_mean"]
    assert not torch.equal(now, mean)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_without_normalization_its_mode_makes_no_difference(
    mode: Literal["eval", "train"],
) -> None:
    net = network(DENSE, normalization="none")

    held = Frozen(net, {"hidden1", "hidden2"}, mode)

    assert held.cut.below == ("hidden1", "hidden2")


def hashes(**changed: str) -> Mapping[str, str]:
    return {"hidden1.weight": "a", "hidden1.bias": "b", **changed}


def test_the_proof_lists_what_was_and_what_is() -> None:
    assert frozen.proof(hashes(), {**hashes(), "output.weight": "c"}) == [
        {"tensor": "hidden1.weight", "before": "a", "after": "a"},
        {"tensor": "hidden1.bias", "before": "b", "after": "b"},
    ]


@pytest.mark.parametrize(
    "after", [{**hashes(), "hidden1.bias": "c"}, {"hidden1.weight": "a"}]
)
def test_a_tensor_that_moved_or_went_is_named(after: dict[str, str]) -> None:
    with pytest.raises(FrozenMoved, match=r"'hidden1\.bias'") as raised:
        frozen.proof(hashes(), after)

    assert raised.value.facts == {"tensors": "hidden1.bias"}


def test_the_hash_of_the_layers_sees_weights_and_architecture() -> None:
    def sha(layers: list[dict[str, Any]], seed: int = 1) -> str:
        net = network(layers, seed=seed)
        return frozen.layers_sha256(net, Frozen(net, {"hidden1", "hidden2"}).cut)

    other_top = [*DENSE[:2], {**DENSE[2], "units": 30}]
    other_activation = [{**DENSE[0], "activation": "relu"}, *DENSE[1:]]

    assert sha(DENSE) == sha(DENSE)
    assert sha(DENSE) != sha(DENSE, seed=5)
    assert sha(DENSE) == sha(other_top)
    assert sha(DENSE) != sha(other_activation)


def test_dropout_and_initializers_of_frozen_layers_do_not_change_the_hash() -> None:
    net, twin = network(DENSE), network([{**layer, "dropout": 0.3} for layer in DENSE])
    twin.load_state_dict(net.state_dict())
    cut = Frozen(net, {"hidden1"}).cut

    assert frozen.layers_sha256(net, cut) == frozen.layers_sha256(twin, cut)
