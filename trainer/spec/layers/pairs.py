"""Layers for examples that are pairs: one of them, the same layer again, how far apart.

A siamese network, after Bromley et al. (1993), NIPS 6, and Koch et al. (2015), ICML
deep learning workshop: ``select`` takes each of the two apart, ``shared`` gives both to
the same layers, and a distance or ``absolute_difference`` compares what comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, PrivateAttr

from trainer.spec.base import LayerName, Rate
from trainer.spec.layers.blocks import Plain, Step
from trainer.spec.layers.merging import Merge
from trainer.spec.masks import Mask
from trainer.spec.shapes import Impossible, Shape

if TYPE_CHECKING:
    from typing import Self

    from torch import nn


class Select(Step):
    """Take one of the parts that lie along the first axis of each example.

    Of a pair of examples (2, *shape) that is one example of the pair.
    """

    kind: Literal["select"] = "select"
    index: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Which part, counted from 0."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape without its first axis."""
        shape = shapes[0]
        if len(shape) < 2:
            raise Impossible(
                f"select takes one of several parts, is given {list(shape)}",
                field="kind",
            )
        if self.index >= shape[0]:
            raise Impossible(
                f"there are {shape[0]} parts, counted from 0, and no part {self.index}",
                field="index",
                suggestion=str(shape[0] - 1),
            )
        return shape[1:]

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.pairs import Select as Module

        return Module(self.index)


class Shared(Step):
    """Apply an earlier layer once more, to another input, after Bromley et al. (1993).

    It is that layer: its tensors, normalisation and dropout. So what is said of it
    (initial values, penalties, limits, learning rate, freezing) holds here too, and it
    is counted, saved and reused once. While training, each call normalises by its own
    batch, and the moving statistics follow both.
    """

    kind: Literal["shared"] = "shared"
    of: LayerName
    """Name of the earlier layer; inputs here have the shape of its input."""
    borrows: ClassVar[str] = "of"
    _layer: Step | None = PrivateAttr(default=None)
    _takes: tuple[Shape, ...] = PrivateAttr(default=())

    def borrowing(self, lender: Step, shapes: Sequence[Shape]) -> Self:
        """Return the layer once it is known which one it applies."""
        kind = str(getattr(lender, "kind", ""))
        if lender.lender is not None:
            raise Impossible(
                f"{self.of!r} is {kind} and has no weights of its own",
                field="of",
                suggestion=lender.lender,
            )
        if lender.takes != (1, 1) or not lender.tensors(shapes):
            raise Impossible(
                f"{self.of!r} is {kind}, which has no weights to share: write it again",
                field="of",
            )
        found = self.model_copy()
        found._layer, found._takes = lender, tuple(shapes)  # noqa: SLF001
        return found

    @property
    def minds_padding(self) -> bool:  # type: ignore[override]
        """Return whether the layer that is applied asks which steps are real."""
        return self._layer is not None and self._layer.minds_padding

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return what the layer that is applied gives."""
        if tuple(shapes) != self._takes:
            raise Impossible(
                f"{self.of!r} takes {list(self._takes[0])}, is given {list(shapes[0])}"
                if self._takes
                else f"it stands on {self.of!r}",
                field="of",
            )
        return self._applied.output_shape(shapes)

    def activations(self, shapes: Sequence[Shape]) -> int:
        """Return how many numbers per example are kept for the backward pass."""
        return self._applied.activations(shapes)

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return which steps that come out are real."""
        return self._applied.mask(masks, shapes)

    def flops(self, shapes: Sequence[Shape]) -> int:
        """Return those of the layer: weights are shared, work is not."""
        return self._applied.flops(shapes)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.pairs import Shared as Module

        return Module()

    @property
    def _applied(self) -> Step:
        if self._layer is None:
            raise Impossible(f"it stands on {self.of!r}", field="of")
        return self._layer


class AbsoluteDifference(Merge):
    """Give |a - b| of two inputs, number by number, after Koch et al. (2015).

    Section 3.1: what a siamese network weighs to tell whether two examples are alike;
    it is the same whichever of them comes first.
    """

    kind: Literal["absolute_difference"] = "absolute_difference"
    takes: ClassVar[tuple[int, int]] = (2, 2)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.pairs import AbsoluteDifference as Module

        return Module()


class Distance(Merge):
    """One number for two inputs of equal shape: how far apart they are, at least 0."""

    takes: ClassVar[tuple[int, int]] = (2, 2)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (1,)."""
        super().output_shape(shapes)
        return (1,)

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return None: there are no steps any more."""
        return None


class EuclideanDistance(Distance):
    """Give √Σ(a - b)² of two inputs, after Hadsell et al. (2006), CVPR, equation 1."""

    kind: Literal["euclidean_distance"] = "euclidean_distance"
    epsilon: Rate = 1e-7
    """Added to the sum: the root has no slope at 0."""

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.pairs import EuclideanDistance as Module

        return Module(self.epsilon)


class CosineDistance(Distance):
    """Give 1 - a·b / (|a| |b|) of two inputs: 0 to 2, whatever their lengths are.

    The angle by which signatures were told apart, after Bromley et al. (1993), NIPS 6.
    """

    kind: Literal["cosine_distance"] = "cosine_distance"
    epsilon: Rate = 1e-7
    """Added to the squares of both lengths."""

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.pairs import CosineDistance as Module

        return Module(self.epsilon)


class DistanceThreshold(Plain):
    """Answer "different" where a distance D is above a threshold t, else "same".

    It gives (D, 2 t - D): the larger one is the answer, and by the softmax, as after
    any output, the probability of "same" is 1 / (1 + exp(2 (D - t))). The loss
    ``contrastive`` takes D. It is the last layer, and stands there by itself with that
    loss, at half the margin.
    """

    kind: Literal["distance_threshold"] = "distance_threshold"
    threshold: Rate = 0.5
    """The largest distance t at which two examples are called the same."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (2,)."""
        if shapes[0] != (1,):
            raise Impossible(
                f"distance_threshold takes one distance, is given {list(shapes[0])}",
                field="kind",
                suggestion="euclidean_distance",
            )
        return (2,)

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return None: there are no steps."""
        return None

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.pairs import DistanceThreshold as Module

        return Module(self.threshold)
