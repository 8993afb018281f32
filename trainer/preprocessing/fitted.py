"""Preprocessing as one thing: fitted, applied, saved with the model, read back.

Tables become one float32 row of features; an image becomes (channels, height, width)
in [0, 1]; an array stays as it is. All statistics are those of the training rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load_file

from trainer.errors import NonFinite, PreprocessingLost
from trainer.preprocessing import rows as written
from trainer.preprocessing.encodings import Encoding, fit_encoding
from trainer.preprocessing.statistics import feature_statistics
from trainer.spec.base import Spec
from trainer.spec.schema import Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from trainer.spec.schema import Schema

Array = np.ndarray[Any, np.dtype[Any]]
Input = np.ndarray[Any, np.dtype[np.float32]]

MODEL = "model.json"
FILE = "preprocessing.safetensors"
CHUNK = 4096
"""Rows that are converted at a time."""


class Description(Spec):
    """What is said of a preprocessing in JSON; arrays of statistics lie beside it."""

    format: int = Field(default=1, ge=1, le=1)
    columns: tuple[Column, ...]
    """The input columns as the data set described them, without their values."""
    encodings: tuple[Encoding, ...] = ()
    """For a table: one per column, in the order of the features."""
    shape: tuple[int, ...]
    """Shape of one row of the network's input."""
    standardized: bool = False
    """Whether each feature of an image or array was standardised."""


