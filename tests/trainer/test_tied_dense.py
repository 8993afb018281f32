"""A decoder on its encoder's weights: one tensor everywhere, and PCA as its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn.functional import elu

from tests.trainer.layers import part
from tests.trainer.spec_samples import DIGITS, job, resolved
from tests.trainer.test_folding import both, normalisations
from tests.trainer.trainings import (
    TOY,
    assert_same,
    build,
    carry_out,
    model,
    numbers,
    order,
    spec,
    trained,
    weights,
)
from trainer.data.dataset import Dataset, described
from trainer.errors import NothingLearns
from trainer.frozen import layers_sha256
from trainer.saved import model_folder
from trainer.saved.reopened import network_of
from trainer.serving.served import serve
from trainer.spec.errors import InvalidSpec
from trainer.spec.serving import Serving

CALM = {"normalization": "none", "dropout": 0.0}
GIVEN = {"task": "reconstruction", "features": ["x"]}
LAYERS: list[dict[str, Any]] = [
    {"kind": "dense", "name": "hidden1", "units": 6, **CALM},
    {"kind": "dense", "name": "hidden2", "units": 3, **CALM},
    {"kind": "tied_dense", "name": "hidden3", "tied_to": "hidden2", **CALM},
    {"kind": "tied_dense", "name": "output", "tied_to": "hidden1"},
]


def array(rows: int = 60, features: int = 8, seed: int = 9) -> Dataset:
    """Return rows of numbers with a few directions in them."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, 3)) @ draw.normal(size=(3, features))
    return rows_of(x)


def rows_of(x: Any) -> Dataset:
    """Return a data set of one array."""
    return described(TOY, {"train": {"x": np.asarray(x, np.float32)}}, "toy")


def tied(layers: Any = None, **training: Any) -> dict[str, Any]:
    """Return the job of a stacked autoencoder with tied weights."""
    return spec(layers or LAYERS, dataset=GIVEN, **training)


def test_it_multiplies_by_the_other_layers_weights_turned_round() -> None:
    network = build(tied(), array()).network.eval()
    state: dict[str, Tensor] = network.layers.state_dict()
    x = torch.randn(5, 8)

    with torch.inference_mode():
        found = network(x)
        h1 = elu(x @ state["hidden1.weight"].T + state["hidden1.bias"])
        h2 = elu(h1 @ state["hidden2.weight"].T + state["hidden2.bias"])
        h3 = elu(h2 @ state["hidden2.weight"] + state["hidden3.bias"])

    torch.testing.assert_close(
        found, h3 @ state["hidden1.weight"] + state["output.bias"]
    )


