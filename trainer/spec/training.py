"""How a network is trained: the rule, the penalties, when to stop."""

from typing import Annotated, Literal

from pydantic import Field

from trainer.spec.augmentation import Augmentations
from trainer.spec.averaging import Averaging, NoAveraging
from trainer.spec.base import Count, LayerName, Nullable, Off, Spec
from trainer.spec.clipping import GradientClipping, NoClipping
from trainer.spec.doctor import Doctor, DoctorWish
from trainer.spec.losses import Loss
from trainer.spec.mixing import Mixing, NoMixing
from trainer.spec.optimizers import Nesterov, Optimizer
from trainer.spec.pruning import NoPruning, Pruning
from trainer.spec.regularization import EarlyStopping, Regularization
from trainer.spec.schedules import NoSchedule, Schedule
from trainer.spec.weighting import (
    ClassWeights,
    NoClassWeights,
    Sampling,
    Shuffled,
)


class EveryEpochs(Spec):
    """Every so many passes over the training rows."""

    epochs: Count
    """Number of passes."""


class EverySteps(Spec):
    """Every so many optimizer steps."""

    steps: Count
    """Number of steps."""


class Training(Spec):
    """The recipe; what is absent is the practical guide's default."""

    optimizer: Optimizer = Nesterov()
    """Rule that turns gradients into steps."""
    schedule: Schedule = NoSchedule()
    """How the learning rate changes with the steps."""
    gradient_clipping: GradientClipping = NoClipping()
    """What happens to large gradients before a step."""
    regularization: Regularization = Regularization()
    """Penalties and limits on weights."""
    averaging: Averaging = NoAveraging()
    """Averages of the weights over the steps; they become the model."""
    augmentation: Augmentations = ()
    """Changes of the training rows, drawn anew for each batch, in this order."""
    pruning: Pruning = NoPruning()
    """Whether small weights become 0, after training or little by little."""
    mixing: Mixing = NoMixing()
    """Whether two examples at a time are trained on as one."""
    class_weights: ClassWeights = NoClassWeights()
    """What an error on each class costs: ``"none"``, ``"balanced"`` or
    ``{class: weight}``; in training only, as in Keras."""
    sampling: Sampling = Shuffled()
    """Which training rows an epoch visits: each once, or every class as often."""
    early_stopping: Annotated[EarlyStopping | Off, Nullable] = EarlyStopping()
    """When to stop before the last epoch; ``"none"``: never, the last weights count."""
    loss: Loss | None = None
    """What is made small; absent: it follows from the task."""
    reconstruct: LayerName | None = None
    """Name of the layer whose output a reconstruction gives back, flattened; it keeps
    its values, and so does all below it. Absent: the input is given back."""
    epochs: Annotated[int, Field(ge=1)] = 100
    """Largest number of passes over the training rows."""
    batch_size: Count = 64
    """Examples per optimizer step."""
    evaluate_every: EveryEpochs | EverySteps = EveryEpochs(epochs=1)
    """How often the validation rows are looked at; patience counts these looks."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """Fixes the split, the initial weights, the order of rows and dropout."""
    frozen_cache: Literal["auto", "off", "required"] = "auto"
    """Whether outputs of frozen layers are computed once and kept."""
    frozen_cache_depths: Literal["own", "every"] = "own"
    """Which outputs the pass that fills the cache keeps: those that this job trains
    on, or those at every depth of the reused layers, which jobs that freeze more or
    fewer of them find ready. No result depends on it."""
    frozen_normalization: Literal["eval", "train"] = "eval"
    """Whether batch normalisation in frozen layers uses its stored statistics."""
    doctor: DoctorWish = Doctor()
    """The training doctor: figures of every layer and named faults with a patch; on by
    default, ``"off"`` switches it off. Nothing that is trained changes by it."""
