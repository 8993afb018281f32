"""One optimizer step, each against numbers worked out by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from trainer.errors import NothingLearns
from trainer.network import Network
from trainer.spec.network import NetworkSpec, filled
from trainer.spec.training import Training
from trainer.training.descent import Descent

INPUT = "input"


def linear(**recipe: Any) -> tuple[Network, Descent]:
    """Return y = 2 a - 1 b + 0.5 with the descent of a recipe, on squared errors."""
    network = Network(filled(NetworkSpec.model_validate({"layers": []}), 1), (2,))
    with torch.no_grad():
        network.get_parameter("layers.output.weight").copy_(torch.tensor([[2.0, -1.0]]))
        network.get_parameter("layers.output.bias").copy_(torch.tensor([0.5]))
    training = Training.model_validate({"optimizer": "sgd"} | recipe)
    descent = Descent(network, network.cut(set()), training, mse_loss)
    return network, descent


def values(network: Network) -> list[float]:
    """Return the two weights and the bias."""
    weight = network.get_parameter("layers.output.weight")
    bias = network.get_parameter("layers.output.bias")
    return [*weight.flatten().tolist(), *bias.tolist()]


X = torch.tensor([[1.0, 2.0]])
Y = torch.tensor([[1.5]])
"""The output is 2 - 2 + 0.5 = 0.5, the error -1, the squared error's gradient -2 for
the bias, hence -2 and -4 for the weights."""


def test_gradient_descent_goes_against_the_gradient() -> None:
    network, descent = linear()

    loss, outputs = descent.step({INPUT: X}, Y, 0.1)

    assert loss.item() == 1.0
    assert outputs.item() == 0.5
    assert values(network) == pytest.approx([2.2, -0.6, 0.7])


def test_nesterov_looks_ahead() -> None:
    network, descent = linear(optimizer={"kind": "nesterov", "momentum": 0.9})

    descent.step({INPUT: X}, Y, 0.1)
    first = values(network)
    descent.step({INPUT: X}, Y, 0.1)

    # m = g = -2; w += 0.1 (2 + 0.9 x 2) = 0.38 for the bias, 0.38 and 0.76 for weights
    assert first == pytest.approx([2.38, -0.24, 0.88])
    # output 2.78, error 1.28, g = 2.56; m = 0.9 (-2) + 2.56 = 0.76;
    # the bias falls by 0.1 (2.56 + 0.9 x 0.76) = 0.3244
    assert values(network)[2] == pytest.approx(0.88 - 0.3244)


def test_momentum_gathers_speed() -> None:
    network, descent = linear(optimizer={"kind": "momentum", "momentum": 0.9})

    descent.step({INPUT: X}, Y, 0.1)
    descent.step({INPUT: X}, Y, 0.1)

    # after one step as plain descent: error 0.2, g = 0.4; m = 0.9 (-2) + 0.4 = -1.4
    assert values(network)[2] == pytest.approx(0.7 + 0.14)


def test_l2_pulls_weights_but_not_biases_towards_zero() -> None:
    network, descent = linear(regularization={"l2": 0.5})

    descent.step({INPUT: X}, Y, 0.1)

    # the gradient of 0.5 w² is w: -2 + 2 = 0 and -4 - 1 = -5; the bias as without
    assert values(network) == pytest.approx([2.0, -0.5, 0.7])


def test_l1_pulls_by_the_sign() -> None:
    network, descent = linear(regularization={"l1": 0.3})

    descent.step({INPUT: X}, Y, 0.1)

    assert values(network) == pytest.approx([2.2 - 0.03, -0.6 + 0.03, 0.7])


@pytest.mark.parametrize(
    ("clipping", "expected"),
    [
        ({"kind": "value", "threshold": 3.0}, [2.2, -0.7, 0.7]),
        ({"kind": "global_norm", "threshold": 2.4495}, [2.1, -0.8, 0.6]),
        ({"kind": "norm", "threshold": 2.0}, [2.0894, -0.8211, 0.7]),
    ],
)
def test_gradients_are_clipped_before_the_step(
    clipping: dict[str, Any], expected: list[float]
) -> None:
    # gradients -2, -4 and -2: the norm of all is √24 = 4.899, of the weights √20
    network, descent = linear(gradient_clipping=clipping)

    descent.step({INPUT: X}, Y, 0.1)

    assert values(network) == pytest.approx(expected, abs=1e-4)


def deep(**recipe: Any) -> tuple[Network, Descent]:
    """Return a network with one hidden layer of three units and its descent."""
    layers = [{"name": "hidden", "kind": "dense", "units": 3}]
    defaults = {"activation": "linear", "normalization": "none", "dropout": 0}
    wish = NetworkSpec.model_validate({"layers": layers, "defaults": defaults})
    network = Network(filled(wish, 2), (2,))
    with torch.no_grad():
        hidden = torch.tensor([[3.0, 4.0], [0.6, 0.8], [0.0, 0.1]])
        network.get_parameter("layers.hidden.weight").copy_(hidden)
        network.get_parameter("layers.hidden.bias").fill_(5.0)
        network.get_parameter("layers.output.weight").fill_(10.0)
        network.get_parameter("layers.output.bias").zero_()
    training = Training.model_validate({"optimizer": "sgd"} | recipe)
    return network, Descent(network, network.cut(set()), training, cross_entropy)


def test_max_norm_scales_the_weights_into_a_hidden_unit() -> None:
    network, descent = deep(regularization={"max_norm": 1.0})

    descent.step({INPUT: torch.zeros(1, 2)}, torch.tensor([0]), 0.0)

    # norms 5, 1 and 0.1: only the first unit is scaled, to (0.6, 0.8)
    expected = torch.tensor([[0.6, 0.8], [0.6, 0.8], [0.0, 0.1]])
    torch.testing.assert_close(
        network.get_parameter("layers.hidden.weight").detach(), expected
    )
    assert network.get_parameter("layers.hidden.bias").tolist() == [5.0, 5.0, 5.0]
    assert network.get_parameter("layers.output.weight").unique().tolist() == [10.0]


def test_a_network_with_nothing_to_learn_is_refused() -> None:
    network, _ = linear()
    network.requires_grad_(requires_grad=False)
    recipe = Training()

    with pytest.raises(NothingLearns, match="freeze fewer layers"):
        Descent(network, network.cut(set()), recipe, mse_loss)


def batch(rows: int) -> tuple[dict[str, Tensor], Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, 2, generator=generator)
    return {INPUT: x}, torch.arange(rows) % 2


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 4, 6, 7, 100])
def test_parts_of_a_batch_add_up_to_the_step_of_the_whole(micro_batch: int) -> None:
    whole, descent = deep(regularization={"l2": 0.1}, optimizer="nesterov")
    parted, in_parts = deep(regularization={"l2": 0.1}, optimizer="nesterov")
    in_parts.micro_batch = micro_batch

    steps = [(descent.step(*batch(7), 0.01), in_parts.step(*batch(7), 0.01))]
    steps += [(descent.step(*batch(5), 0.01), in_parts.step(*batch(5), 0.01))]

    for (loss, outputs), (other_loss, other_outputs) in steps:
        torch.testing.assert_close(loss, other_loss)
        torch.testing.assert_close(outputs, other_outputs)
    torch.testing.assert_close(whole.state_dict(), parted.state_dict())


@pytest.mark.parametrize(
    "kind", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "nadam"]
)
def test_an_optimizer_goes_on_from_its_saved_state(kind: str) -> None:
    network, descent = deep(optimizer=kind)
    descent.step(*batch(5), 0.01)
    tensors, numbers = descent.state()
    copied = {name: tensor.clone() for name, tensor in tensors.items()}
    twin, other = deep(optimizer=kind)
    twin.load_state_dict(network.state_dict())

    other.restore(copied, numbers)
    descent.step(*batch(5), 0.01)
    other.step(*batch(5), 0.01)

    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, twin.state_dict()[name])


def test_the_gradient_in_float64_is_that_of_finite_differences() -> None:
    network, descent = deep()
    network.double()
    inputs, targets = batch(4)
    x = inputs[INPUT].double()
    weight = network.get_parameter("layers.hidden.weight")
    with torch.no_grad():
        network.get_parameter("layers.output.weight").copy_(
            torch.arange(6).reshape(2, 3) / 10
        )

    descent._gradients({INPUT: x}, targets)
    assert weight.grad is not None
    analytic = weight.grad[0, 1].item()

    def loss_at(shift: float) -> float:
        with torch.no_grad():
            weight[0, 1] += shift
            found = cross_entropy(network(x), targets).item()
            weight[0, 1] -= shift
        return found

    numeric = (loss_at(1e-6) - loss_at(-1e-6)) / 2e-6
    assert math.isclose(analytic, numeric, rel_tol=1e-6, abs_tol=1e-9)
