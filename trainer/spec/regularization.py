"""What keeps a network from learning its training rows by heart: penalties, limits.

Here are the penalties and limits on weights and early stopping. Dropout is a layer and
a field of layers; augmentation, mixing, averaging and weighting are families of their
own.
"""

from typing import Annotated

from pydantic import Field

from trainer.spec.base import Coefficient, Count, Nullable, Off, Rate, Spec


class Regularization(Spec):
    """Penalties and limits on the weights of the layers that learn.

    Never on biases, the vectors of a normalisation or learned slopes. The norm is
    bounded after Srivastava et al. (2014), JMLR 15, section 5.1; weights decay apart
    from the gradient after Loshchilov and Hutter (2019), ICLR, algorithms 1 and 2.
    """

    l1: Coefficient = 0.0
    """Coefficient of Σ|w|, added to the loss."""
    l2: Coefficient = 0.0
    """Coefficient of Σw², added to the loss."""
    max_norm: Annotated[Rate | Off, Nullable] = "none"
    """Largest Euclidean norm of the weights into one unit of a hidden layer, enforced
    after each step: a larger one is scaled down to it."""
    weight_decay: Coefficient = 0.0
    """Share λ of each weight that is removed per step and unit of the learning rate η:
    w ← w - η λ w, from the weights before the step and outside the optimizer's means,
    for every optimizer."""


class LayerRegularization(Spec):
    """Penalties and limits of one layer; what is absent is as in the training."""

    l1: Coefficient | None = None
    """Coefficient of the sum of the absolute weights of this layer."""
    l2: Coefficient | None = None
    """Coefficient of the sum of the squared weights of this layer."""
    max_norm: Annotated[Rate | Off | None, Nullable] = None
    """Largest norm of the weights into one unit; ``"none"``: no limit."""

    def over(self, training: Regularization) -> Regularization:
        """Return the training's wishes with those of the layer in their place."""
        own = {name: value for name, value in self if value is not None}
        return training.model_copy(update=own)


class EarlyStopping(Spec):
    """Stop when the monitored metric has not improved for a while.

    After Prechelt (1998), "Early stopping — but when?".
    """

    monitor: str = Field(default="validation_loss", max_length=100)
    """Name of the metric; losses and errors shall fall, all others rise."""
    patience: Count = 10
    """Evaluations without improvement after which training stops."""
    minimum_change: Coefficient = 0.0
    """Smaller changes do not count as improvement."""
    restore_best: bool = True
    """Whether the weights of the best evaluation are kept."""
    start_after: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """Evaluations at the beginning that are not judged: none of them is the best, and
    patience does not run out."""
