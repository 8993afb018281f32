"""Early stopping: which evaluation was the best, and whether to go on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from trainer.spec.regularization import EarlyStopping
from trainer.training.evaluate import falls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


@dataclass
class Best:
    """Where the monitored metric was best."""

    value: float | None = None
    step: int = 0
    epoch: int = 0
    waited: int = 0
    """Evaluations since then."""


class Stopping:
    """Watches the monitored metric and keeps the best weights."""

    def __init__(self, wish: EarlyStopping | str) -> None:
        self.wish = wish if isinstance(wish, EarlyStopping) else None
        self.best = Best()
        self.looks = 0
        """Evaluations so far."""
        self.weights: dict[str, Tensor] = {}

    @property
    def over(self) -> bool:
        """Return whether patience has run out."""
        return self.wish is not None and self.best.waited >= self.wish.patience

    def look(
        self,
        metrics: Mapping[str, float],
        position: tuple[int, int],
        weights: Mapping[str, Tensor],
    ) -> None:
        """Take note of an evaluation at (step, epoch); copy the weights if it is best.

        A metric that cannot be told for these rows counts as no improvement.
        """
        if self.wish is None:
            return
        self.looks += 1
        if self.looks <= self.wish.start_after:
            return
        value = metrics.get(self.wish.monitor)
        if value is None or not self._better(value):
            self.best.waited += 1
            return
        self.best = Best(value, *position)
        if not self.wish.restore_best:
            return
        for name, tensor in weights.items():
            if name in self.weights:
                self.weights[name].copy_(tensor)
            else:
                self.weights[name] = tensor.detach().clone()

    def bring_back(self, weights: Mapping[str, Tensor]) -> bool:
        """Write the best weights into `weights`; return whether there were any."""
        with torch.no_grad():
            for name, tensor in self.weights.items():
                weights[name].copy_(tensor)
        return bool(self.weights)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what a checkpoint needs: the best weights, and where they were."""
        return self.weights, asdict(self.best) | {"looks": self.looks}

    def restore(
        self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
    ) -> None:
        """Go on from what `state` returned."""
        known = dict(numbers)
        self.looks = known.pop("looks", 0)
        self.best = Best(**known)
        self.weights = dict(tensors)

    def _better(self, value: float) -> bool:
        assert self.wish is not None
        if self.best.value is None:
            return True
        gain = (
            self.best.value - value
            if falls(self.wish.monitor)
            else (value - self.best.value)
        )
        return gain > self.wish.minimum_change
