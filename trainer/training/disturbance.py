"""What is done to a batch between the data and the network, while training.

That is: augmentation in the order of the list, then mixing. Everything is drawn by the
generator of the device, whose state is in the checkpoint; where nothing is asked for,
nothing is drawn and the batch is passed on as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.spec.augmentation.augmented import Layout, layout_kind
from trainer.spec.mixing import NoMixing
from trainer.spec.network import INPUT
from trainer.training.mixing import Mixer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainer.preprocessing import Preprocessing
    from trainer.spec.augmentation.augmented import Change
    from trainer.spec.training import Training
    from trainer.training.mixing import Mixed

NUMERIC = frozenset({"standardised", "imputed", "scaled"})
"""Encodings whose features are numbers, which bear some noise."""


@dataclass(frozen=True)
class Batch:
    """What one step trains on."""

    values: dict[str, Tensor]
    targets: Tensor | Mixed
    rows: Tensor
    """The training rows whose targets the outputs are measured against."""


class Disturbance:
    """Disturbs the batches of one training."""

    def __init__(
        self, recipe: Training, layout: Layout | None, device: torch.device
    ) -> None:
        self._changes: list[Change] = []
        for each in recipe.augmentation:
            assert layout is not None
            self._changes.append(each.build(layout))
        self._pair = layout is not None and layout.pair
        wish = recipe.mixing
        self._mixer = None if isinstance(wish, NoMixing) else Mixer(wish, device)

    def of(self, values: dict[str, Tensor], targets: Tensor, rows: Tensor) -> Batch:
        """Return the batch as it is trained on."""
        if not self._changes and self._mixer is None:
            return Batch(values, targets, rows)
        x = values[INPUT]
        shape = x.shape
        if self._pair:
            x = x.flatten(0, 1)
        for change in self._changes:
            x = change(x)
        if self._pair:
            x = x.reshape(shape)
        if self._mixer is None:
            return Batch({INPUT: x}, targets, rows)
        x, mixed, shown = self._mixer.mixed(x, targets, rows)
        return Batch({INPUT: x}, mixed, shown)


def layout_of(kind: str, preprocessing: Preprocessing, *, pair: bool = False) -> Layout:
    """Return what the network is given, as augmentations see it."""
    shape = preprocessing.shape
    encodings = preprocessing.description.encodings
    return Layout(
        layout_kind(kind, shape),
        shape,
        tuple(encoding.width for encoding in encodings),
        tuple(encoding.kind in NUMERIC for encoding in encodings),
        (0.0, 1.0) if preprocessing.only_divides else None,
        pair,
    )


def changes_input(recipe: Training) -> str | None:
    """Say what changes the input from epoch to epoch, if anything does."""
    names: list[str] = [each.kind for each in recipe.augmentation]
    if not isinstance(recipe.mixing, NoMixing):
        names.append(recipe.mixing.kind)
    return f"augmentation ({', '.join(names)})" if names else None
