"""Layers that turn ids into vectors, and tell vectors where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from trainer.spec.base import Count
from trainer.spec.initializers import Uniform, fill_normal
from trainer.spec.layers.blocks import Defaults, Step, Weighted, sequence_of
from trainer.spec.masks import Mask
from trainer.spec.shapes import Impossible, Shape, TensorShape

if TYPE_CHECKING:
    from typing import Self

    from torch import Generator, Tensor, nn

EXACT = 2**24
"""Whole numbers up to here are exact in float32, as which ids come."""


class Embedding(Weighted):
    """Look up a learned vector for each id, after Bengio et al. (2003), JMLR 3.

    Ids are whole numbers from 0 in float32; anything beyond the vocabulary counts as
    its last entry. Id 0 is padding: its vector is 0 and stays so, and recurrent
    layers, attention, convolutions and pooling above leave its steps out.
    """

    kind: Literal["embedding"] = "embedding"
    units: Count
    """Length of each vector."""
    vocabulary_size: Annotated[int, Field(ge=1, le=EXACT)] | None = None
    """Number of ids, padding included: the largest id plus 1; absent: as the data
    set's text or category column knows it."""
    mask_padding: bool = True
    """Whether id 0 is padding; if not, it is an id like the others."""

    def filled(self, defaults: Defaults) -> Self:
        """Return the layer with its initialiser: uniform to 0.05, as in Keras."""
        return self.model_copy(update={"initializer": self.initializer or Uniform()})

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (steps, units)."""
        if len(shapes[0]) != 1:
            raise Impossible(
                f"embedding takes ids (steps,), is given {list(shapes[0])}",
                field="kind",
                suggestion="conv1d with kernel_size 1 for a sequence of numbers",
            )
        if self.vocabulary_size is None:
            raise Impossible(
                "how many ids there are is not known from the inputs; say the largest "
                "id plus 1",
                field="vocabulary_size",
            )
        return (shapes[0][0], self.units)

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return where the ids are not 0."""
        return Mask(str((self.inputs or ("",))[0])) if self.mask_padding else None

    def tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return weight (vocabulary_size, units)."""
        self.output_shape(shapes)
        size = self.vocabulary_size or 1
        return {"weight": TensorShape((size, self.units), role="weight")}

    def flops(self, shapes: Sequence[Shape]) -> int:
        """Return 0: looking up computes nothing."""
        return 0

    def fill(
        self, name: str, tensor: TensorShape, values: Tensor, generator: Generator
    ) -> None:
        """Draw the vectors; that of padding is 0."""
        super().fill(name, tensor, values, generator)
        if self.mask_padding:
            values[0] = 0

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.embedding import Embedding as Module

        size = self.tensors(shapes)["weight"].shape
        return Module(size, padded=self.mask_padding)


class PositionalEncoding(Step):
    """Add to each step a vector that tells its position, after Vaswani et al. (2017).

    NeurIPS, section 3.5: sin(p / 10000^(2i/d)) in the even, cos of the same in the odd
    features of position p, out of d. Attention sees no order without it.
    """

    kind: Literal["positional_encoding"] = "positional_encoding"
    method: Literal["sinusoidal", "learned"] = "sinusoidal"
    """``sinusoidal``: that formula; ``learned``: a vector for each position, from
    N(0, 0.02²), after Devlin et al. (2019)."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (steps, features)."""
        return sequence_of(shapes, self.kind)

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return the input's mask."""
        return masks[0]

    def tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return positions (steps, features) if they are learned."""
        shape = self.output_shape(shapes)
        return {"positions": TensorShape(shape)} if self.method == "learned" else {}

    def flops(self, shapes: Sequence[Shape]) -> int:
        """Return one per number."""
        return prod(shapes[0])

    def fill(
        self, name: str, tensor: TensorShape, values: Tensor, generator: Generator
    ) -> None:
        """Draw the vectors."""
        fill_normal(values, 0.02, generator)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.embedding import LearnedPositions, SinusoidalPositions

        of = LearnedPositions if self.method == "learned" else SinusoidalPositions
        return of(*sequence_of(shapes, self.kind))
