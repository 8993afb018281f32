"""A layer that two inputs share is one layer, and what compares them is right."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from tests.trainer.layers import made, part
from tests.trainer.pairs import BRANCHES, PLAIN, SIAMESE
from tests.trainer.test_layers_everywhere import rows, sequences
from tests.trainer.trainings import assert_same, build, model, spec, trained, weights
from trainer.export import export
from trainer.modules.pairs import (
    AbsoluteDifference,
    CosineDistance,
    DistanceThreshold,
    EuclideanDistance,
)
from trainer.saved import model_folder
from trainer.saved.reopened import network_of
from trainer.spec.errors import InvalidSpec
from trainer.spec.losses import Contrastive
from trainer.spec.network import NetworkSpec, filled, table
from trainer.training.loop import fit

PAIR = (2, 6)
A, B = torch.tensor([[1.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 0.5]])


def tabled(layers: list[dict[str, Any]], shape: tuple[int, ...] = PAIR) -> Any:
    return table(filled(NetworkSpec.model_validate({"layers": layers}), 2), shape)


def refused(layers: list[dict[str, Any]], shape: tuple[int, ...] = PAIR) -> Any:
    with pytest.raises(InvalidSpec) as caught:
        tabled(layers, shape)
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (AbsoluteDifference(), [0.0, 2.0, 1.5]),
        (EuclideanDistance(0.0), [2.5]),
        (CosineDistance(0.0), [1 - 2 / (3 * sqrt(1.25))]),
    ],
)
def test_two_inputs_are_as_far_apart_as_the_formula_says(
    module: Any, expected: list[float]
):
    torch.testing.assert_close(module(A, B), torch.tensor([expected]))


def test_the_distance_of_equal_inputs_has_a_finite_gradient():
    a = A.clone().requires_grad_()

    EuclideanDistance(1e-7)(a, A).sum().backward()

    assert a.grad is not None
    assert a.grad.abs().max() == 0


def test_a_distance_is_called_the_same_up_to_its_threshold():
    found = DistanceThreshold(0.5)(torch.tensor([[0.2], [0.5], [0.9]]))

    torch.testing.assert_close(
        found, torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
    )
    same = found.softmax(1)[:, 1]
    torch.testing.assert_close(same, torch.sigmoid(torch.tensor([0.6, 0.0, -0.8])))


def test_the_contrastive_loss_has_the_values_of_the_paper():
    distance = torch.tensor([0.3, 1.2, 0.3, 1.2])
    outputs = torch.stack([distance, 1 - distance], dim=1)

    each = Contrastive(margin=1.0).each()(outputs, torch.tensor([1, 1, 0, 0]))

    expected = [0.3**2 / 2, 1.2**2 / 2, 0.7**2 / 2, 0.0]
    torch.testing.assert_close(each, torch.tensor(expected))


def test_a_shared_layer_is_counted_and_saved_once(tmp_path: Path):
    folder = model(tmp_path / "m", spec(SIAMESE, epochs=1), sequences(PAIR))

    lines = {
        line["name"]: line for line in model_folder.read(folder).description["layers"]
    }

    assert lines["again1"]["parameters"] == 0
    assert lines["again1"]["tensors"] == []
    assert lines["hidden1"]["parameters"] == 6 * 7 + 7 + 2 * 7
    assert not any("again" in name for name in model_folder.read(folder).tensors())


def test_the_work_of_a_shared_layer_is_counted_for_both():
    found = {row.name: row for row in tabled(SIAMESE)}

    assert found["again1"].flops == found["hidden1"].flops == 2 * 6 * 7
    assert found["again1"].activations == found["hidden1"].activations


def test_the_gradient_of_a_shared_layer_is_the_sum_of_both_uses():
    plain = [layer | (PLAIN if layer["kind"] == "dense" else {}) for layer in SIAMESE]
    network = made(plain, PAIR)
    x, weight = rows(PAIR).double(), part(network, "hidden1").weight

    network(x).square().sum().backward()
    whole = weight.grad.clone()
    parts = []
    for half in ("left", "right"):
        weight.grad = None
        values = network.values(x)  # what one half gives is taken as it is
        fixed = values[{"left": "again2", "right": "hidden2"}[half]].detach()
        both = {"left": (values["hidden2"], fixed), "right": (fixed, values["again2"])}
        apart = part(network, "apart")(*both[half])
        part(network, "output")(part(network, "top")(apart)).square().sum().backward()
        parts.append(weight.grad.clone())

    torch.testing.assert_close(whole, parts[0] + parts[1])


@pytest.mark.parametrize("kind", ["l1", "l2", "max_norm", "weight_decay"])
def test_penalties_and_limits_take_a_shared_layer_once(kind: str):
    plain = [layer | (PLAIN if layer["kind"] == "dense" else {}) for layer in SIAMESE]
    assembly = build(
        spec(plain, epochs=1, batch_size=30, regularization={kind: 0.01}),
        sequences(PAIR),
    )

    penalties = assembly.training.descent.penalties

    assert len(penalties.weights) == len({id(w.tensor) for w in penalties.weights}) == 4


def test_both_branches_give_the_same_for_the_same_example():
    network = made(SIAMESE, PAIR)
    x = rows(PAIR).double()
    x[:, 1] = x[:, 0]

    values = network.values(x)

    assert torch.equal(values["hidden2"], values["again2"])
    assert values["apart"].abs().max() == 0


def test_the_order_of_a_pair_does_not_matter_to_the_difference():
    network = made(SIAMESE, PAIR)
    x = rows(PAIR).double()

    torch.testing.assert_close(network(x), network(x.flip(1)))


def test_the_graph_holds_shared_weights_once(tmp_path: Path):
    folder = model(tmp_path / "m", spec(SIAMESE, epochs=1), sequences(PAIR))
    network = network_of(folder)

    report = export(network, rows(PAIR), tmp_path / "graph.onnx")

    weights_there = onnx.load(tmp_path / "graph.onnx").graph.initializer
    hidden = [each for each in weights_there if "hidden1.weight" in each.name]
    assert report.route == "recorded"
    assert len(hidden) == 1


def test_a_frozen_layer_is_frozen_for_both_branches_and_kept(tmp_path: Path):
    model(tmp_path / "source", spec(SIAMESE, epochs=1, seed=1), sequences(PAIR))
    frozen = "left|right|hidden.|again."
    entry = {"from": "source", "layers": ".*", "freeze": frozen}

    def after(mode: str) -> dict[str, torch.Tensor]:
        what = spec(SIAMESE, reuse=[entry], frozen_cache=mode)
        assembly = build(what, sequences(PAIR), sources=[tmp_path / "source"])
        before = assembly.frozen.hashes()
        trained(assembly.training)
        assert assembly.frozen.hashes() == before
        assert assembly.outputs.keeps == (mode == "required")
        return weights(assembly.training)

    assert_same(after("required"), after("off"))


def test_a_layer_that_is_frozen_alone_may_not_share_what_learns(tmp_path: Path):
    folder = model(tmp_path / "source", spec(SIAMESE, epochs=1), sequences(PAIR))
    entry = {"from": "source", "freeze": "again1"}

    with pytest.raises(InvalidSpec, match="uses the weights"):
        build(spec(SIAMESE, reuse=[entry]), sequences(PAIR), sources=[folder])


def test_a_stopped_training_of_shared_layers_goes_on_bit_for_bit():
    data = sequences(PAIR)
    whole = build(spec(SIAMESE), data).training
    trained(whole)
    first = build(spec(SIAMESE), data).training
    steps = fit(first, pause_seconds=0)
    [next(steps) for _ in range(4)]
    snapshot = first.snapshot()

    second = build(spec(SIAMESE), data).training
    second.restore(snapshot)
    trained(second)

    assert_same(weights(second), weights(whole))


@pytest.mark.parametrize(
    ("owner", "code", "suggestion"),
    [
        ("hidden3", "unknown_layer", "hidden2"),
        ("left", "impossible_shape", None),
        ("hidden2", "impossible_shape", None),
    ],
)
def test_a_layer_that_cannot_be_shared_is_named(
    owner: str, code: str, suggestion: str | None
):
    again = {"kind": "shared", "name": "again1", "of": owner}
    wrong = [*BRANCHES[:4], again, {"kind": "add", "inputs": ["hidden2", "again1"]}]

    problem = refused(wrong)

    assert (problem.pointer, problem.code) == ("/network/layers/4/of", code)
    assert problem.suggestion == suggestion


def test_a_shared_layer_is_not_shared_again_but_its_owner_is():
    wrong = [*BRANCHES, {"kind": "shared", "name": "third", "of": "again1"}]
    wrong[-1]["inputs"] = ["right"]

    assert refused(wrong).suggestion == "hidden1"


@pytest.mark.parametrize(
    ("shape", "layer", "field"),
    [
        ((6,), {"kind": "select"}, "kind"),
        ((2, 6), {"kind": "select", "index": 2}, "index"),
        ((6,), {"kind": "distance_threshold"}, "kind"),
    ],
)
def test_what_is_no_pair_or_distance_is_refused(shape: Any, layer: Any, field: str):
    assert refused([layer], shape).pointer == f"/network/layers/0/{field}"
