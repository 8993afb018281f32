"""Penalties and limits, layer by layer, against numbers worked from definitions."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from tests.trainer import trainings
from tests.trainer.spec_samples import DIGITS, PASSENGERS, job, resolved
from tests.trainer.trainings import DENSE, pictures, spec
from trainer.network import Network
from trainer.spec.errors import InvalidSpec
from trainer.spec.network import NetworkSpec, filled
from trainer.spec.regularization import EarlyStopping
from trainer.spec.training import Training
from trainer.training.descent import Descent
from trainer.training.stopping import Stopping

PLAIN = {"activation": "linear", "normalization": "none", "dropout": 0}
INPUT = "input"


def built(
    layers: list[dict[str, Any]], shape: tuple[int, ...], **recipe: Any
) -> tuple[Network, Descent]:
    """Return a network whose weights are all 1, and the descent of a recipe."""
    wish = NetworkSpec.model_validate({"layers": layers, "defaults": PLAIN})
    network = Network(filled(wish, 2), shape)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
    training = Training.model_validate({"optimizer": "sgd"} | recipe)
    return network, Descent(network, network.cut(set()), training, cross_entropy)


def weight(network: Network, layer: str) -> Tensor:
    """Return the weights of a layer."""
    return network.get_parameter(f"layers.{layer}.weight").detach()


def still(network: Network, descent: Descent, rate: float = 0.1) -> None:
    """Take a step in which the loss has no gradient: two classes, equal outputs."""
    rows = torch.zeros(2, *network.shape)
    descent.step({INPUT: rows}, torch.tensor([0, 1]), rate)


TWO: list[dict[str, Any]] = [
    {"kind": "dense", "name": "first", "units": 2, "regularization": {"l2": 0.5}},
    {"kind": "dense", "name": "second", "units": 2},
]


def test_a_layers_penalty_takes_the_place_of_the_trainings() -> None:
    network, descent = built(TWO, (2,), regularization={"l2": 0.25, "l1": 1.0})

    still(network, descent)

    # l1's slope is 1 everywhere; l2's is 2 · 0.5 · 1 in the first layer, 0.5 elsewhere
    assert weight(network, "first").unique().tolist() == pytest.approx([1 - 0.2])
    assert weight(network, "second").unique().tolist() == pytest.approx([1 - 0.15])


def test_a_layer_can_switch_a_penalty_off() -> None:
    layers = [{**TWO[0], "regularization": {"l2": 0}}, TWO[1]]
    network, descent = built(layers, (2,), regularization={"l2": 0.25})

    still(network, descent)

    assert weight(network, "first").unique().tolist() == [1.0]
    assert weight(network, "second").unique().tolist() == pytest.approx([0.95])


def test_weights_decay_by_the_rate_and_nothing_else_does() -> None:
    layers = [
        {
            "kind": "dense",
            "name": "first",
            "units": 2,
            "activation": "prelu",
            "normalization": "batch",
        }
    ]
    network, descent = built(layers, (2,), regularization={"weight_decay": 0.5})
    before = {n: p.detach().clone() for n, p in network.named_parameters()}

    still(network, descent, rate=0.1)

    weights = {"layers.first.weight", "layers.output.weight"}
    decayed = {n for n, p in network.named_parameters() if n in weights}
    assert decayed == weights
    for name, parameter in network.named_parameters():
        share = 1 - 0.1 * 0.5 if name in weights else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * share)


def test_adam_with_decoupled_decay_is_torchs_adamw() -> None:
    layers = [{"kind": "dense", "name": "first", "units": 3, "bias": False}]
    network, descent = built(
        [*layers, {"kind": "dense", "name": "output", "bias": False}],
        (4,),
        optimizer="adam",
        regularization={"weight_decay": 0.1},
    )
    network.initialize(torch.Generator().manual_seed(1))
    copied = [nn.Parameter(p.detach().clone()) for p in network.parameters()]
    torchs = torch.optim.AdamW(copied, lr=0.01, weight_decay=0.1)
    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(2))
    targets = torch.arange(6) % 2

    for _ in range(4):
        descent.step({INPUT: rows}, targets, 0.01)
        torchs.zero_grad()
        first, last = copied
        cross_entropy(rows @ first.T @ last.T, targets).backward()
        torchs.step()

    for parameter, other in zip(network.parameters(), copied, strict=True):
        torch.testing.assert_close(parameter, other)


@pytest.mark.parametrize(
    "optimizer", ["sgd", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "nadam"]
)
def test_every_optimizer_lets_weights_decay(optimizer: str) -> None:
    network, descent = built(
        TWO[1:], (2,), optimizer=optimizer, regularization={"weight_decay": 0.5}
    )

    still(network, descent, rate=0.1)

    # the loss is flat, so that decay alone moves the weights
    assert weight(network, "second").unique().tolist() == pytest.approx([0.95])


@pytest.mark.parametrize("optimizer", ["adamw", {"kind": "adamw"}])
def test_two_decays_at_once_are_refused(optimizer: Any) -> None:
    raw = job(
        training={"optimizer": optimizer, "regularization": {"weight_decay": 0.1}}
    )

    with pytest.raises(InvalidSpec) as refusal:
        resolved(raw)

    (problem,) = refusal.value.problems
    assert problem.pointer == "/training/regularization/weight_decay"
    assert "adamw has a weight_decay of its own, 0.01" in problem.detail


def test_a_decay_of_adamw_that_is_switched_off_is_no_conflict() -> None:
    optimizer = {"kind": "adamw", "weight_decay": 0}

    resolved(
        job(training={"optimizer": optimizer, "regularization": {"weight_decay": 0.1}})
    )


def test_max_norm_of_a_dense_layer_bounds_the_weights_into_each_unit() -> None:
    layers = [{"kind": "dense", "name": "first", "units": 2}]
    network, descent = built(layers, (2,), regularization={"max_norm": 2.0})
    with torch.no_grad():
        weight(network, "first").copy_(torch.tensor([[3.0, 4.0], [1.0, 1.0]]))

    still(network, descent, rate=0.0)

    # norms 5 and √2: the first unit's weights become 2 / 5 of what they were
    expected = torch.tensor([[1.2, 1.6], [1.0, 1.0]])
    torch.testing.assert_close(weight(network, "first"), expected)


def test_max_norm_of_a_convolution_bounds_the_weights_of_each_filter() -> None:
    layers: list[dict[str, Any]] = [
        {"kind": "conv2d", "name": "first", "filters": 2, "kernel_size": 2},
        {"kind": "flatten"},
    ]
    network, descent = built(layers, (3, 4, 4), regularization={"max_norm": 3.0})
    with torch.no_grad():
        weight(network, "first")[1] = 0.5

    still(network, descent, rate=0.0)

    # 12 weights a filter: norms √12 = 3.4641 and √3 = 1.7321
    assert weight(network, "first")[0].unique().tolist() == pytest.approx([3 / 12**0.5])
    assert weight(network, "first")[1].unique().tolist() == [0.5]


def test_max_norm_of_a_transposed_convolution_bounds_its_output_channels() -> None:
    layers: list[dict[str, Any]] = [
        {"kind": "transposed_conv2d", "name": "first", "filters": 2, "kernel_size": 1},
        {"kind": "flatten"},
    ]
    network, descent = built(layers, (3, 2, 2), regularization={"max_norm": 1.0})
    with torch.no_grad():
        weight(network, "first")[:, 1] = 0.1

    still(network, descent, rate=0.0)

    # torch stores (in, out, height, width): 3 ones lead into channel 0, norm √3
    assert weight(network, "first").shape == (3, 2, 1, 1)
    first, second = weight(network, "first").unbind(1)
    assert first.unique().tolist() == pytest.approx([1 / 3**0.5])
    assert second.unique().tolist() == pytest.approx([0.1])


def test_max_norm_can_differ_by_layer_and_holds_for_the_output_if_it_says_so() -> None:
    layers: list[dict[str, Any]] = [
        {**TWO[0], "regularization": {"max_norm": None}},
        TWO[1],
        {"kind": "dense", "name": "output", "regularization": {"max_norm": 0.5}},
    ]
    network, descent = built(layers, (2,), regularization={"max_norm": 1.0})

    still(network, descent, rate=0.0)

    # two ones lead into each unit: norm √2
    assert weight(network, "first").unique().tolist() == [1.0]
    assert weight(network, "second").unique().tolist() == pytest.approx([1 / 2**0.5])
    assert weight(network, "output").unique().tolist() == pytest.approx([0.5 / 2**0.5])


def test_penalties_of_layers_do_not_depend_on_the_parts_of_a_batch() -> None:
    rows = torch.randn(7, 2, generator=torch.Generator().manual_seed(1))
    targets = torch.arange(7) % 2
    wishes = {"l1": 0.1, "weight_decay": 0.1}
    twins = [built(TWO, (2,), regularization=wishes) for _ in range(2)]
    twins[1][1].micro_batch = 3

    for _, descent in twins:
        descent.step({INPUT: rows}, targets, 0.1)

    torch.testing.assert_close(twins[0][0].state_dict(), twins[1][0].state_dict())


def test_penalties_are_the_slopes_of_their_formulas() -> None:
    network = Network(filled(NetworkSpec(layers=()), 1), (3,)).double()
    network.initialize(torch.Generator().manual_seed(1))
    recipe = Training.model_validate({"regularization": {"l1": 0.3, "l2": 0.7}})
    descent = Descent(network, network.cut(set()), recipe, mse_loss)
    own = network.get_parameter("layers.output.weight")

    descent.penalties.add_gradients()

    assert own.grad is not None
    copy = own.detach().clone().requires_grad_()
    (0.3 * copy.abs().sum() + 0.7 * copy.square().sum()).backward()
    torch.testing.assert_close(own.grad, copy.grad)


def test_a_penalty_that_a_layer_names_is_in_the_resolved_spec() -> None:
    layers = [{"kind": "dense", "units": 3, "regularization": {"max_norm": None}}]

    first = resolved(job(network={"layers": layers}))
    again = resolved(first.resolved())

    own = first.resolved()["network"]["layers"][0]["regularization"]
    assert own == {"max_norm": "none"}
    assert again.resolved() == first.resolved()


BINARY = {"id": "titanic", "target": "Survived"}


@pytest.mark.parametrize(
    ("name", "schema", "dataset"),
    [
        ("validation_accuracy", DIGITS, {"id": "digits"}),
        ("train_loss", DIGITS, {"id": "digits"}),
        ("validation_roc_auc", PASSENGERS, BINARY),
        ("validation_r2", PASSENGERS, {"id": "titanic", "target": "Fare"}),
        (
            "train_exact_match",
            PASSENGERS,
            {"id": "titanic", "target": ["Survived", "Minor"], "task": "multi_label"},
        ),
    ],
)
def test_early_stopping_may_watch_whatever_is_evaluated(
    name: str, schema: Any, dataset: dict[str, Any]
) -> None:
    raw = job(dataset=dataset, training={"early_stopping": {"monitor": name}})

    found = resolved(raw, schema).spec.training.early_stopping

    assert isinstance(found, EarlyStopping)
    assert found.monitor == name


def test_a_metric_that_is_not_evaluated_is_refused_with_those_that_are() -> None:
    raw = job(training={"early_stopping": {"monitor": "validation_roc_auc"}})

    with pytest.raises(InvalidSpec) as refusal:
        resolved(raw)  # ten classes have no one curve

    assert "validation_accuracy" in refusal.value.problems[0].detail


def looked(wish: EarlyStopping, values: list[float]) -> Stopping:
    """Return what early stopping knows after these losses, one a step."""
    stopping = Stopping(wish)
    for step, value in enumerate(values, 1):
        stopping.look({"validation_loss": value}, (step, step), {"w": torch.ones(1)})
    return stopping


def test_evaluations_at_the_beginning_are_not_judged() -> None:
    wish = EarlyStopping(patience=2, start_after=3)

    early = looked(wish, [0.1, 0.5, 0.5])
    later = looked(wish, [0.1, 0.5, 0.5, 0.4, 0.4, 0.4])

    assert not early.over
    assert early.weights == {}
    assert later.over
    assert (later.best.value, later.best.step) == (0.4, 4)


def test_the_count_of_evaluations_survives_a_restart() -> None:
    wish = EarlyStopping(patience=1, start_after=3)
    tensors, numbers = looked(wish, [0.1, 0.1]).state()
    again = Stopping(wish)

    again.restore(tensors, numbers)
    again.look({"validation_loss": 0.7}, (3, 3), {})
    again.look({"validation_loss": 0.6}, (4, 4), {})

    assert again.best.value == 0.6


def test_dropout_on_the_input_silences_inputs_while_training_only() -> None:
    layers = [{"kind": "dropout", "name": "noisy", "rate": 0.5}, *DENSE]
    training = trainings.build(spec(layers), pictures()).training
    seen: list[Tensor] = []
    training.network.layers["noisy"].register_forward_hook(
        lambda _, __, out: seen.append(out)
    )
    rows = torch.ones(64, 1, 6, 6)

    training.awaken()
    training.network(rows)
    training.network.eval()
    training.network(rows)

    assert seen[0].unique().tolist() == [0.0, 2.0]
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(seen[1], rows)


def test_a_network_with_dropout_on_its_input_trains_to_the_end() -> None:
    layers = [{"kind": "dropout", "rate": 0.2}, *DENSE]
    training = trainings.build(spec(layers), pictures()).training

    trainings.trained(training)

    assert "test_accuracy" in training.final
