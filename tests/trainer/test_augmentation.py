"""Augmentations: exact where nothing is drawn, statistical where something is."""

import math
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from trainer.augmentation.columns import chosen_columns, swapped
from trainer.augmentation.displacement import displaced
from trainer.augmentation.erasing import rectangles, runs
from trainer.augmentation.flipping import flipped
from trainer.augmentation.values import brightened, contrasted
from trainer.augmentation.warping import turned, zoomed
from trainer.spec.augmentation import Augmentation
from trainer.spec.augmentation.augmented import Augmented, Layout
from trainer.spec.base import variants

LAYOUTS = {
    "image": Layout("image", (2, 8, 6), limits=(0.0, 1.0)),
    "sequence": Layout("sequence", (9, 3)),
    "table": Layout("table", (6,), (1, 3, 1, 1), (True, False, True, False)),
    "array": Layout("array", (5,)),
}
EVERY = [
    pytest.param(member, kind, id=f"{member.model_fields['kind'].default}-{kind}")
    for member in variants(Augmentation)
    if issubclass(member, Augmented)
    for kind in sorted(member.fits)
]
every_one = pytest.mark.parametrize(("member", "kind"), EVERY)


def batch(kind: str, rows: int = 16) -> Tensor:
    """Return a batch of values from 0 to 1."""
    draw = torch.Generator().manual_seed(8)
    return torch.rand(rows, *LAYOUTS[kind].shape, generator=draw)


@every_one
def test_it_gives_another_batch_of_the_same_form(member: Any, kind: Any) -> None:
    torch.manual_seed(1)
    x = batch(kind, rows=64)
    before = x.clone()

    changed = member().build(LAYOUTS[kind])(x)

    assert (changed.shape, changed.dtype) == (x.shape, x.dtype)
    assert changed.isfinite().all()
    assert not torch.equal(changed, before)


@every_one
def test_its_draws_follow_from_the_generator(member: Any, kind: Any) -> None:
    change = member().build(LAYOUTS[kind])
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        found.append(change(batch(kind)))

    assert torch.equal(*found)


@every_one
def test_one_row_is_enough(member: Any, kind: Any) -> None:
    assert len(member().build(LAYOUTS[kind])(batch(kind, rows=1))) == 1


def test_a_flipped_image_is_exactly_flipped() -> None:
    x = batch("image", rows=3)
    chosen = torch.tensor([True, False, True])

    across, down = flipped(x, chosen, 3), flipped(x, chosen, 2)

    assert torch.equal(across[0, 0, 0], x[0, 0, 0].flip(0))
    assert torch.equal(across[1], x[1])
    assert torch.equal(down[2, 1], x[2, 1].flip(0))


@pytest.mark.parametrize(
    ("fill", "right", "left"),
    [
        ("zeros", [0.0, 0, 1, 2], [3.0, 4, 0, 0]),
        ("edge", [1.0, 1, 1, 2], [3.0, 4, 4, 4]),
        ("reflect", [2.0, 1, 1, 2], [3.0, 4, 4, 3]),
    ],
)
def test_rows_move_by_whole_places(
    fill: str, right: list[float], left: list[float]
) -> None:
    x = torch.tensor([1.0, 2, 3, 4]).repeat(3, 1, 2, 1)
    ways = torch.tensor([2, -2, 0])

    found = displaced(x, ways, axis=3, most=3, fill=fill)

    assert found[0, 0].tolist() == [right, right]
    assert found[1, 0].tolist() == [left, left]
    assert torch.equal(found[2], x[2])


def test_moving_up_and_down_is_moving_the_turned_image_across() -> None:
    x = batch("image", rows=5)
    ways = torch.tensor([-3, -1, 0, 1, 3])

    down = displaced(x, ways, axis=2, most=3, fill="reflect")
    across = displaced(x.transpose(2, 3), ways, axis=3, most=3, fill="reflect")

    assert torch.equal(down, across.transpose(2, 3))


@pytest.mark.parametrize("quarters", [-2, -1, 0, 1, 2])
def test_turning_by_right_angles_is_exact(quarters: int) -> None:
    x = torch.rand(2, 3, 7, 7, generator=torch.Generator().manual_seed(1))
    angles = torch.full((2,), quarters * math.pi / 2)

    found = turned(x, angles, "zeros")

    torch.testing.assert_close(found, x.rot90(quarters, (2, 3)), atol=1e-5, rtol=0)


def test_turning_an_oblong_image_keeps_its_proportions() -> None:
    x = torch.zeros(1, 1, 5, 9)
    x[0, 0, 2, 4:7] = 1.0  # from the centre two pixels to the right

    found = turned(x, torch.tensor([math.pi / 2]), "zeros")

    expected = torch.zeros(5, 9)
    expected[0:3, 4] = 1.0  # from the centre two pixels up
    torch.testing.assert_close(found[0, 0], expected, atol=1e-5, rtol=0)


def test_zooming_by_one_changes_nothing_and_by_two_doubles() -> None:
    x = torch.zeros(2, 1, 8, 8)
    x[:, :, 3:5, 3:5] = 1.0

    found = zoomed(x, torch.tensor([1.0, 2.0]), "zeros")

    torch.testing.assert_close(found[0], x[0])
    assert found[1].sum().item() == pytest.approx(4 * x[1].sum().item(), rel=0.05)


def test_brightness_adds_and_stays_within_the_limits() -> None:
    x = torch.tensor([0.2, 0.9]).reshape(1, 1, 1, 2).repeat(2, 1, 1, 1)

    found = brightened(x, torch.tensor([0.3, -0.3]), (0.0, 1.0))

    assert found[0].flatten().tolist() == pytest.approx([0.5, 1.0])
    assert found[1].flatten().tolist() == pytest.approx([0.0, 0.6])


