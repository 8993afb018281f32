"""How often each class was predicted, and how often it occurred, while training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

CLASSES = 1024
"""Most classes that are counted: a row takes as many comparisons."""


class Counts:
    """Counts the answers since it was last read; nothing here waits for the device."""

    def __init__(self, classes: int) -> None:
        self.classes = classes if 1 < classes <= CLASSES else 0
        self._sums: Tensor | None = None

    @torch.no_grad()
    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Count a chunk of rows: outputs (rows, classes), class numbers (rows,)."""
        if not self.classes or outputs.ndim != 2 or targets.ndim != 1:  # noqa: PLR2004
            return
        every = torch.arange(self.classes, device=outputs.device)
        both = torch.stack([outputs.argmax(1), targets])
        counts = (both.unsqueeze(2) == every).sum(1)
        self._sums = counts if self._sums is None else self._sums + counts

    def read(self) -> tuple[list[int], list[int]] | None:
        """Return predictions and rows per class, and begin again."""
        if self._sums is None:
            return None
        predicted, actual = self._sums.tolist()
        self._sums = None
        return predicted, actual
