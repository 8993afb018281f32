"""Mixtures of two examples: what is mixed, by which share, and what is counted."""

from typing import Any

import pytest
import torch

from tests.trainer import trainings
from tests.trainer.spec_samples import DIGITS, PASSENGERS, job, resolved
from tests.trainer.trainings import DENSE, pictures, spec
from trainer.spec.errors import InvalidSpec
from trainer.spec.mixing import Cutmix, Mixup
from trainer.training.mixing import Mixed, Mixer

CPU = torch.device("cpu")


def pure(rows: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return images filled with their own number, their classes and their rows."""
    numbers = torch.arange(float(rows))
    return (
        numbers.reshape(-1, 1, 1, 1).expand(rows, 1, 20, 20).clone(),
        (torch.arange(rows)),
        torch.arange(rows) + 100,
    )


def test_mixup_adds_two_images_by_their_share() -> None:
    torch.manual_seed(3)
    x, targets, rows = pure()

    out, mixed, shown = Mixer(Mixup(alpha=1.0), CPU).mixed(x, targets, rows)

    share = mixed.share.item()
    assert 0 < share < 1
    expected = share * mixed.first + (1 - share) * mixed.second
    torch.testing.assert_close(out[:, 0, 5, 7], expected)
    larger = mixed.first if share >= 0.5 else mixed.second
    assert torch.equal(shown, larger + 100)


def test_cutmix_pastes_a_rectangle_and_counts_its_area() -> None:
    torch.manual_seed(4)
    x, targets, rows = pure()

    out, mixed, _ = Mixer(Cutmix(), CPU).mixed(x, targets, rows)

    other = torch.tensor([0 if m else 1 for m in mixed.first == mixed.second]) == 1
    pasted = (out == mixed.second[:, None, None, None]) & other[:, None, None, None]
    assert ((out == x) | pasted).all()
    for inside in pasted[other][:, 0]:
        assert 1 - inside.float().mean().item() == pytest.approx(mixed.share.item())
        down, across = inside.any(1), inside.any(0)
        assert torch.equal(inside, down[:, None] & across[None, :])  # one rectangle


def test_rectangles_have_the_mean_area_of_their_distribution() -> None:
    torch.manual_seed(5)
    x, targets, rows = pure(2)
    mixer = Mixer(Cutmix(), CPU)
    shares = torch.stack([mixer.mixed(x, targets, rows)[1].share for _ in range(1500)])

    assert (1 - shares).mean().item() == pytest.approx(clipped_area(), abs=0.025)


def clipped_area(draws: int = 200_000) -> float:
    """Return the mean area of clipped rectangles, worked from the definition."""
    draw = torch.Generator().manual_seed(1)
    sides = torch.rand(draws, generator=draw).sqrt()  # √(1 - λ)
    area = torch.ones(draws)
    for _ in range(2):
        centre = torch.rand(draws, generator=draw)
        low, high = (centre - sides / 2).clamp(0, 1), (centre + sides / 2).clamp(0, 1)
        area *= high - low
    return float(area.mean())


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_have_the_moments_of_their_distribution(alpha: float) -> None:
    torch.manual_seed(6)
    mixer = Mixer(Mixup(alpha=alpha), CPU)
    x, targets, rows = torch.zeros(2, 1), torch.arange(2), torch.arange(2)
    shares = torch.stack([mixer.mixed(x, targets, rows)[1].share for _ in range(2500)])

    assert shares.mean().item() == pytest.approx(0.5, abs=0.04)
    variance = 1 / (4 * (2 * alpha + 1))
    assert shares.var().item() == pytest.approx(variance, rel=0.12)


def test_parts_of_mixed_targets_keep_the_share() -> None:
    mixed = Mixed(torch.arange(5), torch.arange(5).flip(0), torch.tensor(0.3))

    part = mixed[1:3]

    assert len(part) == 2
    assert (part.first.tolist(), part.second.tolist()) == ([1, 2], [3, 2])
    assert part.share == mixed.share


@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_parts_of_a_mixed_batch_add_up_to_the_whole(mixing: str) -> None:
    layers = [{**DENSE[0], "normalization": "none", "dropout": 0}]
    found = []
    for micro_batch in (None, 3):
        training = trainings.build(
            spec(layers, mixing=mixing), pictures(), micro_batch=micro_batch
        ).training
        trainings.trained(training)
        found.append(trainings.weights(training))

    torch.testing.assert_close(found[0], found[1])


def test_a_mixed_network_still_learns() -> None:
    training = trainings.build(
        spec(
            [{**DENSE[0], "dropout": 0}],
            mixing={"kind": "mixup", "alpha": 0.4},
            epochs=15,
        ),
        pictures(rows=120),
    ).training

    trainings.trained(training)

    assert training.final["validation_accuracy"] > 0.8


def refused(training: dict[str, Any], **dataset: Any) -> tuple[str, str | None]:
    """Return where a job is wrong, and what to write instead."""
    schema = PASSENGERS if dataset else DIGITS
    raw = job(dataset={"id": "any", **dataset}, training=training)
    with pytest.raises(InvalidSpec) as refusal:
        resolved(raw, schema)
    (problem,) = refusal.value.problems
    return problem.pointer, problem.suggestion


def test_only_classes_are_mixed() -> None:
    found = refused({"mixing": "mixup"}, target="Fare")

    assert found == ("/training/mixing", "none")


def test_only_images_have_rectangles() -> None:
    found = refused({"mixing": "cutmix"}, target="Survived")

    assert found == ("/training/mixing", "mixup")


def test_tables_can_be_mixed_up() -> None:
    raw = job(dataset={"id": "t", "target": "Survived"}, training={"mixing": "mixup"})

    assert resolved(raw, PASSENGERS).spec.training.mixing == Mixup()
