"""Gradient clipping. Add one: class here, name in ``GradientClipping`` below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from trainer.spec.base import Named, Rate, Spec

if TYPE_CHECKING:
    from torch import Tensor


class Clipping(Spec):
    """A limit on gradients before a step; nothing of it waits for the device."""

    spares_output: ClassVar[bool] = False
    """Whether the output layer's gradients are left as they are."""

    def clip(self, parameters: Sequence[Tensor], units: Sequence[int]) -> None:
        """Clip the gradients in place; `units` is the axis of each parameter's units.

        A parameter without a gradient is passed over.
        """
        raise NotImplementedError


class NoClipping(Clipping):
    """Leave the gradients as they are."""

    kind: Literal["none"] = "none"

    def clip(self, parameters: Sequence[Tensor], units: Sequence[int] = ()) -> None:
        """Change nothing."""


class Value(Clipping):
    """Clamp every gradient into [-threshold, threshold], after Mikolov (2012)."""

    kind: Literal["value"] = "value"
    threshold: Rate = 1.0
    """Largest absolute value that is left."""

    def clip(self, parameters: Sequence[Tensor], units: Sequence[int] = ()) -> None:
        """Clip the gradients in place."""
        from torch.nn.utils import clip_grad_value_

        clip_grad_value_(parameters, self.threshold)


class Norm(Clipping):
    """Scale each tensor's gradient by itself, after Pascanu et al. (2013), ICML."""

    kind: Literal["norm"] = "norm"
    threshold: Rate = 1.0
    """Largest norm that is left to one tensor's gradient."""

    def clip(self, parameters: Sequence[Tensor], units: Sequence[int] = ()) -> None:
        """Clip the gradients in place."""
        from torch.nn.utils import clip_grad_norm_

        for parameter in parameters:
            clip_grad_norm_([parameter], self.threshold)


class GlobalNorm(Clipping):
    """Scale all gradients by one factor, after Pascanu et al. (2013), ICML."""

    kind: Literal["global_norm"] = "global_norm"
    threshold: Rate = 1.0
    """Largest norm that is left to all gradients taken as one vector."""

    def clip(self, parameters: Sequence[Tensor], units: Sequence[int] = ()) -> None:
        """Clip the gradients in place."""
        from torch.nn.utils import clip_grad_norm_

        clip_grad_norm_(parameters, self.threshold)


class Adaptive(Clipping):
    """Bound each unit's gradient by its weights, after Brock et al. (2021), ICML.

    Equation 3: where ‖G‖ > clipping · max(‖W‖, epsilon), the gradient G of the weights
    W into one unit or channel is scaled down to that norm. A vector, such as the biases
    of a layer, counts as one unit. The output layer is not clipped, as the paper
    advises.
    """

    kind: Literal["adaptive"] = "adaptive"
    clipping: Rate = 0.01
    """Largest norm of a unit's gradient, as a share of the norm of its weights."""
    epsilon: Rate = 1e-3
    """Least norm of weights, so that weights that start at 0 can leave it."""
    spares_output: ClassVar[bool] = True

    def clip(self, parameters: Sequence[Tensor], units: Sequence[int] = ()) -> None:
        """Clip the gradients in place."""
        import torch
        from torch.linalg import vector_norm

        axes = units or [0] * len(parameters)
        with torch.no_grad():
            for parameter, axis in zip(parameters, axes, strict=True):
                gradient = parameter.grad
                if gradient is None:
                    continue
                inputs = [a for a in range(parameter.ndim) if a != axis]
                if parameter.ndim <= 1:
                    inputs = list(range(parameter.ndim))
                weights = vector_norm(parameter, dim=inputs, keepdim=True)
                limits = weights.clamp_(min=self.epsilon).mul_(self.clipping)
                norms = vector_norm(gradient, dim=inputs, keepdim=True)
                # where the norm is below the limit, and where it is 0, the factor is 1
                gradient.mul_(limits.div_(norms).clamp_(max=1.0))


GradientClipping = Annotated[
    Annotated[
        NoClipping | Value | Norm | GlobalNorm | Adaptive, Field(discriminator="kind")
    ],
    Named,
]