class Preprocessing:
    """A fitted way from columns to a network's input.

    Shapes:
        mean, scale: the input's shape; scale is 1 / deviation, 0 for a constant.
    """

    def __init__(
        self, description: Description, mean: Input | None, scale: Input | None
    ) -> None:
        self.description, self.mean, self.scale = description, mean, scale

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one row of the input."""
        return self.description.shape

    @property
    def only_divides(self) -> bool:
        """Return whether 8-bit images are divided by 255 and nothing else is done."""
        kind = self.description.columns[0].kind
        return kind == "image" and not self.description.standardized

    @classmethod
    def fit(
        cls,
        schema: Schema,
        columns: Mapping[str, Array],
        names: Sequence[str],
        rows: NDArray[np.int64],
        *,
        standardize: bool,
    ) -> Preprocessing:
        """Fit on the training `rows` of the input columns `names`."""
        described = [column for n in names if (column := schema.column(n)) is not None]
        kept = tuple(_without_values(column) for column in described)
        if len(described) == 1 and described[0].kind in {"image", "array"}:
            shape = input_shape(described[0])
            plain = cls(Description(columns=kept, shape=shape), None, None)
            if not standardize:
                return plain
            mean, deviation = feature_statistics(plain.chunks(columns, rows), shape)
            scale = np.divide(1, deviation, where=deviation > 0, out=0 * deviation)
            stated = Description(columns=kept, shape=shape, standardized=True)
            return cls(stated, mean.astype(np.float32), scale.astype(np.float32))
        encodings = tuple(
            fit_encoding(c, np.asarray(columns[c.name][rows]), standardize=standardize)
            for c in described
        )
        width = sum(encoding.width for encoding in encodings)
        return cls(
            Description(columns=kept, encodings=encodings, shape=(width,)), None, None
        )

    def apply(
        self,
        given: Mapping[str, Array] | Sequence[object],
        rows: NDArray[np.int64] | None = None,
    ) -> Input:
        """Return the input for `rows` of columns, or for rows written as JSON.

        Raises: BadValue if a written row cannot be understood; NonFinite.
        Shapes: returns (rows, *shape).
        """
        columns = (
            given
            if isinstance(given, Mapping)
            else written.columns_of(given, self.description.columns)
        )
        if rows is None:
            first = self.description.columns[0].name
            rows = np.arange(len(columns[first]), dtype=np.int64)
        out = np.empty((len(rows), *self.shape), np.float32)
        start = 0
        for chunk in self.chunks(columns, rows):
            out[start : start + len(chunk)] = chunk
            start += len(chunk)
        return out

    def chunks(
        self, columns: Mapping[str, Array], rows: NDArray[np.int64]
    ) -> Iterator[Input]:
        """Yield the input for `rows`, a few thousand rows at a time."""
        convert = self._table if self.description.encodings else self._grid
        for start in range(0, len(rows), CHUNK):
            chunk = convert(columns, rows[start : start + CHUNK])
            if self.mean is not None and self.scale is not None:
                chunk -= self.mean
                chunk *= self.scale
            yield chunk

    def _grid(self, columns: Mapping[str, Array], rows: NDArray[np.int64]) -> Input:
        """Convert an image to channels first in [0, 1]; leave an array as it is."""
        column = self.description.columns[0]
        stored = np.asarray(columns[column.name][rows])
        if column.kind == "array":
            chunk = stored.astype(np.float32)
            wrong = ~np.isfinite(chunk.reshape(len(chunk), -1)).all(axis=1)
            if wrong.any():
                raise NonFinite(column.name, int(wrong.sum()))
            return chunk
        moved = np.moveaxis(stored, -1, 1)
        chunk = np.empty(moved.shape, np.float32)
        np.divide(moved, np.float32(255), out=chunk)
        return chunk

    def _table(self, columns: Mapping[str, Array], rows: NDArray[np.int64]) -> Input:
        """Write each column's features side by side."""
        features = np.empty((len(rows), *self.shape))
        start = 0
        for encoding in self.description.encodings:
            stop = start + encoding.width
            stored = np.asarray(columns[encoding.column][rows])
            encoding.write(stored, features[:, start:stop])
            wrong = ~np.isfinite(features[:, start:stop]).all(axis=1)
            if wrong.any():
                raise NonFinite(encoding.column, int(wrong.sum()))
            start = stop
        return features.astype(np.float32)

    def mismatch(self, schema: Schema) -> str | None:
        """Say why this preprocessing cannot be applied to a data set, if it cannot."""
        for column in self.description.columns:
            other = schema.column(column.name)
            if other is None:
                return f"there is no column {column.name!r}"
            if other.kind != column.kind:
                return f"column {column.name!r} is {other.kind}, was {column.kind}"
            if other.shape != column.shape:
                return f"column {column.name!r} is {other.shape}, was {column.shape}"
        return None

    def recoded(
        self, schema: Schema, columns: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        """Return another data set's columns with the categories numbered as here.

        A category that was not there when this was fitted becomes unknown.
        """
        changed: dict[str, Array] = {}
        for column in self.description.columns:
            other = schema.column(column.name)
            if other is None or other.categories == column.categories:
                continue
            codes = {name: code for code, name in enumerate(column.categories)}
            unknown = len(column.categories)
            table = [codes.get(name, unknown) for name in other.categories] + [-1]
            changed[column.name] = np.array(table, np.int32)[columns[column.name]]
        if not changed:
            return columns
        names = [column.name for column in self.description.columns]
        return {name: changed.get(name, columns[name]) for name in names}

    def described(self) -> dict[str, Any]:
        """Return what `model.json` says of it; the arrays lie beside it."""
        return self.description.model_dump(mode="json", exclude_none=True)

    @property
    def arrays(self) -> dict[str, Input]:
        """Return what ``preprocessing.safetensors`` holds."""
        if self.mean is None or self.scale is None:
            return {}
        return {"mean": self.mean, "scale": self.scale}

    @classmethod
    def load(cls, folder: Path) -> Preprocessing:
        """Read the preprocessing of the model in `folder`.

        Raises: PreprocessingLost.
        """
        try:
            model = json.loads((folder / MODEL).read_bytes())
            description = Description.model_validate(model["preprocessing"])
            arrays = load_file(folder / FILE)
        except (OSError, KeyError, TypeError, SafetensorError, ValueError) as error:
            raise PreprocessingLost(folder, str(error)) from error
        return cls(description, arrays.get("mean"), arrays.get("scale"))


def input_shape(column: Column) -> tuple[int, ...]:
    """Return the shape that an image or array column has as input: channels first."""
    if column.kind == "image":
        height, width, channels = column.shape
        return (channels, height, width)
    return column.shape


def _without_values(column: Column) -> Column:
    """Drop from a column's description what only its data set has use for."""
    return Column(
        name=column.name,
        kind=column.kind,
        shape=column.shape,
        categories=column.categories,
    )
