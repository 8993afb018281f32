"""Which examples an auxiliary task makes of rows: balanced, seeded, never of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.pairs import BY_EXAMPLE, BY_LABEL, SIAMESE, TURNED
from tests.trainer.trainings import build, pictures, spec
from trainer.data.auxiliary import FIXED, Pairing
from trainer.data.dataset import Dataset
from trainer.data.examples import Gatherer
from trainer.data.views import MadeRows
from trainer.errors import NoRows
from trainer.spec.network import INPUT

GROUPS = np.array([0, 1, 1, 2, 0, 2, 2, 3])
"""Class 3 has one row only."""


def pairing(count: int = 400, **fields: Any) -> Pairing:
    wanted: dict[str, Any] = {"seed": 5, "purpose": "train", "groups": GROUPS}
    return Pairing(rows=len(GROUPS), count=count, **wanted | fields)


@pytest.mark.parametrize("count", [2, 7, 400])
def test_half_of_the_pairs_are_the_same_to_within_one(count: int):
    targets = pairing(count).targets

    assert len(targets) == count
    assert abs(2 * targets.sum() - count) <= 1


def test_pairs_are_the_same_or_different_as_their_labels_are():
    found = pairing()

    members = found.members(3)
    alike = GROUPS[members[:, 0]] == GROUPS[members[:, 1]]

    assert np.array_equal(alike, found.targets == 1)
    assert (members[:, 0] != members[:, 1]).all()


def test_every_row_that_can_be_in_a_pair_comes_up_about_as_often():
    found = pairing(80_000)

    members = found.members(1)
    different = np.bincount(members[found.targets == 0, 0], minlength=8)
    same = np.bincount(members[found.targets == 1].ravel(), minlength=8)

    assert different.min() > 0.9 * 40_000 / 8
    assert same[7] == 0, "a class of one row has no pair"
    assert same[:7].min() > 0.9 * 80_000 / 7


def test_the_second_of_a_different_pair_is_any_row_of_another_class():
    found = pairing(80_000)

    members = found.members(1)[found.targets == 0]
    with_first = members[members[:, 0] == 0, 1]

    counts = np.bincount(with_first, minlength=8)
    assert counts[[0, 4]].sum() == 0
    assert counts[[1, 2, 3, 5, 6, 7]].min() > 0.85 * len(with_first) / 6


def test_pairs_follow_from_the_seed_and_the_epoch_alone():
    assert np.array_equal(pairing().members(4), pairing().members(4))
    assert not np.array_equal(pairing().members(4), pairing().members(5))
    assert not np.array_equal(pairing().members(4), pairing(seed=6).members(4))
    other = pairing(purpose="test")
    assert not np.array_equal(pairing().members(FIXED), other.members(FIXED))


def test_views_of_one_example_are_the_same_and_of_two_are_not():
    found = pairing(groups=None)

    members = found.members(2)

    alike = members[:, 0] == members[:, 1]
    assert np.array_equal(alike, found.targets == 1)
    assert set(members.ravel()) == set(range(8))


@pytest.mark.parametrize(
    ("groups", "rows", "why"),
    [
        ([0, 0, 0], 3, "no pair is different"),
        ([0, 1, 2], 3, "no pair is the same"),
        ([0], 1, "at least 2"),
        (None, 1, "at least 2"),
    ],
)
def test_rows_without_pairs_of_both_kinds_are_refused(groups: Any, rows: int, why: str):
    own = None if groups is None else np.array(groups)

    with pytest.raises(NoRows, match=why):
        Pairing(1, "validation", rows, rows, own)


def numbered(rows: int = 40) -> Dataset:
    """Return images whose first pixel is the number of their row."""
    data = pictures(rows)
    data.columns["image"][:, 0, 0, 0] = np.arange(rows)
    return data


def numbers(x: torch.Tensor) -> Any:
    """Return the numbers of the rows that a batch of pairs is made of."""
    return (x[:, :, 0, 0, 0] * 255).round().long().numpy()


def test_pairs_are_made_of_training_rows_only_and_anew_in_every_epoch():
    assembly = build(spec(SIAMESE, dataset=BY_LABEL), numbered())
    train, chosen = assembly.training.material.train, assembly.rows.rows
    rows = torch.arange(len(train))

    epochs = [
        numbers(Gatherer(train.at(epoch), train.targets).gather(rows)[0][INPUT])
        for epoch in (1, 2)
    ]

    labels = numbered().columns["label"][epochs[0]]
    assert np.array_equal(labels[:, 0] == labels[:, 1], train.targets.numpy() == 1)
    assert np.isin(epochs, chosen).all()
    assert not np.array_equal(*epochs)


@pytest.mark.parametrize("wish", [BY_LABEL, TURNED])
def test_a_gathered_batch_is_the_same_as_a_slice(wish: dict[str, Any]):
    layers = SIAMESE if wish is BY_LABEL else None
    assembly = build(spec(layers, dataset=wish), pictures())
    train = assembly.training.material.train
    values = train.values()[INPUT]

    gathered, targets = Gatherer(train.values(), train.targets).gather(
        torch.arange(3, 11)
    )

    assert torch.equal(gathered[INPUT], values[3:11])
    assert torch.equal(assembly.rows[3:11], values[3:11])
    assert torch.equal(targets, train.targets[3:11])


def test_held_back_pairs_stay_the_same_and_are_made_of_rows_held_back():
    assembly = build(spec(SIAMESE, dataset=BY_LABEL), numbered(60))
    held = assembly.training.material.validation
    assert held is not None

    first, again = (
        numbers(torch.cat([values[INPUT] for values, _ in held.chunks(2)]))
        for _ in range(2)
    )

    assert np.array_equal(first, again)
    assert np.isin(first, assembly.held["validation"].rows).all()
    assert len(first) == len(assembly.held["validation"].rows)


def test_every_image_occurs_at_every_angle():
    assembly = build(spec(dataset=TURNED), pictures())

    made = assembly.rows
    assert isinstance(made, MadeRows)

    turned, first = made[:8], made.single[0:1]

    assert made.targets[:8].tolist() == [0, 1, 2, 3] * 2
    assert len(made) == 4 * len(made.rows)
    expected = [torch.rot90(first[0], n, dims=(1, 2)) for n in range(4)]
    assert torch.equal(turned[:4], torch.stack(expected))


def test_augmented_views_are_of_each_member_by_itself_and_fixed_where_held_back():
    what = spec(SIAMESE, dataset=BY_EXAMPLE, augmentation=[{"kind": "noise"}])
    one, other = (build(what, pictures(60)).training.material for _ in range(2))
    assert one.validation is not None
    assert other.validation is not None

    views = one.validation.values()[INPUT][:]

    same = one.validation.targets == 1
    apart = (views[:, 0] - views[:, 1]).flatten(1).abs().amax(1)
    assert (apart[same] > 0).all(), "two views of one example differ"
    assert apart[same].max() < apart[~same].min()
    assert torch.equal(views, other.validation.values()[INPUT][:])


def test_making_views_of_what_is_held_back_moves_no_draw_of_the_training():
    what = spec(SIAMESE, dataset=BY_EXAMPLE, augmentation=[{"kind": "noise"}])

    build(what, pictures(60))

    state = torch.get_rng_state()
    torch.manual_seed(what["training"]["seed"])
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("wish", [BY_LABEL, TURNED, BY_EXAMPLE])
def test_the_rows_held_back_are_those_of_the_job_that_follows(wish: dict[str, Any]):
    shift: list[dict[str, Any]] = [{"kind": "shift"}]
    layers = None if wish is TURNED else SIAMESE

    after = build(spec(), pictures(60))
    before = build(spec(layers, dataset=wish, augmentation=shift), pictures(60))

    for purpose in ("validation", "test"):
        prepared = before.held[purpose].rows
        assert np.array_equal(prepared, after.held[purpose].rows)


def test_rows_without_a_label_are_trained_on_where_none_is_needed():
    data = pictures(60)
    label = data.columns["label"].astype(np.float64)
    label[::3] = np.nan
    column = data.schema.column("label")
    assert column is not None
    kept = column.model_copy(update={"kind": "number", "missing": 20})
    columns = tuple(kept if c.name == "label" else c for c in data.schema.columns)
    schema = data.schema.model_copy(update={"columns": columns})
    some = Dataset(schema, {**data.columns, "label": label}, "some")

    after = build(spec(dataset={"task": "classification"}), some)
    before = build(spec(dataset=TURNED), some)

    assert np.array_equal(before.held["test"].rows, after.held["test"].rows)
    extra = np.setdiff1d(before.rows.rows, after.rows.rows)
    assert np.array_equal(extra, np.arange(0, 60, 3))
