"""Normalisations as layers of their own.

Batch normalisation as a layer is in ``layers``; all are in the union there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from trainer.spec.base import Count, Rate
from trainer.spec.layers.blocks import Plain
from trainer.spec.normalizations import Group, Instance, Layer, Normalization, Rms
from trainer.spec.shapes import Impossible, Shape, TensorShape

if TYPE_CHECKING:
    from torch import nn


class NormalizationLayer(Plain):
    """A layer that does nothing but normalise."""

    def tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return the normalisation's vectors."""
        try:
            return self.normalization().tensors(shapes[0])
        except Impossible as problem:
            raise Impossible(problem.detail, suggestion=problem.suggestion) from None

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        module = self.normalization().build(shapes[0])
        assert module is not None
        return module

    def normalization(self) -> Normalization:
        """Return the member of the family that the layer applies."""
        raise NotImplementedError


class LayerNormalization(NormalizationLayer):
    """Layer normalisation as a layer of its own, after Ba et al. (2016)."""

    kind: Literal["layer_normalization"] = "layer_normalization"
    epsilon: Rate = 1e-5
    """Added to the variance."""

    def normalization(self) -> Normalization:
        """Return layer normalisation."""
        return Layer(epsilon=self.epsilon)


class GroupNormalization(NormalizationLayer):
    """Group normalisation as a layer of its own, after Wu and He (2018)."""

    kind: Literal["group_normalization"] = "group_normalization"
    groups: Count | None = None
    """Groups, of equal size; absent: as many as divide the channels, at most 32."""
    epsilon: Rate = 1e-5
    """Added to the variance."""

    def normalization(self) -> Normalization:
        """Return group normalisation."""
        return Group(groups=self.groups, epsilon=self.epsilon)


class InstanceNormalization(NormalizationLayer):
    """Instance normalisation as a layer of its own, after Ulyanov et al. (2016)."""

    kind: Literal["instance_normalization"] = "instance_normalization"
    epsilon: Rate = 1e-5
    """Added to the variance."""

    def normalization(self) -> Normalization:
        """Return instance normalisation."""
        return Instance(epsilon=self.epsilon)


class RmsNormalization(NormalizationLayer):
    """Root mean square normalisation as a layer, after Zhang and Sennrich (2019)."""

    kind: Literal["rms_normalization"] = "rms_normalization"
    epsilon: Rate = 1e-6
    """Added to the mean square."""

    def normalization(self) -> Normalization:
        """Return RMS normalisation."""
        return Rms(epsilon=self.epsilon)
