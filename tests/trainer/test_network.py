"""What passes validation builds, has the tensors it said, and can be cut."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.network import Network
from trainer.spec.errors import InvalidSpec
from trainer.spec.network import NetworkSpec, filled, table

RESIDUAL = [
    {"name": "stem", "kind": "conv2d", "filters": 8, "padding": "same"},
    {"name": "block1", "kind": "residual", "filters": 8},
    {"name": "block2", "kind": "residual", "filters": 16, "stride": 2},
    {"name": "mean", "kind": "global_average_pool2d"},
]
SKIP = [
    {"name": "hidden1", "kind": "dense", "units": 16},
    {"name": "hidden2", "kind": "dense", "units": 16},
    {"name": "hidden3", "kind": "dense", "units": 16},
    {"name": "sum", "kind": "add", "inputs": ["hidden1", "hidden3"]},
]


def _network(layers: Any, shape: Any, units: Any = 4, seed: Any = 0) -> Any:
    spec = filled(NetworkSpec.model_validate({"layers": layers}), units)
    network = Network(spec, shape)
    network.initialize(torch.Generator().manual_seed(seed))
    return network.eval()


sizes = st.integers(1, 5)
image_layers = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "kind": st.just("conv2d"),
                "filters": st.sampled_from([2, 4, 6]),
                "kernel_size": st.one_of(sizes, st.tuples(sizes, sizes)),
                "stride": st.integers(1, 3),
                "padding": st.sampled_from(["valid", "same"]),
                "dilation": st.integers(1, 2),
                "groups": st.sampled_from([1, 2]),
                "bias": st.booleans(),
                "normalization": st.sampled_from(["batch", "none"]),
            }
        ),
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["max_pool2d", "average_pool2d"]),
                "pool_size": st.integers(1, 3),
                "stride": st.one_of(st.none(), st.integers(1, 3)),
                "padding": st.sampled_from(["valid", "same"]),
            }
        ),
        st.fixed_dictionaries(
            {
                "kind": st.just("residual"),
                "filters": st.sampled_from([2, 4]),
                "kernel_size": st.sampled_from([1, 3, 5]),
                "stride": st.integers(1, 3),
                "normalization": st.sampled_from(["batch", "none"]),
            }
        ),
        st.fixed_dictionaries({"kind": st.sampled_from(["batch_normalization"])}),
        st.fixed_dictionaries({"kind": st.just("dropout"), "rate": st.just(0.5)}),
        st.fixed_dictionaries(
            {"kind": st.just("activation"), "activation": st.sampled_from(["relu"])}
        ),
    ),
    max_size=4,
)
vector_layers = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "kind": st.just("dense"),
                "units": st.integers(1, 9),
                "activation": st.sampled_from(["elu", "relu", "none"]),
                "normalization": st.sampled_from(["batch", "none"]),
                "dropout": st.sampled_from([0.0, 0.3]),
            }
        ),
        st.fixed_dictionaries({"kind": st.sampled_from(["flatten"])}),
    ),
    max_size=3,
)
shapes = st.tuples(st.sampled_from([1, 2, 4]), st.integers(3, 12), st.integers(3, 12))


@settings(max_examples=120, deadline=None)
@given(images=image_layers, vectors=vector_layers, shape=shapes)
def test_what_passes_validation_builds_with_the_tensors_and_shapes_it_said(
    images: Any, vectors: Any, shape: Any
):
    spec = filled(NetworkSpec.model_validate({"layers": images + vectors}), 3)
    try:
        rows = table(spec, shape)
    except InvalidSpec:
        return
    network = Network(spec, shape)
    network.initialize(torch.Generator().manual_seed(0))
    network.eval()

    values = {"input": torch.randn(2, *shape)}
    for row in rows:
        module = network.layers[row.name]
        said = {n: (t.shape, t.dtype) for n, t in row.tensors.items()}
        has = {
            n: (tuple(t.shape), str(t.dtype).removeprefix("torch."))
            for n, t in module.state_dict().items()
        }
        assert has == said
        learns = {n for n, t in row.tensors.items() if t.learns}
        assert learns == {n for n, _ in module.named_parameters()}
        values[row.name] = module(*(values[name] for name in row.inputs))
        assert tuple(values[row.name].shape[1:]) == row.output_shape


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(28, 3, 2), (7, 2, 2), (5, 4, 3), (9, 3, 1)]
)
def test_same_padding_gives_the_input_over_the_stride(
    size: Any, kernel: Any, stride: Any
):
    conv = {
        "kind": "conv2d",
        "filters": 1,
        "kernel_size": kernel,
        "stride": stride,
        "padding": "same",
    }
    network = _network([conv], (1, size, size))

    outputs = network.layers["conv2d1"](torch.randn(1, 1, size, size))

    assert outputs.shape[-1] == -(-size // stride)


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not():
    one, two, other = (_network(RESIDUAL, (1, 8, 8), seed=s) for s in (1, 1, 2))
    states = [n.state_dict()["layers.stem.weight"] for n in (one, two, other)]

    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_a_chain_is_cut_above_its_last_frozen_layer():
    network = _network(SKIP[:3], (5,))

    cut = network.cut({"hidden1", "hidden2"})

    assert cut.below == ("hidden1", "hidden2")
    assert cut.boundary == ("hidden2",)
    assert cut.above == ("hidden3", "output")


def test_a_frozen_layer_above_one_that_learns_is_not_below_the_cut():
    cut = _network(SKIP[:3], (5,)).cut({"hidden1", "hidden3"})

    assert cut.below == ("hidden1",)
    assert cut.above == ("hidden2", "hidden3", "output")


def test_a_skip_over_the_cut_makes_a_boundary_of_two():
    cut = _network(SKIP, (5,)).cut({"hidden1", "hidden2"})

    assert cut.boundary == ("hidden1", "hidden2")
    assert cut.above == ("hidden3", "sum", "output")


def test_pooling_above_frozen_layers_goes_below_the_cut_and_dropout_does_not():
    layers = [
        {"name": "conv", "kind": "conv2d", "filters": 4},
        {"name": "pool", "kind": "max_pool2d"},
        {"name": "drop", "kind": "dropout"},
    ]

    cut = _network(layers, (1, 9, 9)).cut({"conv"})

    assert cut.below == ("conv", "pool")
    assert cut.above == ("drop", "output")


def test_without_frozen_layers_the_boundary_is_the_input():
    cut = _network(SKIP, (5,)).cut(set())

    assert cut.below == ()
    assert cut.boundary == ("input",)


@pytest.mark.parametrize(
    ("layers", "shape", "frozen"),
    [
        (SKIP, (5,), {"hidden1", "hidden2"}),
        (RESIDUAL, (1, 8, 8), {"stem", "block1"}),
        (SKIP[:1], (5,), {"hidden1", "output"}),
    ],
)
def test_below_then_above_is_the_whole_network(layers: Any, shape: Any, frozen: Any):
    network = _network(layers, shape)
    x = torch.randn(6, *shape)
    cut = network.cut(frozen)

    whole = network(x)

    assert torch.equal(network.run_above(cut, network.run_below(cut, x)), whole)
