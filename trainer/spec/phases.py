"""Phases: a training in stages, each with its own layers that learn and its own recipe.

Gradual unfreezing, after Howard and Ruder (2018), "Universal language model
fine-tuning for text classification", and the book's procedure for reused layers, Géron
(2017), chapter 11: train the new top first, then unfreeze from the top, at a lower
learning rate.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints

from trainer.spec.augmentation import Augmentations
from trainer.spec.averaging import Averaging
from trainer.spec.base import Count, LayerName, Nullable, Off, Rate, Spec
from trainer.spec.clipping import GradientClipping
from trainer.spec.layers.blocks import Multiplier
from trainer.spec.mixing import Mixing
from trainer.spec.optimizers import Optimizer
from trainer.spec.regularization import EarlyStopping, Regularization
from trainer.spec.reuse import Selection
from trainer.spec.schedules import Schedule
from trainer.spec.training import EveryEpochs, EverySteps, Training

Pattern = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def _nothing_by_null(value: object) -> object:
    """Turn null into the empty list, which a merge patch cannot tell otherwise."""
    return () if value is None else value


class Phase(Spec):
    """One stage of a training; what is absent is as in ``training``.

    It begins with the weights that the phase before has kept (its best ones, if it
    stops early), with a fresh optimizer and at the beginning of its schedule.
    """

    name: LayerName | None = None
    """Name of the phase in the job's progress; absent: ``phase1``, ``phase2``, …"""
    freeze: Annotated[Selection | None, BeforeValidator(_nothing_by_null)] = None
    """Which of the network's layers keep their values in this phase; ``[]``: none;
    absent: those that ``reuse`` freezes, unless `train` says otherwise."""
    train: Selection | None = None
    """Which layers learn in this phase, instead of which do not: all other layers with
    weights keep them, and so does dropout below the lowest that learns."""
    learning_rate: Rate | None = None
    """Learning rate in place of the optimizer's own."""
    learning_rate_multipliers: Mapping[Pattern, Multiplier] = Field(
        default={}, max_length=1000
    )
    """What the learning rate is multiplied by in the layers whose whole name the
    regular expression matches, in place of their own ``learning_rate_multiplier``."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Largest number of passes over the training rows in this phase."""
    early_stopping: Annotated[EarlyStopping | Off | None, Nullable] = None
    """When the phase ends before its last epoch; its best weights go on."""
    optimizer: Optimizer | None = None
    """Rule that turns gradients into steps; it begins anew in each phase."""
    schedule: Schedule | None = None
    """How the learning rate changes with the steps of the phase."""
    gradient_clipping: GradientClipping | None = None
    """What happens to large gradients before a step."""
    regularization: Regularization | None = None
    """Penalties and limits on weights."""
    averaging: Averaging | None = None
    """Averages of the weights over the steps of the phase."""
    augmentation: Augmentations | None = None
    """Changes of the training rows."""
    mixing: Mixing | None = None
    """Whether two examples at a time are trained on as one."""
    batch_size: Count | None = None
    """Examples per optimizer step."""
    evaluate_every: EveryEpochs | EverySteps | None = None
    """How often the validation rows are looked at."""

    def over(self, training: Training) -> Training:
        """Return the recipe of the phase: the job's, with what the phase says."""
        said = {name: getattr(self, name) for name in OVERRIDES}
        update = {name: value for name, value in said.items() if value is not None}
        recipe = training.model_copy(update=update)
        if self.learning_rate is None:
            return recipe
        rate = {"learning_rate": self.learning_rate}
        optimizer = recipe.optimizer.model_copy(update=rate)
        return recipe.model_copy(update={"optimizer": optimizer})


OVERRIDES = tuple(name for name in Phase.model_fields if name in Training.model_fields)
"""Fields of a recipe that a phase may have of its own."""
