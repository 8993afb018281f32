"""Rare classes weigh more or are seen more often, by the numbers that are written."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from tests.trainer import trainings
from tests.trainer.spec_samples import DIGITS, PASSENGERS, job, resolved
from tests.trainer.trainings import DENSE, TOY, pictures, spec
from trainer.data.dataset import Dataset, described
from trainer.spec.errors import InvalidSpec
from trainer.spec.losses import Hinge, SoftmaxCrossEntropy, SoftmaxFocalCrossEntropy
from trainer.spec.training import Training as Recipe
from trainer.spec.weighting import (
    BalancedClassWeights,
    ClassWeights,
    GivenClassWeights,
    class_text,
)
from trainer.training.mixing import Mixed
from trainer.training.weighting import class_weights, training_loss


def uneven(rows: int = 60) -> Dataset:
    """Return pictures of two classes, of which one in six is of the second."""
    draw = np.random.default_rng(3)
    label = (np.arange(rows) % 6 == 0).astype(np.int64)
    image = draw.integers(0, 120, (rows, 6, 6)) + 100 * label[:, None, None]
    arrays: dict[str, Any] = {"image": image.astype(np.uint8), "label": label}
    return described(TOY, {"train": arrays}, "toy")


def test_balanced_weights_are_the_inverse_of_the_frequency() -> None:
    found = BalancedClassWeights().weights([6, 3, 0, 1], "abcd")

    # 10 rows of 3 classes that have any: 10 / (3 · 6), …; the empty one weighs nothing
    assert found == pytest.approx([10 / 18, 10 / 9, 1.0, 10 / 3])
    assert sum(w * n for w, n in zip(found, [6, 3, 0, 1], strict=True)) == 10


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (None, {"kind": "none"}),
        ("none", {"kind": "none"}),
        ("balanced", {"kind": "balanced"}),
        ({"7": 3.0}, {"kind": "given", "weights_of": {"7": 3.0}}),
    ],
)
def test_weights_are_written_briefly(written: Any, meant: dict[str, Any]) -> None:
    adapter = TypeAdapter(ClassWeights)

    found = adapter.validate_python(written)

    assert found == adapter.validate_python(meant)
    assert adapter.validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (2.0, "2"), ("rare", "rare"), (True, "true")]
)
def test_a_class_is_written_as_a_key(value: Any, text: str) -> None:
    assert class_text(value) == text


def test_classes_that_are_not_named_weigh_one() -> None:
    recipe = Recipe.model_validate({"class_weights": {"1": 5}})

    found = class_weights(recipe, (0, 1, 2), torch.tensor([0, 1, 2]))

    assert found is not None
    assert found.tolist() == [1.0, 5.0, 1.0]


@pytest.mark.parametrize(
    "loss",
    [
        SoftmaxCrossEntropy(),
        SoftmaxCrossEntropy(label_smoothing=0.1),
        SoftmaxFocalCrossEntropy(),
        Hinge(),
    ],
)
def test_the_weighted_loss_is_the_sum_of_weight_times_loss_over_the_examples(
    loss: Any,
) -> None:
    outputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([0, 1, 2, 1, 0])
    weights = torch.tensor([1.0, 4.0, 0.5])

    found = training_loss(loss, weights)(outputs, targets)

    of_rows = [loss.build()(outputs[n : n + 1], targets[n : n + 1]) for n in range(5)]
    expected = (of_rows[0] + 4 * of_rows[1] + 0.5 * of_rows[2]) + 4 * of_rows[3]
    torch.testing.assert_close(found, (expected + of_rows[4]) / 5)


def test_equal_weights_of_one_change_nothing() -> None:
    outputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([0, 1, 2, 1, 0])
    loss = SoftmaxCrossEntropy()

    weighted = training_loss(loss, torch.ones(3))(outputs, targets)

    torch.testing.assert_close(weighted, loss.build()(outputs, targets))


def test_targets_that_are_mixed_are_weighted_each_by_its_class() -> None:
    outputs = torch.randn(2, 2, generator=torch.Generator().manual_seed(1))
    first, second = torch.tensor([0, 1]), torch.tensor([1, 1])
    loss = training_loss(SoftmaxCrossEntropy(), torch.tensor([1.0, 3.0]))

    found = loss(outputs, Mixed(first, second, torch.tensor(0.25)))

    expected = 0.25 * loss(outputs, first) + 0.75 * loss(outputs, second)
    torch.testing.assert_close(found, expected)


def test_weights_count_in_training_and_not_on_rows_held_back() -> None:
    weighted, plain = (
        trainings.build(spec(DENSE, class_weights=w, epochs=1), uneven()).training
        for w in ({"1": 50.0}, "none")
    )
    for training in (weighted, plain):
        held = training.material.validation
        assert held is not None
        training.final = training.measured("validation", held)

    assert weighted.final == plain.final  # of the first weights, before any step
    batch = {"input": torch.rand(4, 1, 6, 6)}, torch.tensor([0, 1, 1, 0])
    for training in (weighted, plain):
        training.network.eval()
    ours, _ = weighted.descent.step(*batch, 0.0)
    others, _ = plain.descent.step(*batch, 0.0)
    assert ours.item() > 5 * others.item()


def test_weighted_parts_of_a_batch_add_up_to_the_whole() -> None:
    steps = []
    for micro_batch in (None, 3):
        training = trainings.build(
            spec(
                [{**DENSE[0], "normalization": "none", "dropout": 0}],
                class_weights="balanced",
            ),
            uneven(),
            micro_batch=micro_batch,
        ).training
        trainings.trained(training)
        steps.append(trainings.weights(training))

    torch.testing.assert_close(steps[0], steps[1])


def test_balanced_rows_show_every_class_as_often() -> None:
    training = trainings.build(
        spec(DENSE, sampling="balanced"), uneven(rows=1200)
    ).training
    targets = training.material.train.targets

    orders = [training.sampler.order(epoch) for epoch in range(1, 6)]

    assert all(len(order) == len(targets) for order in orders)
    share = torch.cat([targets[order] for order in orders]).float().mean().item()
    assert share == pytest.approx(0.5, abs=0.02)


def test_within_a_class_every_row_is_as_likely() -> None:
    training = trainings.build(spec(DENSE, sampling="balanced"), uneven()).training
    targets = training.material.train.targets
    drawn = torch.cat([training.sampler.order(epoch) for epoch in range(400)])

    counts = torch.bincount(drawn, minlength=len(targets)).double()

    for label in (0, 1):
        of_class = counts[targets == label]
        assert (of_class / of_class.mean()).std() < 0.12
        assert of_class.min() > 0


def test_balanced_rows_follow_from_the_seed_and_the_epoch_alone() -> None:
    one, other = (
        trainings.build(spec(DENSE, sampling="balanced"), uneven()).training.sampler
        for _ in range(2)
    )
    torch.manual_seed(77)

    assert torch.equal(one.order(3), other.order(3))
    assert not torch.equal(one.order(3), one.order(4))


@pytest.mark.parametrize(
    "wish", [{"sampling": "balanced"}, {"class_weights": "balanced"}]
)
def test_a_rare_class_is_found_more_often(wish: dict[str, Any]) -> None:
    recalls = []
    for recipe in ({}, wish):
        training = trainings.build(
            spec(
                [],
                dataset={"split": {"validation": 0.2, "test": "none"}},
                epochs=3,
                **recipe,
            ),
            hard(),
        ).training
        trainings.trained(training)
        held = training.material.validation
        assert held is not None
        with torch.no_grad():
            said = training.network(held.values()["input"][:]).argmax(1)
        recalls.append((said[held.targets == 1] == 1).float().mean().item())

    assert recalls[1] > recalls[0] + 0.2


def hard(rows: int = 1500) -> Dataset:
    """Return two classes that overlap, of which one in twenty is of the second."""
    draw = np.random.default_rng(5)
    label = (np.arange(rows) % 20 == 0).astype(np.int64)
    x = draw.normal(size=(rows, 2)) + 1.2 * label[:, None]
    arrays: dict[str, Any] = {"x": x.astype(np.float32), "label": label}
    return described(TOY, {"train": arrays}, "toy")


def problems(training: dict[str, Any], **dataset: Any) -> list[tuple[str, str | None]]:
    """Return where a job on the passengers is wrong, and what to write instead."""
    raw = job(dataset={"id": "titanic", **dataset}, training=training)
    with pytest.raises(InvalidSpec) as refusal:
        resolved(raw, PASSENGERS)
    return [(p.pointer, p.suggestion) for p in refusal.value.problems]


def test_a_class_that_does_not_exist_cannot_be_weighted() -> None:
    found = problems({"class_weights": {"0": 1, "2": 4}}, target="Survived")

    assert found == [("/training/class_weights/2", None)]


@pytest.mark.parametrize(
    "dataset",
    [
        {"target": "Fare"},
        {"target": ["Survived", "Minor"], "task": "multi_label"},
        {"task": "reconstruction"},
    ],
    ids=["regression", "several labels", "reconstruction"],
)
@pytest.mark.parametrize(
    ("field", "suggestion"), [("class_weights", "none"), ("sampling", "shuffled")]
)
def test_balancing_needs_one_class_an_example(
    dataset: dict[str, Any], field: str, suggestion: str
) -> None:
    found = problems({field: "balanced"}, **dataset)

    assert found == [(f"/training/{field}", suggestion)]


def test_weighing_up_twice_is_worth_a_word() -> None:
    recipe = {"class_weights": "balanced", "sampling": "balanced"}

    found = resolved(job(training=recipe), DIGITS)

    assert any("twice over" in warning for warning in found.warnings)


def test_weights_by_class_are_hashable_whatever_their_order() -> None:
    one = GivenClassWeights(weights_of={"a": 1, "b": 2})
    other = GivenClassWeights(weights_of={"b": 2, "a": 1})

    assert hash(one) == hash(other)


def test_weights_of_classes_train_in_every_batch() -> None:
    training = trainings.build(
        spec(DENSE, class_weights="balanced", loss={"kind": "hinge"}), pictures()
    ).training

    trainings.trained(training)

    assert "test_accuracy" in training.final
