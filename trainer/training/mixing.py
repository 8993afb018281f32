"""Batches that are mixed with themselves in another order, and their targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.distributions import Beta

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.spec.mixing import Cutmix, Mixup

HALF = 0.5


@dataclass(frozen=True)
class Mixed:
    """Targets of mixtures: `share` of each example is of the first, the rest of other.

    Shapes:
        first, second: those of a batch's targets; share: ().
    """

    first: Tensor
    second: Tensor
    share: Tensor

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.first)

    def __getitem__(self, part: slice) -> Mixed:
        """Return the targets of some of the examples."""
        return Mixed(self.first[part], self.second[part], self.share)

    @property
    def device(self) -> torch.device:
        """Return where they lie."""
        return self.first.device


class Mixer:
    """Mixes batches by a technique of the spec."""

    def __init__(self, wish: Mixup | Cutmix, device: torch.device) -> None:
        alpha = torch.tensor(wish.alpha, device=device)
        self._wish = wish
        self._share = Beta(alpha, alpha, validate_args=False)

    def mixed(
        self, x: Tensor, targets: Tensor, rows: Tensor
    ) -> tuple[Tensor, Mixed, Tensor]:
        """Return a mixed batch, its targets, and for each the row of the larger part.

        Shapes:
            x: (batch, …); targets: (batch,); rows: (batch,), numbers of rows.
        """
        other = torch.randperm(len(x), device=x.device)
        drawn = self._share.sample().to(x.dtype)
        out, share = self._wish.mixed(x, x[other], drawn)
        shown = torch.where(share >= HALF, rows, rows[other])
        return out, Mixed(targets, targets[other], share), shown