def test_the_weights_are_counted_once_and_saved_once(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", tied(), array())

    tensors = model_folder.read(folder).tensors()
    rows = {row["name"]: row for row in model_folder.read(folder).description["layers"]}

    assert sorted(n for n in tensors if n.endswith("weight")) == [
        "hidden1.weight",
        "hidden2.weight",
    ]
    assert [rows[name]["parameters"] for name in rows] == [54, 21, 6, 8]


def test_the_gradient_of_both_uses_adds_up_in_one_tensor() -> None:
    network = build(tied(), array()).network.double()
    x = torch.randn(4, 8, dtype=torch.float64)
    weight = part(network, "hidden1").weight

    def error(w: Tensor) -> Tensor:
        given = {"layers.hidden1.weight": w}
        found: Tensor = torch.func.functional_call(network, given, (x,))
        return (found - x).square().mean()

    assert torch.autograd.gradcheck(error, (weight,))


def test_a_penalty_on_the_weights_is_paid_once() -> None:
    plain = build(tied(LAYERS), array()).training
    dear = build(tied(LAYERS, regularization={"l2": 0.5}), array()).training
    for training in (plain, dear):
        training.descent.penalties.add_gradients()

    before = part(plain.network, "hidden1").weight
    assert part(dear.network, "hidden1").weight.grad is not None
    torch.testing.assert_close(
        part(dear.network, "hidden1").weight.grad, before.detach()
    )


def test_a_saved_model_comes_back_and_its_graph_answers_alike(tmp_path: Path) -> None:
    what = tied()
    run = order(what, model=tmp_path / "model")
    for _ in carry_out(run, array()):
        pass
    network = network_of(tmp_path / "model").eval()
    x = torch.randn(30, 8)

    served = serve(network, x, tmp_path / "model.onnx", Serving(precision="int8"), [])

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(["output"], {"input": x.numpy()})
    with torch.inference_mode():
        expected = network(x)
    assert served.report["served_precision"] == "int8"
    scale = max(1.0, float(expected.abs().max()))
    assert float((torch.from_numpy(found) - expected).abs().max()) < 0.25 * scale


def test_weights_that_two_layers_use_are_not_folded_into() -> None:
    layers: list[dict[str, Any]] = [
        {"kind": "dense", "name": "code", "units": 4},
        {"kind": "tied_dense", "name": "back", "tied_to": "code"},
    ]

    made, folded, found = both(layers, (5,))

    assert found.refused["code"] == "'back' uses the same weights"
    assert normalisations(folded) == normalisations(made)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the model of a tied autoencoder."""
    return model(tmp_path_factory.mktemp("tied") / "source", tied(epochs=1), array())


def reusing(layers: Any, freeze: Any, **training: Any) -> dict[str, Any]:
    """Return the job that reuses layers of `source`."""
    what = tied(**training)
    return what | {"reuse": [{"from": "source", "layers": layers, "freeze": freeze}]}


def test_the_decoder_may_learn_its_bias_on_frozen_weights(source: Path) -> None:
    what = reusing("hidden.*", "hidden1")
    assembly = build(what, array(), sources=[source])
    before = part(assembly.network, "hidden1").weight.detach().clone()
    bias = part(assembly.network, "output").bias.detach().clone()

    trained(assembly.training)

    assert torch.equal(part(assembly.network, "hidden1").weight, before)
    assert not torch.equal(part(assembly.network, "output").bias, bias)


def test_a_frozen_decoder_of_weights_that_learn_is_refused(source: Path) -> None:
    with pytest.raises(InvalidSpec) as refusal:
        build(reusing(".*", "hidden[13]"), array(), sources=[source])

    (problem,) = refusal.value.problems
    assert problem.code == "half_frozen"
    assert problem.suggestion == "freeze hidden2 as well"


def test_below_the_cut_is_only_what_stands_on_frozen_weights(source: Path) -> None:
    frozen = ["hidden1", "hidden2", "hidden3"]

    assembly = build(reusing(".*", frozen), array(), sources=[source])

    assert assembly.training.material.cut.below == tuple(frozen)
    assert assembly.training.material.cut.boundary == ("hidden3",)


def test_a_layer_without_tensors_of_its_own_is_no_fixed_function() -> None:
    bare = [
        {"kind": "dense", "name": "code", "units": 3, **CALM},
        {"kind": "tied_dense", "name": "back", "tied_to": "code", "bias": False}
        | {"activation": "none", **CALM},
    ]
    network = build(tied(bare), array()).network

    assert "back" in network.cut(frozenset()).above
    assert network.cut({"code"}).boundary == ("back",)


def test_kept_outputs_are_those_of_these_very_weights(source: Path) -> None:
    frozen = ["hidden1", "hidden2", "hidden3"]
    network = build(reusing(".*", frozen), array(), sources=[source]).network
    cut = network.cut_at("hidden3")
    before = layers_sha256(network, cut)

    with torch.no_grad():
        part(network, "hidden2").weight.add_(1)

    assert layers_sha256(network, cut) != before


@pytest.mark.parametrize("mode", ["required", "off"])
def test_frozen_tied_layers_keep_every_bit(
    source: Path, mode: str, tmp_path: Path
) -> None:
    frozen = ["hidden1", "hidden2", "hidden3"]
    what = reusing(".*", frozen, frozen_cache=mode, epochs=2)

    ordered = order(what, model=tmp_path / "model", sources=[source])
    *_, result = carry_out(ordered, array())

    proved = {line["tensor"] for line in result["frozen"]}
    assert {"hidden1.weight", "hidden2.weight", "hidden3.bias"} <= proved
    assert all(line["before"] == line["after"] for line in result["frozen"])


def test_nothing_learns_where_decoder_and_encoder_rest(source: Path) -> None:
    with pytest.raises(NothingLearns):
        build(reusing(".*", ".*"), array(), sources=[source])


def test_a_max_norm_and_an_average_hold_for_the_one_tensor() -> None:
    wish = {"max_norm": 0.2}
    what = tied(regularization=wish, averaging="exponential_moving_average")
    training = build(what, array()).training

    trained(training)

    norms = part(training.network, "hidden1").weight.detach().norm(dim=1)
    assert norms.max().item() <= 0.2 + 1e-5


def test_parts_of_a_batch_train_like_the_whole() -> None:
    whole, parts = build(tied(), array()), build(tied(), array(), micro_batch=3)

    trained(whole.training)
    trained(parts.training)

    torch.testing.assert_close(weights(parts.training), weights(whole.training))


@pytest.mark.parametrize(
    ("layer", "field"),
    [
        ({"tied_to": "hidden9"}, "tied_to"),
        ({"tied_to": "hidden1"}, "tied_to"),
        ({"tied_to": "hidden2", "initializer": "he_normal"}, "initializer"),
        ({"tied_to": "hidden2", "regularization": {"l1": 1.0}}, "regularization"),
    ],
    ids=["unknown", "other units", "initialiser", "penalty"],
)
def test_what_cannot_be_tied_is_refused(layer: dict[str, Any], field: str) -> None:
    raw = job()
    raw["network"]["layers"].append({"kind": "tied_dense", "name": "back"} | layer)

    with pytest.raises(InvalidSpec) as refusal:
        resolved(raw, DIGITS)

    assert f"/network/layers/2/{field}" in [p.pointer for p in refusal.value.problems]


def test_only_dense_layers_lend_their_weights() -> None:
    raw = job()
    raw["network"]["layers"] = [
        {"kind": "conv2d", "name": "conv", "filters": 2},
        {"kind": "tied_dense", "name": "back", "tied_to": "conv"},
    ]

    with pytest.raises(InvalidSpec, match="dense layers"):
        resolved(raw, DIGITS)


def test_a_linear_autoencoder_is_principal_component_analysis() -> None:
    """Baldi and Hornik (1989), Neural Networks 2: its minimum is the projection."""
    x = load_iris(return_X_y=True)[0]
    x = x - x.mean(0)
    bare = {**CALM, "bias": False, "activation": "none"}
    layers = [
        {"kind": "dense", "name": "code", "units": 2, **bare},
        {"kind": "tied_dense", "name": "output", "tied_to": "code", **bare},
    ]
    what = tied(layers, epochs=800, batch_size=150, evaluate_every={"epochs": 400})
    what["training"]["optimizer"] = {"kind": "nesterov", "learning_rate": 0.05}
    what["dataset"] = GIVEN | {"id": "toy", "split": {"test": None, "validation": None}}
    assembly = build(what, rows_of(x))

    trained(assembly.training)

    pca = PCA(2).fit(x)
    expected = torch.from_numpy(pca.inverse_transform(pca.transform(x)))
    with torch.inference_mode():
        found = assembly.network(torch.from_numpy(x).float()).double()
        code = part(assembly.network, "code").weight.double()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    # the rows of W are orthonormal, and span what the two components span
    both = code @ torch.from_numpy(pca.components_).T
    torch.testing.assert_close(
        torch.linalg.svdvals(both), torch.ones(2).double(), atol=1e-4, rtol=0
    )


def test_a_table_can_be_given_back_by_tied_weights() -> None:
    what = tied() | {"dataset": {"id": "toy", "task": "reconstruction"}}
    layers = [{**LAYERS[0], "units": 2}, {**LAYERS[3]}]
    what["network"] = {"layers": layers}
    one, other = build(what, numbers()).training, build(what, numbers()).training

    trained(one)
    build(what, numbers())  # draws begin anew
    trained(other)

    assert_same(weights(one), weights(other))
