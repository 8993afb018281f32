"""A padded sequence gives what the same sequence gives without its padding."""

from typing import Any

import pytest
import torch

from tests.trainer.layers import made, part, unpadded
from trainer.network import Network

IDS = [3.0, 1.0, 8.0, 2.0]
BEHIND = [*IDS, 0.0, 0.0, 0.0]
WORDS: dict[str, Any] = {
    "kind": "embedding",
    "units": 4,
    "vocabulary_size": 9,
    "initializer": "normal",
}
LAST: dict[str, Any] = {"kind": "global_max_pool1d"}

READERS: dict[str, list[dict[str, Any]]] = {
    "simple": [{"kind": "simple_rnn", "units": 3}],
    "gated": [{"kind": "gru", "units": 3, "bidirectional": True}],
    "lstm": [{"kind": "lstm", "units": 3}],
    "stacked": [
        {"kind": "lstm", "units": 3, "bidirectional": True, "return_sequences": True},
        {"kind": "dropout"},
        {"kind": "gru", "units": 3},
    ],
    "mean": [{"kind": "global_average_pool1d"}],
    "attention": [{"kind": "multi_head_attention", "heads": 2}, LAST],
    "causal": [{"kind": "multi_head_attention", "heads": 2, "causal": True}, LAST],
    "transformer": [
        {"kind": "positional_encoding"},
        {"kind": "transformer_block", "heads": 2},
        {"kind": "layer_normalization"},
        {"kind": "global_average_pool1d"},
    ],
    "post-norm": [
        {"kind": "transformer_block", "normalize_first": False, "heads": 1},
        LAST,
    ],
    "convolution": [{"kind": "conv1d", "filters": 3, "kernel_size": 2}, LAST],
    "same": [
        {"kind": "conv1d", "filters": 3, "padding": "same"},
        {"kind": "conv1d", "filters": 3, "padding": "causal", "dilation": 2},
        {"kind": "global_average_pool1d"},
    ],
    "separable": [{"kind": "separable_conv1d", "filters": 3, "padding": "same"}, LAST],
    "pooled": [
        {"kind": "conv1d", "filters": 3, "kernel_size": 2},
        {"kind": "max_pool1d", "stride": 1},
        {"kind": "average_pool1d"},
        {"kind": "global_average_pool1d"},
    ],
    "larger": [
        {"kind": "upsampling1d"},
        {"kind": "transposed_conv1d", "filters": 3, "stride": 2, "padding": "same"},
        {"kind": "zero_padding1d", "padding": [1, 0]},
        {"kind": "cropping1d", "cropping": [2, 0]},
        {"kind": "global_average_pool1d"},
    ],
    "spread": [
        {"kind": "transposed_conv1d", "filters": 3, "stride": 2},
        {"kind": "transposed_conv1d", "filters": 3, "kernel_size": 2, "stride": 3},
        {"kind": "global_average_pool1d"},
    ],
    "joined": [
        {"kind": "conv1d", "filters": 4, "kernel_size": 1, "name": "seen"},
        {"kind": "concatenate", "inputs": ["embedding1", "seen"], "axis": "steps"},
        {"kind": "gru", "units": 3},
    ],
    "merged": [
        {"kind": "conv1d", "filters": 4, "padding": "same", "name": "seen"},
        {"kind": "add", "inputs": ["seen", "embedding1"], "name": "sum"},
        {"kind": "concatenate", "inputs": ["sum", "seen"]},
        {"kind": "global_average_pool1d"},
    ],
    "asked": [
        {"kind": "conv1d", "filters": 3, "padding": "same", "name": "asks"},
        {
            "kind": "multi_head_attention",
            "inputs": ["asks", "embedding1"],
            "heads": 3,
            "key_size": 2,
        },
        {"kind": "global_average_pool1d"},
    ],
}
every_reader = pytest.mark.parametrize("reader", list(READERS.values()), ids=READERS)


def read(network: Network, *sequences: list[float]) -> torch.Tensor:
    outputs: torch.Tensor = network(torch.tensor(sequences, dtype=torch.float64))
    return outputs.detach()