def test_contrast_stretches_about_the_mean_of_each_channel() -> None:
    x = torch.tensor([[[[0.2, 0.4]], [[0.5, 0.5]]]])

    found = contrasted(x, torch.tensor([2.0]), None)

    assert found.flatten().tolist() == pytest.approx([0.1, 0.5, 0.5, 0.5])


def change(given: str, **wish: Any) -> Any:
    """Return an augmentation, built for an input of that kind."""
    made: Any = TypeAdapter(Augmentation).validate_python(wish)
    return made.build(LAYOUTS[given])


def test_noise_has_the_deviation_asked_for_and_spares_what_is_no_number() -> None:
    torch.manual_seed(2)
    x = torch.zeros(4000, 6)

    found = change("table", kind="noise", deviation=0.3)(x)

    assert found[:, [1, 2, 3, 5]].abs().max() == 0
    assert found[:, 0].std().item() == pytest.approx(0.3, rel=0.05)
    assert found[:, 4].mean().item() == pytest.approx(0.0, abs=0.02)


def test_noise_keeps_pictures_within_black_and_white() -> None:
    found = change("image", kind="noise", deviation=2.0)(batch("image"))

    assert (found.min().item(), found.max().item()) == (0.0, 1.0)


@pytest.mark.parametrize(("axis", "field"), [(3, "horizontal"), (2, "vertical")])
def test_a_flip_happens_as_often_as_asked(axis: int, field: str) -> None:
    torch.manual_seed(3)
    x = batch("image", rows=2000)
    wish = {"horizontal": 0.0, "vertical": 0.0, field: 0.25}

    found = change("image", kind="flip", **wish)(x)

    rows = (found == x.flip(axis)).flatten(1).all(1)
    assert rows.float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(found[~rows], x[~rows])


def test_shifts_reach_as_far_as_asked_and_no_farther() -> None:
    torch.manual_seed(4)
    x = torch.zeros(3000, 2, 8, 6)
    x[:, :, 4, 3] = 1.0

    found = change("image", kind="shift", height=0.25, width=0.3)(x)

    rows, columns = found[:, 0].sum(2).argmax(1) - 4, found[:, 0].sum(1).argmax(1) - 3
    assert rows.unique().tolist() == [-2, -1, 0, 1, 2]
    assert columns.unique().tolist() == [-2, -1, 0, 1, 2]
    assert torch.bincount(rows + 2).min() > 3000 / 5 * 0.8


def test_a_crop_is_a_window_of_the_padded_image() -> None:
    torch.manual_seed(5)
    x = batch("image", rows=12) + 1
    padded = torch.nn.functional.pad(x, [2, 2, 2, 2])

    found = change("image", kind="crop", padding=2)(x)

    windows = padded.unfold(2, 8, 1).unfold(3, 6, 1).flatten(2, 3)  # 25 of each
    same = (windows == found[:, :, None]).all(-1).all(-1).all(1)
    assert same.any(1).all()


def test_erased_rectangles_have_the_area_asked_for() -> None:
    torch.manual_seed(6)
    x = torch.ones(2000, 1, 40, 40)

    found = change(
        "image",
        kind="erase",
        probability=0.5,
        minimum_area=0.25,
        maximum_area=0.25,
        aspect=2.0,
        value=-1.0,
    )(x)

    share = (found == -1).float().mean((1, 2, 3))
    hit = share > 0
    assert hit.float().mean().item() == pytest.approx(0.5, abs=0.04)
    assert share[hit].mean().item() == pytest.approx(0.25, abs=0.01)


def test_a_rectangle_of_the_whole_area_covers_the_image() -> None:
    ones = torch.ones(3)

    inside = rectangles(batch("image", rows=3), ones, ones)

    assert inside.expand(3, 1, 8, 6).all()


def test_columns_are_dropped_as_a_whole() -> None:
    torch.manual_seed(7)
    widths = LAYOUTS["table"].widths

    chosen = chosen_columns(torch.zeros(4000, 6), 0.2, widths)

    assert torch.equal(chosen[:, 1], chosen[:, 2])
    assert torch.equal(chosen[:, 1], chosen[:, 3])
    assert chosen.float().mean(0).tolist() == pytest.approx([0.2] * 6, abs=0.03)


def test_swapped_values_come_from_the_same_column_and_whole_categories_move() -> None:
    torch.manual_seed(8)
    x = torch.arange(100.0)[:, None] + 1000 * torch.arange(6.0)
    chosen = torch.rand(100, 4)[:, [0, 1, 1, 1, 2, 3]] < 0.5

    found = swapped(x, chosen, LAYOUTS["table"].widths)

    assert torch.equal(found[~chosen], x[~chosen])
    assert torch.equal((found // 1000), (x // 1000))
    rows = found % 1000
    assert torch.equal(rows[:, 1], rows[:, 2])
    assert torch.equal(rows[:, 1], rows[:, 3])


def test_a_masked_run_of_steps_is_as_long_as_drawn() -> None:
    torch.manual_seed(9)

    inside = runs(torch.zeros(3000, 9, 3), 4)[:, :, 0]

    lengths = inside.sum(1)
    ends = inside.int().diff(dim=1).abs().sum(1) + inside[:, 0] + inside[:, -1]
    assert lengths.unique().tolist() == [0, 1, 2, 3, 4]
    assert ends.unique().tolist() == [0, 2]  # one run in one piece
