"""Attention, the transformer's block and positions are those of Vaswani et al."""

from math import cos, sin, sqrt
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.layers import alone, applied, made, part
from trainer.spec.errors import InvalidSpec


def doubles(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def by_hand(module: Any, query: Tensor, value: Tensor, key: Tensor) -> Tensor:
    """Return what the paper's formula gives for one head after the other."""
    q, k, v = module.query(query), module.key(key), module.value(value)
    size = module.key_size
    heads = []
    for start in range(0, module.heads * size, size):
        head = slice(start, start + size)
        scores = q[..., head] @ k[..., head].mT / sqrt(size)
        if module.causal:
            later = torch.ones_like(scores, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(later, float("-inf"))
        heads.append(scores.softmax(-1) @ v[..., head])
    outputs: Tensor = module.output(torch.cat(heads, -1))
    return outputs


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("heads", "key_size"), [(1, None), (2, None), (3, 5)])
def test_attention_is_the_papers_formula(heads: int, key_size: Any, causal: bool):
    layer = {"kind": "multi_head_attention", "heads": heads, "causal": causal}
    net = alone(layer | ({"key_size": key_size} if key_size else {}), (5, 4))
    x = doubles(2, 5, 4)

    expected = by_hand(part(net), x, x, x)

    torch.testing.assert_close(applied(net, x), expected)


def test_three_inputs_are_queries_values_and_keys():
    layers = [
        {"kind": "conv1d", "name": "asks", "filters": 4, "padding": "same"},
        {"kind": "conv1d", "name": "tells", "filters": 6},
        {"kind": "conv1d", "name": "finds", "filters": 2, "inputs": ["asks"]},
        {
            "kind": "multi_head_attention",
            "name": "layer",
            "heads": 2,
            "inputs": ["asks", "tells", "finds"],
        },
    ]
    net = made([*layers[:1], layers[1] | {"inputs": ["input"]}, *layers[2:]], (7, 3))
    asked, told, found = doubles(2, 7, 4), doubles(2, 5, 6), doubles(2, 5, 2)

    outputs = applied(net, asked, told, found)

    expected = by_hand(part(net), asked, told, found)
    torch.testing.assert_close(outputs, expected)
    assert net.rows[3].output_shape == (7, 4)


def test_a_causal_step_does_not_see_the_future():
    net = alone({"kind": "transformer_block", "heads": 2, "causal": True}, (6, 4))
    one = doubles(1, 6, 4)
    other = torch.cat([one[:, :4], doubles(1, 2, 4, seed=1)], dim=1)

    left, right = applied(net, one), applied(net, other)

    torch.testing.assert_close(left[:, :4], right[:, :4])
    assert not torch.allclose(left[:, 4:], right[:, 4:])


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_block_equals_torchs_encoder_layer(first: bool, activation: str):
    layer = {
        "kind": "transformer_block",
        "heads": 2,
        "units": 7,
        "activation": activation,
        "normalize_first": first,
    }
    net = alone(layer, (5, 4))
    block: Any = part(net)
    torchs = nn.TransformerEncoderLayer(
        4, 2, 7, activation=activation, batch_first=True, norm_first=first
    )
    torchs = torchs.double().eval()
    attention = block.attention
    parts = (attention.query, attention.key, attention.value)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.1 * doubles(*parameter.shape, seed=5))
        torchs.self_attn.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        torchs.self_attn.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
        for ours, theirs in (
            (attention.output, torchs.self_attn.out_proj),
            (block.inner, torchs.linear1),
            (block.outer, torchs.linear2),
            (block.normalization1, torchs.norm1),
            (block.normalization2, torchs.norm2),
        ):
            theirs.load_state_dict(ours.state_dict())
    x = doubles(3, 5, 4)

    torch.testing.assert_close(applied(net, x), torchs(x).detach())


