"""Metrics, each against figures worked out by hand."""

from collections.abc import Callable
from math import log

import pytest
import torch
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    mse_loss,
)

from trainer.spec.losses import Task
from trainer.training.evaluate import Measure, evaluate, falls, roc_auc


def test_classification_is_measured_by_loss_and_share_of_right_answers() -> None:
    outputs = torch.tensor([[0.0, log(3.0), 0], [0.0, 0, 0], [9.0, 0, 0]])
    targets = torch.tensor([1, 0, 2])

    found = evaluate(Measure("classification", cross_entropy), [(outputs, targets)])

    # softmax of the first row: 1/5, 3/5, 1/5; of the second: 1/3 each
    third = log(2 + torch.e**9)
    expected = (-log(3 / 5) + log(3) + third) / 3
    assert found == {
        "loss": pytest.approx(expected, rel=1e-6),
        "accuracy": pytest.approx(2 / 3),
    }


def test_two_classes_have_an_area_under_the_curve() -> None:
    outputs = torch.tensor([[0.0, 0.1], [0.0, 0.4], [0.0, 0.35], [0.0, 0.8]])

    found = evaluate(
        Measure("classification", cross_entropy),
        [(outputs, torch.tensor([0, 0, 1, 1]))],
    )

    assert found["roc_auc"] == 0.75  # of four pairs, only 0.4 against 0.35 is wrong


def test_equal_scores_count_half() -> None:
    positive = torch.tensor([True, False, True])

    assert roc_auc(torch.tensor([0.5, 0.5, 0.9]), positive) == 0.75


def test_one_class_alone_has_no_curve() -> None:
    assert roc_auc(torch.tensor([0.5, 0.9]), torch.tensor([True, True])) is None


def test_labels_are_right_one_by_one_and_all_together() -> None:
    outputs = torch.tensor([[1.0, -1], [1.0, 1]])
    targets = torch.tensor([[1.0, 0], [0.0, 1]])

    found = evaluate(
        Measure("multi_label", binary_cross_entropy_with_logits), [(outputs, targets)]
    )

    assert (found["accuracy"], found["exact_match"]) == (0.75, 0.5)


def test_numbers_are_measured_by_errors_and_explained_variance() -> None:
    outputs = torch.tensor([[1.0], [2.0], [6.0]])
    targets = torch.tensor([[1.0], [3.0], [5.0]])

    found = evaluate(Measure("regression", mse_loss), [(outputs, targets)])

    # errors 0, -1, 1; the targets' variance is 8/3
    assert found == {
        "loss": pytest.approx(2 / 3),
        "mean_squared_error": pytest.approx(2 / 3),
        "mean_absolute_error": pytest.approx(2 / 3),
        "r2": pytest.approx(0.75),
    }


def test_errors_on_scaled_targets_are_told_in_their_own_units() -> None:
    outputs, targets = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]])
    units = torch.tensor([10.0], dtype=torch.float64)

    found = evaluate(Measure("regression", mse_loss, units), [(outputs, targets)])

    # errors 0 and -2 of scaled targets are 0 and -20 in the target's own units
    assert (found["loss"], found["mean_squared_error"]) == (2, 200)
    assert found["mean_absolute_error"] == 10


def test_constant_targets_have_no_variance_to_explain() -> None:
    target = torch.ones(3, 1)

    assert "r2" not in evaluate(Measure("regression", mse_loss), [(target, target)])


@pytest.mark.parametrize(
    ("task", "loss", "targets"),
    [
        ("classification", cross_entropy, torch.arange(100) % 3),
        (
            "multi_label",
            binary_cross_entropy_with_logits,
            (torch.arange(300).reshape(100, 3) % 2).float(),
        ),
        ("regression", mse_loss, torch.arange(300).reshape(100, 3) / 300),
        ("reconstruction", mse_loss, torch.arange(300).reshape(100, 3) / 300),
    ],
)
def test_neither_order_nor_chunks_change_the_figures(
    task: Task, loss: Callable[[Tensor, Tensor], Tensor], targets: Tensor
) -> None:
    outputs = torch.randn(100, 3, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(100, generator=torch.Generator().manual_seed(2))
    measure = Measure(task, loss)

    whole = evaluate(measure, [(outputs, targets)])
    parts = evaluate(
        measure,
        zip(
            torch.split(outputs[order], 7), torch.split(targets[order], 7), strict=True
        ),
    )

    assert parts == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("validation_loss", True),
        ("test_mean_squared_error", True),
        ("validation_accuracy", False),
        ("validation_roc_auc", False),
        ("validation_r2", False),
    ],
)
def test_losses_and_errors_shall_fall_and_all_others_rise(
    metric: str, expected: bool
) -> None:
    assert falls(metric) is expected
