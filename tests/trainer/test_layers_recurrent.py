"""Recurrent layers and embeddings take the steps of their definitions."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.layers import alone, applied, part
from trainer.spec.errors import InvalidSpec
from trainer.spec.initializers import GlorotUniform

KINDS = ["simple_rnn", "gru", "lstm"]


def doubles(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def shaken(net: Any) -> Any:
    """Give every parameter of the layer a value, biases too."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in part(net).parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return net


def _simple(x: Tensor, h: Tensor, c: Tensor, w: Any) -> tuple[Tensor, Tensor]:
    sums = w["ih"] @ x + w["bi"] + w["hh"] @ h + w["bh"]
    return sums.tanh(), c


def _gated(x: Tensor, h: Tensor, c: Tensor, w: Any) -> tuple[Tensor, Tensor]:
    from_x = (w["ih"] @ x + w["bi"]).chunk(3)
    from_h = (w["hh"] @ h + w["bh"]).chunk(3)
    reset = (from_x[0] + from_h[0]).sigmoid()
    update = (from_x[1] + from_h[1]).sigmoid()
    new = (from_x[2] + reset * from_h[2]).tanh()
    return (1 - update) * new + update * h, c


def _lstm(x: Tensor, h: Tensor, c: Tensor, w: Any) -> tuple[Tensor, Tensor]:
    sums = (w["ih"] @ x + w["bi"] + w["hh"] @ h + w["bh"]).chunk(4)
    kept = sums[1].sigmoid() * c + sums[0].sigmoid() * sums[2].tanh()
    return sums[3].sigmoid() * kept.tanh(), kept


STEPS = {"simple_rnn": _simple, "gru": _gated, "lstm": _lstm}


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_is_that_of_the_paper(kind: str):
    net = shaken(alone({"kind": kind, "units": 3, "return_sequences": True}, (5, 2)))
    own = part(net).forwards
    names = {"ih": "weight_ih", "hh": "weight_hh", "bi": "bias_ih", "bh": "bias_hh"}
    w = {short: getattr(own, f"{name}_l0") for short, name in names.items()}
    x = doubles(5, 2)
    h = c = torch.zeros(3, dtype=torch.float64)

    found = applied(net, x[None])[0]

    for step in range(5):
        h, c = STEPS[kind](x[step], h, c, w)
        torch.testing.assert_close(found[step], h)


@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize(
    ("kind", "of"), [("simple_rnn", nn.RNN), ("gru", nn.GRU), ("lstm", nn.LSTM)]
)
def test_both_directions_equal_torch(kind: str, of: Any, sequences: bool):
    given = {"kind": kind, "units": 3, "bidirectional": True}
    net = shaken(alone(given | {"return_sequences": sequences}, (5, 2)))
    torchs = of(2, 3, batch_first=True, bidirectional=True).double()
    module = part(net)
    torchs.load_state_dict(
        module.forwards.state_dict()
        | {f"{n}_reverse": t for n, t in module.backwards.state_dict().items()}
    )
    x = doubles(4, 5, 2)

    outputs = torchs(x)[0]
    last = torch.cat([outputs[:, -1, :3], outputs[:, 0, 3:]], dim=1)

    torch.testing.assert_close(applied(net, x), outputs if sequences else last)


def test_an_lstm_starts_with_an_open_forget_gate_and_no_other_bias():
    net = alone({"kind": "lstm", "units": 3}, (5, 2))
    own = part(net).forwards

    assert own.bias_ih_l0.tolist() == [0] * 3 + [1] * 3 + [0] * 6
    assert own.bias_hh_l0.tolist() == [0] * 12


@pytest.mark.parametrize("kind", KINDS)
def test_weights_from_state_to_state_start_orthogonal(kind: str):
    net = alone({"kind": kind, "units": 4}, (5, 2))
    weight = part(net).forwards.weight_hh_l0

    products = weight.T @ weight

    torch.testing.assert_close(products, torch.eye(4).double(), atol=1e-6, rtol=0)


def test_the_networks_recipe_does_not_reach_recurrent_layers():
    net = alone({"kind": "gru", "units": 4}, (5, 2))

    assert list(net.rows[0].tensors) == [
        "forwards.weight_ih_l0",
        "forwards.weight_hh_l0",
        "forwards.bias_ih_l0",
        "forwards.bias_hh_l0",
    ]
    assert getattr(net.spec.layers[0], "initializer", None) == GlorotUniform()


def test_dropout_takes_a_feature_from_all_steps_and_nothing_when_evaluating():
    net = alone({"kind": "lstm", "units": 3, "dropout": 0.5}, (6, 40))
    drop = part(net).drop
    x = torch.ones(8, 6, 40)

    resting, working = drop(x), drop.train()(x)

    assert torch.equal(resting, x)
    assert set(working.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(working[:, :1].expand_as(working), working)


def test_a_frozen_recurrent_layer_passes_gradients_down():
    net = alone({"kind": "lstm", "units": 3}, (5, 2))
    layer = part(net).eval().requires_grad_(requires_grad=False)
    x = doubles(4, 5, 2).requires_grad_()

    layer(x).sum().backward()

    assert x.grad is not None
    assert layer.forwards.training  # cuDNN has no gradient in evaluation mode


def test_an_embedding_looks_up_and_keeps_padding_at_zero():
    net = alone({"kind": "embedding", "units": 3, "vocabulary_size": 5}, (4,))
    table = part(net).weight
    ids = torch.tensor([[2.0, 0.0, 4.0, 99.0]], dtype=torch.float64)

    found = applied(net, ids)
    (found - 1).square().sum().backward()

    assert torch.equal(found[0], table[[2, 0, 4, 4]])
    assert table[0].tolist() == [0, 0, 0]
    assert table.grad[0].tolist() == [0, 0, 0]
    assert table.grad[2].abs().sum() > 0


def test_an_embedding_asks_how_many_ids_there_are():
    with pytest.raises(InvalidSpec) as told:
        alone({"kind": "embedding", "units": 3}, (4,))

    (problem,) = told.value.problems
    assert problem.pointer == "/network/layers/0/vocabulary_size"
    assert "the largest id plus 1" in problem.detail


def test_a_vector_is_no_sequence_and_the_advice_says_what_makes_one():
    with pytest.raises(InvalidSpec) as told:
        alone({"kind": "lstm", "units": 3}, (4,))

    assert told.value.problems[0].suggestion == (
        "embedding for ids, or reshape to [-1, 1] for numbers before it"
    )


@pytest.mark.parametrize(
    ("layer", "per_step"),
    [
        ({"kind": "simple_rnn", "units": 8}, 2 * 8 * (4 + 8)),
        ({"kind": "lstm", "units": 8}, 2 * 32 * (4 + 8)),
        ({"kind": "gru", "units": 8, "bidirectional": True}, 2 * 2 * 24 * (4 + 8)),
        ({"kind": "conv1d", "filters": 8, "padding": "same"}, 2 * 8 * 4 * 3),
    ],
)
def test_work_is_counted_at_every_step(layer: Any, per_step: int):
    assert alone(layer, (50, 4)).rows[0].flops == 50 * per_step


def test_looking_up_is_no_work_whatever_the_vocabulary():
    layer = {"kind": "embedding", "units": 8, "vocabulary_size": 50_000}

    assert alone(layer, (50,)).rows[0].flops == 0
