"""The layer that turns a row with names in it into numbers that any layer can take."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from trainer.spec.data.layout import InputPart, Numbers, Tokens
from trainer.spec.initializers import Normal
from trainer.spec.layers.blocks import Defaults, Weighted
from trainer.spec.shapes import Impossible, Shape, TensorShape

if TYPE_CHECKING:
    from typing import Self

    from torch import Generator, Tensor, nn


class ColumnEmbedding(Weighted):
    """Look up a learned vector for each category and each text of a row.

    Numbers pass. A category becomes its vector, after Guo and Berkhahn (2016),
    arXiv 1604.06737. A text becomes the mean of its tokens' vectors, after Joulin et
    al. (2017), EACL. They lie side by side in the order of the columns. The layer is
    put in front, under the name ``features``, where the inputs hold such columns and no
    layer was written for them.
    """

    kind: Literal["column_embedding"] = "column_embedding"
    columns: tuple[InputPart, ...] | None = Field(default=None, max_length=100_000)
    """What the row's numbers are, in order; absent: as the data set's encodings say."""

    def filled(self, defaults: Defaults) -> Self:
        """Return the layer with its initialiser: normal, deviation 0.05."""
        first = self.initializer or Normal()
        return self.model_copy(update={"initializer": first})

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape with the vectors side by side on the last axis."""
        width = sum(part.width for part in self.parts)
        if not shapes[0] or width != shapes[0][-1]:
            raise Impossible(
                f"column_embedding is for rows of {width} numbers, is given "
                f"{list(shapes[0])}",
                field="columns",
                suggestion="leave columns out",
            )
        return (*shapes[0][:-1], sum(part.size for part in self.parts))

    def tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return a table of vectors for each column that has names."""
        return {
            f"embedding_{number}": TensorShape(
                (part.vocabulary_size, part.dimension), role="weight"
            )
            for number, part in enumerate(self.parts)
            if not isinstance(part, Numbers)
        }

    def activations(self, shapes: Sequence[Shape]) -> int:
        """Return the outputs, and of texts each token's vector, twice."""
        texts = [part for part in self.parts if isinstance(part, Tokens)]
        positions = prod(shapes[0][:-1])
        kept = sum(2 * part.length * part.dimension for part in texts)
        return prod(self.output_shape(shapes)) + positions * kept

    def flops(self, shapes: Sequence[Shape]) -> int:
        """Return two per token and dimension: looking up costs nothing."""
        texts = [part for part in self.parts if isinstance(part, Tokens)]
        positions = prod(shapes[0][:-1])
        return positions * sum(2 * part.length * part.dimension for part in texts)

    def fill(
        self, name: str, tensor: TensorShape, values: Tensor, generator: Generator
    ) -> None:
        """Draw the vectors; those of nothing, of unknown and missing categories are 0.

        An unknown category is never trained on, so it must not push in a direction.
        """
        super().fill(name, tensor, values, generator)
        part = self.parts[int(name.rpartition("_")[2])]
        values[: 1 if isinstance(part, Tokens) else 2] = 0

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module for rows that the columns describe."""
        from trainer.modules.column_embedding import ColumnEmbedding as Module

        self.output_shape(shapes)
        return Module(self.parts)

    @property
    def parts(self) -> tuple[InputPart, ...]:
        """Return what the row's numbers are; it is known once the layer is filled."""
        if self.columns is None:
            raise Impossible(
                "column_embedding is for the columns of a table, and takes 'input'",
                field="columns",
                suggestion="leave the layer out",
            )
        return self.columns
