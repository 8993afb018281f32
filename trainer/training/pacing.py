"""The pace of a training: its learning rate and momentum at each step."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from trainer.spec.schedules.measured import Performance, Plateau
from trainer.training.evaluate import falls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from trainer.spec.training import Training as Recipe


class Pacing:
    """Asks the schedule; remembers what the evaluations have made of it."""

    def __init__(self, recipe: Recipe, steps_per_epoch: int) -> None:
        self.schedule, self.steps_per_epoch = recipe.schedule, steps_per_epoch
        self.initial = recipe.optimizer.learning_rate
        self.plateau = Plateau()

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rate = self.schedule.rate(self.initial, step, self.steps_per_epoch)
        return rate * self.plateau.factor

    def momentum(self, step: int) -> float | None:
        """Return the momentum of a step; None: the optimizer's own."""
        return self.schedule.momentum(step, self.steps_per_epoch)

    def look(self, metrics: Mapping[str, float]) -> None:
        """Take note of an evaluation."""
        if isinstance(self.schedule, Performance):
            name = self.schedule.monitor
            self.plateau = self.schedule.after(
                self.plateau, metrics.get(name), falls=falls(name)
            )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what a checkpoint needs: what the evaluations have come to."""
        return {}, asdict(self.plateau)

    def restore(
        self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
    ) -> None:
        """Go on from what `state` returned."""
        self.plateau = Plateau(**numbers)
