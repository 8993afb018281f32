"""What is said of a preprocessing in JSON, in a model's description."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trainer.preprocessing.fitting import FittedEncoding  # noqa: TC001 - pydantic
from trainer.spec.base import Spec
from trainer.spec.data import Windows  # noqa: TC001 - pydantic reads it
from trainer.spec.data.layout import InputPart  # noqa: TC001 - pydantic reads it
from trainer.spec.data.schema import Column


class Description(Spec):
    """What is said of a preprocessing in JSON; its arrays lie beside that."""

    format: int = Field(default=1, ge=1, le=1)
    columns: tuple[Column, ...]
    """The columns that are read, as the data set described them, without their values;
    those that have an encoding first."""
    encodings: tuple[FittedEncoding, ...] = ()
    """For a table: one per column that is a feature, in the order of the features."""
    layout: tuple[InputPart, ...] | None = None
    """How a row of features divides, if some of them are names."""
    windows: Windows | None = None
    """For a time series: which rows make up an input; the stride is no part of it."""
    shape: tuple[int, ...]
    """Shape of one row of the network's input."""
    resize: Literal["bilinear"] | None = None
    """Whether images are resized from the column's shape to that of the input."""
    standardized: bool = False
    """Whether each feature of an image or array was standardised."""


def without_values(column: Column, kind: str | None = None) -> Column:
    """Drop from a column's description what only its data set has use for."""
    read_as_text = kind == "text" and column.kind == "category"
    return Column(
        name=column.name,
        kind="text" if read_as_text else column.kind,
        shape=column.shape,
        categories=() if read_as_text else column.categories,
    )


def input_shape(column: Column) -> tuple[int, ...]:
    """Return the shape that an image or array column has as input: channels first."""
    if column.kind == "image":
        height, width, channels = column.shape
        return (channels, height, width)
    return column.shape