@every_reader
def test_padding_behind_a_sequence_changes_nothing(reader: Any):
    layers: list[dict[str, Any]] = [WORDS, *reader]
    long = made(layers, (7,))
    short = unpadded(long, layers, 4)

    torch.testing.assert_close(read(long, BEHIND), read(short, IDS))


@every_reader
def test_the_real_steps_do_change_it(reader: Any):
    net = made([WORDS, *reader], (7,))
    other = [5.0, *BEHIND[1:]]

    assert not torch.allclose(read(net, BEHIND), read(net, other))


@every_reader
def test_a_sequence_of_nothing_but_padding_gives_numbers(reader: Any):
    net = made([WORDS, *reader], (7,))
    x = torch.zeros(2, 7, dtype=torch.float64)

    outputs = net(x)
    outputs.sum().backward()

    assert torch.isfinite(outputs).all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize(
    "padded", [[0.0, 0.0, 0.0, *IDS], [0.0, 3.0, 0.0, 1.0, 8.0, 0.0, 2.0]]
)
@pytest.mark.parametrize("name", ["simple", "gated", "lstm", "stacked", "mean"])
def test_recurrent_layers_and_means_pass_over_padding_anywhere(name: str, padded: Any):
    layers: list[dict[str, Any]] = [WORDS, *READERS[name]]
    long = made(layers, (7,))
    short = unpadded(long, layers, 4)

    torch.testing.assert_close(read(long, padded), read(short, IDS))


def test_sequences_of_a_batch_have_lengths_of_their_own():
    net = made([WORDS, *READERS["stacked"]], (7,))
    shorter = [4.0, 5.0, *[0.0] * 5]

    together = read(net, BEHIND, shorter)

    torch.testing.assert_close(together[1:], read(net, shorter))


def test_a_sequence_shorter_than_the_window_is_seen_once():
    layers: list[dict[str, Any]] = [
        WORDS,
        {"kind": "conv1d", "filters": 3, "kernel_size": 4},
        LAST,
    ]
    long = made(layers, (7,))
    exact = unpadded(long, layers, 4)
    two = [3.0, 1.0]

    found = read(long, [*two, *[0.0] * 5])

    torch.testing.assert_close(found, read(exact, [*two, 0.0, 0.0]))


def test_without_masking_id_0_is_an_id_like_the_others():
    layers: list[dict[str, Any]] = [
        WORDS | {"mask_padding": False},
        {"kind": "global_average_pool1d"},
    ]
    net = made(layers, (7,))

    assert net.rows[1].masks == ()
    assert part(net, "embedding1").weight[0].abs().sum() > 0


def test_the_layer_above_the_cut_still_knows_the_padding():
    layers: list[dict[str, Any]] = [
        WORDS,
        {"kind": "dropout"},
        {"kind": "lstm", "units": 3},
    ]
    net = made(layers, (7,))
    cut = net.cut({"embedding1"})
    x = torch.tensor([BEHIND, [1.0, 2.0, *[0.0] * 5]], dtype=torch.float64)

    values = net.run_below(cut, x)

    assert cut.boundary == ("input", "embedding1")
    assert torch.equal(net.run_above(cut, values), net(x))


def test_steps_without_padding_can_lie_behind_padded_ones():
    layers: list[dict[str, Any]] = [
        WORDS,
        {"kind": "embedding", "units": 4, "vocabulary_size": 9, "inputs": ["input"]}
        | {"mask_padding": False, "name": "all"},
        {"kind": "concatenate", "inputs": ["embedding1", "all"], "axis": "steps"},
        {"kind": "global_average_pool1d"},
    ]
    net = made(layers, (7,))
    x = torch.tensor([BEHIND], dtype=torch.float64)
    words, every = part(net, "embedding1")(x), part(net, "all")(x)

    expected = (words.sum(1) + every.sum(1)) / (4 + 7)

    found = net._run(list(net.inputs), {"input": x}, ["global_average_pool1d1"])
    torch.testing.assert_close(found["global_average_pool1d1"], expected)