def test_positions_are_sines_and_cosines_of_falling_speed():
    net = alone({"kind": "positional_encoding"}, (3, 5))

    found = applied(net, torch.zeros(1, 3, 5))[0, 2]

    slower, slowest = 2 / 10_000 ** (2 / 5), 2 / 10_000 ** (4 / 5)
    expected = [sin(2), cos(2), sin(slower), cos(slower), sin(slowest)]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert part(net).state_dict() == {}


def test_learned_positions_are_drawn_from_the_seed_and_never_penalised():
    layer = {"kind": "positional_encoding", "method": "learned"}
    one, two = alone(layer, (30, 20), seed=1), alone(layer, (30, 20), seed=1)

    positions = part(one).positions

    assert torch.equal(positions, part(two).positions)
    assert positions.std().item() == pytest.approx(0.02, rel=0.1)
    assert one.rows[0].tensors["positions"].role == "other"


def test_a_block_of_the_paper_has_its_number_of_parameters():
    # 4 (512 x 512 + 512) + 512 x 2048 + 2048 + 2048 x 512 + 512 + 4 x 512
    net = alone({"kind": "transformer_block"}, (2, 512))

    assert net.rows[0].parameters == 3_152_384


def test_work_of_attention_grows_with_the_square_of_the_steps():
    layer = {"kind": "multi_head_attention", "heads": 2}
    few, many = (alone(layer, (steps, 8)).rows[0] for steps in (10, 1000))

    assert few.flops == 2 * 10 * 4 * 8 * 8 + 4 * 10 * 10 * 8
    assert many.flops == 2 * 1000 * 4 * 8 * 8 + 4 * 1000 * 1000 * 8


@pytest.mark.parametrize(
    "layer",
    [
        {"kind": "simple_rnn", "units": 64},
        {"kind": "gru", "units": 64, "bidirectional": True},
        {"kind": "lstm", "units": 64, "return_sequences": True},
        {"kind": "multi_head_attention", "heads": 4},
        {"kind": "multi_head_attention", "heads": 4, "dropout": 0.1},
        {"kind": "transformer_block", "heads": 4},
        {"kind": "conv1d", "filters": 64, "padding": "same"},
    ],
    ids=lambda layer: layer["kind"],
)
def test_the_memory_that_training_keeps_is_told_within_a_factor_of_two(layer: Any):
    net = alone(layer, (50, 32)).float().train()
    ours = {parameter.data_ptr() for parameter in net.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in ours:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = applied(net, torch.randn(16, 50, 32, requires_grad=True))

    per_example = sum(kept.values()) / 4 / 16
    assert outputs.requires_grad
    assert 0.5 < net.rows[0].activations / per_example < 2


@pytest.mark.parametrize(
    ("layer", "pointer", "said", "suggestion"),
    [
        (
            {"kind": "multi_head_attention", "heads": 4},
            "/network/layers/0/heads",
            "4 heads do not share 6 features evenly",
            "3",
        ),
        (
            {"kind": "transformer_block", "heads": 2, "activation": "maxout"},
            "/network/layers/0/activation",
            "one sum for each inner unit",
            "gelu",
        ),
        (
            {"kind": "multi_head_attention", "inputs": ["input"] * 4},
            "/network/layers/0/inputs",
            "takes 1 to 3 inputs, is given 4",
            None,
        ),
    ],
)
def test_what_does_not_fit_is_told(
    layer: Any, pointer: str, said: str, suggestion: Any
):
    with pytest.raises(InvalidSpec) as told:
        alone(layer, (5, 6))

    problem = told.value.problems[0]
    assert (problem.pointer, problem.suggestion) == (pointer, suggestion)
    assert said in problem.detail


def test_sequences_of_unequal_length_have_no_common_past():
    layers = [
        {"kind": "conv1d", "name": "short", "filters": 4},
        {
            "kind": "multi_head_attention",
            "inputs": ["short", "input"],
            "heads": 2,
            "causal": True,
        },
    ]

    with pytest.raises(InvalidSpec, match="only equally long"):
        made(layers, (7, 3))
