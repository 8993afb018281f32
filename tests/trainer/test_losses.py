"""Every loss against its formula, worked by hand or written out in float64."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.trainer.spec_samples import DIGITS, PASSENGERS, job, resolved
from trainer.spec.base import variants
from trainer.spec.errors import InvalidSpec
from trainer.spec.losses import (
    Hinge,
    Huber,
    LogCosh,
    Loss,
    Poisson,
    Quantile,
    SigmoidCrossEntropy,
    SigmoidFocalCrossEntropy,
    SoftmaxCrossEntropy,
    SoftmaxFocalCrossEntropy,
)

every_loss = pytest.mark.parametrize("loss", variants(Loss))


def given(loss: Any) -> tuple[Tensor, Tensor]:
    """Return outputs and targets in float64 of the loss's first task."""
    draw = torch.Generator().manual_seed(3)
    outputs = torch.randn(7, 4, generator=draw, dtype=torch.float64)
    task = loss.tasks[0]
    if task == "classification":
        return outputs, torch.arange(7) % 4
    if task == "multi_label":
        return outputs, (torch.rand(7, 4, generator=draw) < 0.5).double()
    targets = torch.randn(7, 4, generator=draw, dtype=torch.float64)
    return (outputs.exp(), targets.abs()) if loss.positive else (outputs, targets)


@every_loss
def test_the_mean_of_the_examples_losses_is_the_loss(loss: Any) -> None:
    outputs, targets = given(loss)

    each = loss().each()(outputs, targets)

    assert each.shape == (7,)
    torch.testing.assert_close(each.mean(), loss().build()(outputs, targets))


@every_loss
def test_its_gradient_is_that_of_finite_differences(loss: Any) -> None:
    outputs, targets = given(loss)
    function = loss().build()

    assert torch.autograd.gradcheck(
        lambda x: function(x, targets), (outputs.requires_grad_(),)
    )


@every_loss
def test_it_is_finite_far_out(loss: Any) -> None:
    _, targets = given(loss)
    outputs = torch.tensor([[40.0, 0.0, 1e-3, 500.0]]).repeat(7, 1).requires_grad_()

    found = loss().build()(outputs, targets.float() if targets.ndim > 1 else targets)
    found.backward()

    assert math.isfinite(found.item())
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()


def test_smoothed_classes_are_mixed_with_even_shares() -> None:
    outputs, targets = given(SoftmaxCrossEntropy)
    soft = functional.one_hot(targets, 4).double() * 0.9 + 0.1 / 4

    found = SoftmaxCrossEntropy(label_smoothing=0.1).build()(outputs, targets)

    expected = -(soft * outputs.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(found, expected)


def test_smoothed_labels_are_mixed_with_one_half() -> None:
    found = SigmoidCrossEntropy(label_smoothing=0.2).build()(
        torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 0.0]])
    )

    # labels 0.9 and 0.1; -(0.9 log σ(2) + 0.1 log σ(-2)), and the same for σ(-1)
    def entropy(label: float, output: float) -> float:
        p = 1 / (1 + math.exp(-output))
        return -(label * math.log(p) + (1 - label) * math.log(1 - p))

    expected = (entropy(0.9, 2.0) + entropy(0.1, -1.0)) / 2
    assert found.item() == pytest.approx(expected)


def test_a_focal_loss_leaves_what_is_easy_aside() -> None:
    # softmax of (log 4, 0) is (0.8, 0.2): -(1 - 0.8)² log 0.8
    found = SoftmaxFocalCrossEntropy(gamma=2.0).build()(
        torch.tensor([[math.log(4), 0.0]]), torch.tensor([0])
    )

    assert found.item() == pytest.approx(-(0.2**2) * math.log(0.8))


def test_a_focal_loss_of_labels_takes_the_probability_of_the_labels_own_value() -> None:
    # σ(log 4) = 0.8; the label 0 was given 0.2
    found = SigmoidFocalCrossEntropy(gamma=2.0).build()(
        torch.tensor([[math.log(4)]]), torch.tensor([[0.0]])
    )

    assert found.item() == pytest.approx(-(0.8**2) * math.log(0.2))


