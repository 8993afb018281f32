"""Gradient clipping. Add one: class here, name in ``GradientClipping`` below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from trainer.spec.base import Named, Rate, Spec

if TYPE_CHECKING:
    from torch import Tensor


class NoClipping(Spec):
    """Leave the gradients as they are."""

    kind: Literal["none"] = "none"

    def clip(self, parameters: Sequence[Tensor]) -> None:
        """Change nothing."""


class Value(Spec):
    """Clamp each number of each gradient into [-threshold, threshold]."""

    kind: Literal["value"] = "value"
    threshold: Rate = 1.0
    """Largest absolute value that is left."""

    def clip(self, parameters: Sequence[Tensor]) -> None:
        """Clip the gradients in place."""
        from torch.nn.utils import clip_grad_value_

        clip_grad_value_(parameters, self.threshold)


class Norm(Spec):
    """Scale each tensor's gradient down to a Euclidean norm, tensor by tensor."""

    kind: Literal["norm"] = "norm"
    threshold: Rate = 1.0
    """Largest norm that is left to one tensor's gradient."""

    def clip(self, parameters: Sequence[Tensor]) -> None:
        """Clip the gradients in place."""
        from torch.nn.utils import clip_grad_norm_

        for parameter in parameters:
            clip_grad_norm_([parameter], self.threshold)


class GlobalNorm(Spec):
    """Scale all gradients by one factor, after Pascanu et al. (2013), ICML."""

    kind: Literal["global_norm"] = "global_norm"
    threshold: Rate = 1.0
    """Largest norm that is left to all gradients taken as one vector."""

    def clip(self, parameters: Sequence[Tensor]) -> None:
        """Clip the gradients in place."""
        from torch.nn.utils import clip_grad_norm_

        clip_grad_norm_(parameters, self.threshold)


GradientClipping = Annotated[
    Annotated[NoClipping | Value | Norm | GlobalNorm, Field(discriminator="kind")],
    Named,
]
