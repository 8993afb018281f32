"""Preprocessing as one thing: fitted, applied, saved with the model, read back.

Tables become one float32 row of features, time series (steps, features); an image
becomes (channels, height, width) in [0, 1]; an array stays as it is. All statistics and
vocabularies are those of the training rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from trainer.errors import NonFinite, PreprocessingLost
from trainer.preprocessing import rows as written
from trainer.preprocessing import tables
from trainer.preprocessing.description import (
    Description,
    input_shape,
    without_values,
)
from trainer.preprocessing.resizing import resized
from trainer.preprocessing.statistics import feature_statistics
from trainer.preprocessing.tokens import TokenCounts, TokenNumbers, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from trainer.spec.data import Windows
    from trainer.spec.data.encodings import Encoding
    from trainer.spec.data.schema import Column, Schema

Array = np.ndarray[Any, np.dtype[Any]]
Input = np.ndarray[Any, np.dtype[np.float32]]

MODEL = "model.json"
FILE = "preprocessing.safetensors"
CHUNK = 4096
"""Rows that are converted at a time."""


class Preprocessing:
    """A fitted way from columns to a network's input.

    Shapes:
        mean, scale: the input's shape; scale is 1 / deviation, 0 for a constant.
    """

    def __init__(
        self,
        description: Description,
        mean: Input | None = None,
        scale: Input | None = None,
    ) -> None:
        self.description, self.mean, self.scale = description, mean, scale

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one row of the input."""
        return self.description.shape

    @property
    def only_divides(self) -> bool:
        """Return whether 8-bit images are divided by 255 and nothing else is done."""
        described = self.description
        plain = not described.standardized and described.resize is None
        return described.columns[0].kind == "image" and plain

    @classmethod
    def fit(
        cls,
        schema: Schema,
        columns: Mapping[str, Array],
        names: Sequence[str],
        rows: NDArray[np.int64],
        *,
        standardize: bool,
        encodings: Mapping[str, Encoding] | None = None,
        windows: Windows | None = None,
    ) -> Preprocessing:
        """Fit on the training `rows` of the input columns `names`.

        What `encodings` does not name gets the default of its kind. With `windows` an
        example is known by the row of its target.
        """
        first = schema.column(names[0])
        if first is None or first.kind not in {"image", "array"} or len(names) > 1:
            description = tables.fit_table(
                schema,
                columns,
                names,
                rows,
                standardize=standardize,
                encodings=encodings or {},
                windows=windows,
            )
            return cls(description)
        kept, shape = (without_values(first),), input_shape(first)
        plain = cls(Description(columns=kept, shape=shape))
        if not standardize:
            return plain
        mean, deviation = feature_statistics(plain.chunks(columns, rows), shape)
        scale = np.divide(1, deviation, where=deviation > 0, out=0 * deviation)
        stated = Description(columns=kept, shape=shape, standardized=True)
        return cls(stated, mean.astype(np.float32), scale.astype(np.float32))

    def apply(
        self,
        given: Mapping[str, Array] | Sequence[object],
        rows: NDArray[np.int64] | None = None,
    ) -> Input:
        """Return the input for `rows` of columns, or for rows written as JSON.

        Of a time series, `rows` of columns are those of the targets; rows that are
        written make one input for each series, of its latest rows.

        Raises: BadValue if a written row cannot be understood; NonFinite.
        Shapes: returns (rows, *shape).
        """
        described, windows = self.description, self.description.windows
        if not isinstance(given, Mapping):
            columns = written.columns_of(given, described.columns)
            if windows is not None:
                line = written.timeline_of(given, columns, windows)
                latest = line.latest(windows.length)
                return tables.sequences_of(described.encodings, columns, latest)
            given = columns
        if rows is None:
            first = described.columns[0].name
            rows = np.arange(len(given[first]), dtype=np.int64)
        out = np.empty((len(rows), *self.shape), np.float32)
        start = 0
        for chunk in self.chunks(given, rows):
            out[start : start + len(chunk)] = chunk
            start += len(chunk)
        return out

    def chunks(
        self, columns: Mapping[str, Array], rows: NDArray[np.int64]
    ) -> Iterator[Input]:
        """Yield the input for `rows`, a few thousand rows at a time."""
        windows, encodings = self.description.windows, self.description.encodings
        if windows is not None:
            line = tables.timeline_of(columns, windows)
            step = max(1, CHUNK // windows.length)
            for start in range(0, len(rows), step):
                index = line.windows(rows[start : start + step], windows)
                yield tables.sequences_of(encodings, columns, index)
            return
        for start in range(0, len(rows), CHUNK):
            few = rows[start : start + CHUNK]
            if encodings:
                yield tables.features_of(encodings, columns, few)
                continue
            chunk = self._grid(columns, few)
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
        if self.description.resize is not None:
            return resized(chunk, self.shape)
        return chunk

    def reading(self, column: Column) -> Preprocessing:
        """Return this for an image or array column of another name or image size."""
        described = self.description.columns[0]
        if column.kind != described.kind or column.kind not in {"image", "array"}:
            return self
        same = input_shape(column) == self.shape or column.kind == "array"
        update = {
            "columns": (without_values(column),),
            "resize": None if same else "bilinear",
        }
        description = self.description.model_copy(update=update)
        return Preprocessing(description, self.mean, self.scale)

    def mismatch(self, schema: Schema) -> str | None:
        """Say why this preprocessing cannot be applied to a data set, if it cannot."""
        for column in self.description.columns:
            other = schema.column(column.name)
            if other is None:
                return f"there is no column {column.name!r}"
            if (column.kind, other.kind) == ("text", "category"):
                continue
            if other.kind != column.kind:
                return f"column {column.name!r} is {other.kind}, was {column.kind}"
            if other.shape != column.shape:
                return f"column {column.name!r} is {other.shape}, was {column.shape}"
        return None

    def recoded(
        self, schema: Schema, columns: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        """Return a data set's columns as this reads them, categories numbered as here.

        A category that was not there when this was fitted becomes unknown.
        """
        return tables.recoded(self.description, schema, columns)

    def described(self) -> dict[str, Any]:
        """Return what `model.json` says of it; the arrays lie beside it."""
        return self.description.model_dump(mode="json", exclude_none=True)

    @property
    def arrays(self) -> dict[str, Array]:
        """Return what ``preprocessing.safetensors`` holds."""
        if self.mean is None or self.scale is None:
            return tables.arrays_of(self.description.encodings)
        return {"mean": self.mean, "scale": self.scale}

    @classmethod
    def load(cls, folder: Path) -> Preprocessing:
        """Read the preprocessing of the model in `folder`.

        Raises: PreprocessingLost.
        """
        try:
            model = json.loads((folder / MODEL).read_bytes())
            described = Description.model_validate(model["preprocessing"])
            arrays = load_file(folder / FILE)
            encodings = tables.with_arrays(described.encodings, arrays)
            for encoding in encodings:
                if isinstance(encoding, TokenNumbers | TokenCounts):
                    opened(encoding.tokenizer)
        except (OSError, KeyError, TypeError, SafetensorError, ValueError) as error:
            raise PreprocessingLost(folder, str(error)) from error
        if encodings:
            described = described.model_copy(update={"encodings": encodings})
        return cls(described, arrays.get("mean"), arrays.get("scale"))