@pytest.mark.parametrize(
    ("focal", "plain"),
    [
        (SoftmaxFocalCrossEntropy, SoftmaxCrossEntropy),
        (SigmoidFocalCrossEntropy, SigmoidCrossEntropy),
    ],
)
def test_a_focal_loss_without_exponent_is_cross_entropy(focal: Any, plain: Any) -> None:
    outputs, targets = given(focal)

    found = focal(gamma=0.0).build()(outputs, targets)

    torch.testing.assert_close(found, plain().build()(outputs, targets))


def test_the_hinge_of_classes_asks_for_a_margin_of_one_over_the_best_other() -> None:
    outputs = torch.tensor([[3.0, 1.0, 2.5], [0.0, 5.0, 1.0]])

    found = Hinge().each()(outputs, torch.tensor([0, 1]))

    assert found.tolist() == [0.5, 0.0]


def test_the_hinge_of_classes_is_torchs_where_one_other_counts() -> None:
    outputs = torch.tensor([[0.3, 0.9], [2.0, -1.0]])
    targets = torch.tensor([0, 1])

    expected = nn.MultiMarginLoss()(outputs, targets) * 2  # which divides by classes

    torch.testing.assert_close(Hinge().build()(outputs, targets), expected)


def test_the_hinge_of_labels_wants_them_on_their_own_side() -> None:
    found = Hinge().build()(torch.tensor([[0.25, -2.0]]), torch.tensor([[1.0, 1.0]]))

    assert found.item() == pytest.approx((0.75 + 3.0) / 2)


def test_huber_is_squared_near_zero_and_straight_beyond() -> None:
    found = Huber(delta=2.0).build()(torch.tensor([[1.0], [5.0]]), torch.zeros(2, 1))

    assert found.item() == pytest.approx((0.5 + 2 * (5 - 1)) / 2)


def test_log_cosh_is_what_it_says_and_does_not_overflow() -> None:
    differences = torch.tensor([[0.5], [-300.0]])

    found = LogCosh().each()(differences, torch.zeros(2, 1))

    assert found.tolist() == pytest.approx(
        [math.log(math.cosh(0.5)), 300 - math.log(2)], rel=1e-5
    )


def test_the_best_constant_under_the_quantile_loss_is_that_quantile() -> None:
    targets = torch.arange(100.0)[:, None]
    loss = Quantile(quantile=0.9).build()

    losses = [loss(torch.full((100, 1), float(c)), targets).item() for c in range(100)]

    assert losses.index(min(losses)) in {89, 90}


def test_the_poisson_loss_is_torchs_on_rates() -> None:
    outputs, targets = given(Poisson)
    torchs = nn.PoissonNLLLoss(log_input=False, eps=1e-7)

    found = Poisson().build()(outputs, targets)

    torch.testing.assert_close(found, torchs(outputs, targets))


COUNTED = {"id": "titanic", "target": "Fare"}


def test_a_loss_of_counts_needs_positive_outputs() -> None:
    raw = job(dataset=COUNTED, training={"loss": "poisson"})

    with pytest.raises(InvalidSpec) as refusal:
        resolved(raw, PASSENGERS)

    (problem,) = refusal.value.problems
    assert problem.pointer == "/network/layers/2/activation"
    assert problem.suggestion == "softplus"


def test_a_loss_of_counts_is_taken_with_a_softplus() -> None:
    layers = [{"kind": "dense", "name": "output", "activation": "softplus"}]
    raw = job(dataset=COUNTED, network={"layers": layers}, training={"loss": "poisson"})

    found = resolved(raw, PASSENGERS)

    assert found.spec.training.loss == Poisson()


def test_a_loss_for_another_task_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="huber"):
        resolved(job(training={"loss": "huber"}), DIGITS)
