"""The examples of an auxiliary task on the device, made of the rows that lie there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trainer.data.auxiliary import FIXED, Pairing
from trainer.data.examples import Examples, View, taken
from trainer.spec.auxiliary import Rotation, SameOrDifferent
from trainer.spec.network import INPUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from trainer.data.examples import Pixels, Prepared
    from trainer.spec.augmentation.augmented import Layout
    from trainer.spec.auxiliary import Auxiliary
    from trainer.spec.training import Training as Recipe

Numbers = np.ndarray[Any, np.dtype[np.int64]]

VIEWS = 13
"""Keeps the draws of views apart from the job's other draws."""
QUARTER = 90
CHUNK = 1024
"""Examples whose views are made at once."""


@dataclass(frozen=True)
class Pairs(View):
    """Two rows for each example.

    Shapes:
        members: (examples, 2), positions among the rows; an example is (2, *shape).
    """

    rows: Tensor | Pixels
    members: Tensor

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.members)

    def __getitem__(self, part: slice, /) -> Tensor:
        """Return some of the examples."""
        return in_pairs(taken(self.rows, self.members[part].flatten()))

    def needed(self, examples: Tensor) -> Tensor:
        """Return the rows of some pairs, both members side by side."""
        return self.members.index_select(0, examples).flatten()

    def made(self, rows: Tensor, examples: Tensor) -> Tensor:
        """Return the pairs; no number is copied."""
        return in_pairs(rows)


@dataclass(frozen=True)
class Turned(View):
    """Every image at every angle; example n is image n // angles at angle n % angles.

    Shapes:
        rows: (images, channels, height, width).
    """

    rows: Tensor | Pixels
    angles: Sequence[int]

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.rows) * len(self.angles)

    def __getitem__(self, part: slice, /) -> Tensor:
        """Return some of the examples."""
        examples = torch.arange(len(self), device=self.device)[part]
        return self.made(taken(self.rows, self.needed(examples)), examples)

    def needed(self, examples: Tensor) -> Tensor:
        """Return the images of some examples."""
        return examples // len(self.angles)

    def made(self, rows: Tensor, examples: Tensor) -> Tensor:
        """Return the images, each turned by its angle, anticlockwise."""
        which = (examples % len(self.angles))[:, None, None, None]
        found = rows
        for number, angle in enumerate(self.angles):
            if angle:
                turned = torch.rot90(rows, angle // QUARTER, dims=(2, 3))
                found = torch.where(which == number, turned, found)
        return found


class MadeRows:
    """The examples that an auxiliary task makes of the rows of one purpose."""

    def __init__(
        self,
        single: Prepared,
        task: Auxiliary,
        purpose: str,
        groups: Numbers | None,
        seed: int,
    ) -> None:
        """Make them; `groups` are the class numbers of the rows.

        Raises: NoRows.
        """
        self.single, self.task, rows = single, task, len(single)
        self.angles = task.angles if isinstance(task, Rotation) else ()
        self.pairing: Pairing | None = None
        """How pairs are drawn; None: the task turns images."""
        if isinstance(task, SameOrDifferent):
            count = task.examples(rows) if purpose == "train" else rows
            own = groups if task.same == "label" else None
            self.pairing = Pairing(seed, purpose, rows, count, own)
            self.targets = self.pairing.targets
        else:
            classes = len(task.classes)
            self.targets = np.arange(rows * classes, dtype=np.int64) % classes
        self.views: Tensor | None = None
        """Pairs whose members were augmented once and for all."""

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.targets)

    def __getitem__(self, part: slice, /) -> Tensor:
        """Return some of the examples; of pairs that are drawn anew, those of no epoch.

        Only the rows that they need are read.
        """
        if self.views is not None:
            return self.views[part]
        if self.pairing is not None:
            members = torch.from_numpy(self.pairing.members(FIXED)[part])
            return in_pairs(self.single.at(members.flatten()))
        examples = torch.arange(len(self))[part]
        rows = self.single.at(examples // len(self.angles))
        return Turned(rows, self.angles).made(rows, examples.to(rows.device))

    @property
    def rows(self) -> Numbers:
        """Return the numbers of the rows that they are made of."""
        return self.single.rows

    @property
    def key(self) -> str:
        """Return a hash of which examples these are, in which order."""
        text = f"{self.single.key} {self.task.model_dump_json()}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def changing(self) -> str | None:
        """Say what changes the input from epoch to epoch, if anything does."""
        return None if self.pairing is None else "drawing other pairs"

    def held(self, device: torch.device) -> Tensor | Pixels:
        """Read and convert the rows, once."""
        return self.single.held(device)

    def examples(
        self, device: torch.device, recipe: Recipe, layout: Layout, *, trained: bool
    ) -> Examples:
        """Return the examples on the device.

        Those that are not `trained` on keep their pairs and, where views are compared,
        their views: augmented once, as the recipe says, from the seed.
        """
        targets = torch.from_numpy(self.targets).to(device)
        rows, pairing = self.single.held(device), self.pairing
        if pairing is None:
            turned = Turned(rows, self.angles)
            return Examples(lambda: {INPUT: turned}, targets)

        def drawn(epoch: int) -> Mapping[str, Pairs]:
            members = torch.from_numpy(pairing.members(epoch))
            return {INPUT: Pairs(rows, members.to(device))}

        fixed = drawn(FIXED)
        if trained:
            return Examples(lambda: fixed, targets, drawn)
        if pairing.groups is not None:
            return Examples(lambda: fixed, targets)
        views = self.views = _augmented(fixed[INPUT], recipe, layout, pairing)
        return Examples(lambda: {INPUT: views}, targets)


def in_pairs(rows: Tensor) -> Tensor:
    """Return (pairs, 2, *shape) of rows (2 pairs, *shape) that lie side by side."""
    return rows.view(len(rows) // 2, 2, *rows.shape[1:])


def _augmented(
    pairs: Pairs, recipe: Recipe, layout: Layout, pairing: Pairing
) -> Tensor:
    """Return pairs with each member augmented by itself, by draws of their own."""
    changes = [each.build(layout) for each in recipe.augmentation]
    words = np.random.SeedSequence([*pairing.entropy, VIEWS])
    state = int(words.generate_state(1, np.uint64)[0] >> np.uint64(1))
    devices = [pairs.device] if pairs.device.type == "cuda" else []
    parts = []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(state)
        for start in range(0, len(pairs), CHUNK):
            both = pairs[start : start + CHUNK].flatten(0, 1)
            for change in changes:
                both = change(both)
            parts.append(in_pairs(both.contiguous()))
    return torch.cat(parts)
