"""Training on mixtures of two examples. Add one: class here, name in ``Mixing`` below.

A batch is mixed with itself in another order; the loss is that of both targets, each by
its share λ, which is drawn for every batch by the device's generator. The training
accuracy is measured against the larger part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from trainer.spec.base import Named, Spec

if TYPE_CHECKING:
    from torch import Tensor

Concentration = Annotated[float, Field(gt=0, le=1000)]
"""The α of a Beta(α, α) distribution."""


class NoMixing(Spec):
    """Train on the examples as they are."""

    kind: Literal["none"] = "none"
    images_only: ClassVar[bool] = False


class Mixup(Spec):
    """Train on sums λ a + (1 - λ) b of two examples, after Zhang et al. (2018), ICLR.

    λ is drawn from Beta(α, α).
    """

    kind: Literal["mixup"] = "mixup"
    alpha: Concentration = 0.2
    """Small values leave most examples nearly pure; 1 draws every share alike."""
    images_only: ClassVar[bool] = False

    def mixed(self, x: Tensor, other: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixture of two batches, and the share of the first in it."""
        import torch

        return torch.lerp(other, x, share), share


class Cutmix(Spec):
    """Paste a rectangle of another image into each, after Yun et al. (2019), ICCV.

    The rectangle has the image's proportions and 1 - λ of its area, λ from Beta(α, α);
    its centre is anywhere, what sticks out is cut off, and λ is then the area left.
    """

    kind: Literal["cutmix"] = "cutmix"
    alpha: Concentration = 1.0
    """1, as in the paper, draws every area alike."""
    images_only: ClassVar[bool] = True

    def mixed(self, x: Tensor, other: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixture of two batches, and the share of the first in it."""
        import torch

        side = (1 - share).sqrt()
        inside = torch.ones((), dtype=torch.bool, device=x.device)
        for axis in (2, 3):
            size = x.shape[axis]
            places = torch.arange(size, device=x.device)
            centre = torch.rand((), device=x.device) * size
            half = side * size / 2
            low, high = (centre - half).round(), (centre + half).round()
            line = (places >= low) & (places < high)
            inside = inside & line.reshape([-1 if a == axis else 1 for a in range(4)])
        return torch.where(inside, other, x), 1 - inside.float().mean()


Mixing = Annotated[
    Annotated[NoMixing | Mixup | Cutmix, Field(discriminator="kind")], Named
]
