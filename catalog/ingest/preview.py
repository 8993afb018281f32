"""The first rows as JSON, written once so that the API never opens a column."""

import base64
import io
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from PIL import Image

from catalog.ingest.columns import (
    NO_BOOLEAN,
    NO_DATE,
    Array,
    ArrayFile,
    ColumnFile,
    Draft,
)
from catalog.ingest.columns import TextFile as Texts

ROWS = 100
BYTES = 4 * 1024**2
"""Bytes of images and arrays that a preview may be made from."""
CHARACTERS = 1_000
SMALL_IMAGE = 4_096
"""Values up to which an image is shown as nested lists, which predict takes back."""
PNG_CHANNELS = (1, 3, 4)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rows_of(draft: Draft) -> list[dict[str, Any]]:
    """Return the first rows: arrays and small images as nested lists.

    Larger images are PNG files as data URLs.
    """
    width = sum(c.row_bytes for c in draft.columns if isinstance(c, ArrayFile))
    count = min(draft.rows, max(1, min(ROWS, BYTES // max(width, 1))))
    columns = {column.name: _values(column, count) for column in draft.columns}
    return [
        {name: values[at] for name, values in columns.items()} for at in range(count)
    ]


def _values(column: ColumnFile, count: int) -> list[Any]:
    if isinstance(column, Texts):
        texts = (text for batch in column.read() for text in batch.to_pylist())
        return [text and text[:CHARACTERS] for text in islice(texts, count)]
    values = column.read(0, count)
    large = column.row_bytes > SMALL_IMAGE
    if column.kind == "image" and large and column.shape[2] in PNG_CHANNELS:
        return [_data_url(pixels) for pixels in values]
    return [_plain(column, value) for value in values.tolist()]


def _plain(column: ArrayFile, value: Any) -> Any:
    match column.kind:
        case "category":
            return column.categories[value] if value >= 0 else None
        case "boolean":
            return None if value == NO_BOOLEAN else bool(value)
        case "date":
            return None if value == NO_DATE else _date(value)
        case "number":
            return _number(value)
    return value


def _number(value: float) -> float | str | None:
    if value != value:  # noqa: PLR0124 - not a number: missing
        return None
    return str(value) if value in {float("inf"), float("-inf")} else value


def _date(microseconds: int) -> str | None:
    try:
        return (_EPOCH + timedelta(microseconds=microseconds)).isoformat()
    except OverflowError:  # beyond the year 9999
        return None


def _data_url(pixels: Array) -> str:
    plain = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    png = io.BytesIO()
    Image.fromarray(plain).save(png, "PNG")
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
