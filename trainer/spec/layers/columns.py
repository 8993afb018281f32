"""The layer that takes some columns out of a table's rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from trainer.spec.base import Count
from trainer.spec.layers.blocks import Step
from trainer.spec.shapes import Impossible, Shape

if TYPE_CHECKING:
    from torch import nn

Run = tuple[Annotated[int, Field(ge=0)], Count]
"""Numbers of a row that lie side by side: (start, stop), the stop left out."""


class Columns(Step):
    """Take some columns of the input, so that branches see different ones.

    It takes ``input``. Its columns come out side by side, in the order in which the
    data set has them, each as the data set's encodings make it: categories and texts
    that are looked up come as numbers of entries, for an `embedding` (of one text) or a
    `column_embedding` above it.
    """

    kind: Literal["columns"] = "columns"
    columns: Annotated[tuple[str, ...], Field(min_length=1, max_length=100_000)]
    """Names of the data set's columns."""
    runs: Annotated[tuple[Run, ...], Field(max_length=100_000)] | None = None
    """Where they lie in a row of the input; absent: as the encodings say."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape with fewer numbers on the last axis."""
        shape, runs = shapes[0], self.runs
        if runs is None:
            raise Impossible(
                "columns takes those of a table's rows: its inputs are ['input']",
                field="inputs",
            )
        if not shape or runs[-1][1] > shape[-1]:
            raise Impossible(
                f"columns end at number {runs[-1][1]} of a row, is given {list(shape)}",
                field="runs",
                suggestion="leave runs out",
            )
        return (*shape[:-1], sum(stop - start for start, stop in runs))

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.shaping import Columns as Module

        self.output_shape(shapes)
        return Module(self.runs or ())
