"""Tables: each column's encoding fitted to the training rows, and its features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.errors import NonFinite
from trainer.preprocessing.description import Description, without_values
from trainer.preprocessing.fitting import fit_encoding, part_of
from trainer.preprocessing.texts import CategoryTexts, ChosenTexts
from trainer.preprocessing.timeline import TIMELINE, Timeline
from trainer.preprocessing.tokens import TokenCounts, TokenNumbers
from trainer.spec.data.encodings import TEXTS
from trainer.spec.data.layout import joined, names_things

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from trainer.preprocessing.fitting import FittedEncoding
    from trainer.spec.data import Windows
    from trainer.spec.data.encodings import Encoding
    from trainer.spec.data.schema import Column, Schema

Array = np.ndarray[Any, np.dtype[Any]]
Input = np.ndarray[Any, np.dtype[np.float32]]


def fit_table(
    schema: Schema,
    columns: Mapping[str, Any],
    names: Sequence[str],
    rows: NDArray[np.int64],
    *,
    standardize: bool,
    encodings: Mapping[str, Encoding],
    windows: Windows | None,
) -> Description:
    """Fit the columns `names` to the training `rows`.

    Of a time series `rows` are those of the targets; it is fitted to the rows that
    their windows hold, each once.
    """
    if windows is not None:
        rows = np.unique(timeline_of(columns, windows).windows(rows, windows))
    found: list[FittedEncoding] = []
    read: list[Column] = []
    for name in names:
        column = schema.column(name)
        assert column is not None
        wish = encodings.get(name)
        texts = wish is not None and wish.kind in TEXTS
        view: Any = columns[name]
        if texts and column.kind == "category":
            view = CategoryTexts(column.categories, view)
        stored: Any = ChosenTexts(view, rows) if texts else np.asarray(view[rows])
        found.append(fit_encoding(column, stored, wish, standardize=standardize))
        read.append(without_values(column, "text" if texts else None))
    parts = joined([part_of(encoding) for encoding in found])
    shape: tuple[int, ...] = (sum(encoding.width for encoding in found),)
    if windows is not None:
        shape = (windows.length, *shape)
        besides = {windows.order_by, windows.group_by}.difference(names)
        read += [without_values(c) for c in schema.columns if c.name in besides]
    return Description(
        columns=tuple(read),
        encodings=tuple(found),
        layout=parts if names_things(parts) else None,
        windows=windows and windows.model_copy(update={"stride": 1}),
        shape=shape,
    )


def features_of(
    encodings: Sequence[FittedEncoding],
    columns: Mapping[str, Any],
    rows: NDArray[np.int64],
) -> Input:
    """Write each column's features side by side: (rows, features).

    Raises: NonFinite.
    """
    features = np.empty((len(rows), sum(encoding.width for encoding in encodings)))
    start = 0
    for encoding in encodings:
        stop = start + encoding.width
        stored = np.asarray(columns[encoding.column][rows])
        encoding.write(stored, features[:, start:stop])
        wrong = ~np.isfinite(features[:, start:stop]).all(axis=1)
        if wrong.any():
            raise NonFinite(encoding.column, int(wrong.sum()))
        start = stop
    return features.astype(np.float32)


def sequences_of(
    encodings: Sequence[FittedEncoding],
    columns: Mapping[str, Any],
    windows: NDArray[np.int64],
) -> Input:
    """Write the features of windows, each of whose rows is encoded once.

    Shapes:
        windows: (examples, length) row numbers; returns (examples, length, features).
    """
    rows, place = np.unique(windows, return_inverse=True)
    found: Input = features_of(encodings, columns, rows)[place.reshape(windows.shape)]
    return found


def timeline_of(columns: Mapping[str, Any], windows: Windows) -> Timeline:
    """Return the timeline that lies among the columns, or make one of them."""
    try:
        found: Timeline = columns[TIMELINE]
    except (KeyError, StopIteration):
        return Timeline.of(columns, windows)
    return found


def recoded(
    description: Description, schema: Schema, columns: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return a data set's columns with the categories numbered as in the description.

    A category that was not there when that was fitted becomes unknown; categories that
    are read as texts become their strings.
    """
    changed: dict[str, Any] = {}
    for column in description.columns:
        other = schema.column(column.name)
        if other is None:
            continue
        if column.kind == "text" and other.kind == "category":
            codes = columns[column.name]
            changed[column.name] = CategoryTexts(other.categories, codes)
        elif other.categories != column.categories:
            numbers = {name: code for code, name in enumerate(column.categories)}
            unknown = len(column.categories)
            table = [numbers.get(name, unknown) for name in other.categories] + [-1]
            changed[column.name] = np.array(table, np.int32)[columns[column.name]]
    if not changed:
        return columns
    names = [column.name for column in description.columns]
    found = {name: changed.get(name, columns[name]) for name in names}
    if description.windows is not None:
        found[TIMELINE] = timeline_of(columns, description.windows)
    return found


def arrays_of(encodings: Sequence[FittedEncoding]) -> dict[str, Array]:
    """Return what encodings have that is too much for a description: vocabularies."""
    found: dict[str, Array] = {}
    for number, encoding in enumerate(encodings):
        if isinstance(encoding, TokenNumbers | TokenCounts):
            text = encoding.tokenizer.encode()
            found[f"tokenizer.{number}"] = np.frombuffer(text, np.uint8)
        if isinstance(encoding, TokenCounts) and encoding.rarity:
            found[f"rarity.{number}"] = np.asarray(encoding.rarity)
    return found


def with_arrays(
    encodings: Sequence[FittedEncoding], arrays: Mapping[str, Array]
) -> tuple[FittedEncoding, ...]:
    """Return the encodings with the vocabularies that lay beside them.

    Raises: KeyError or ValueError where one is missing or none.
    """
    found = []
    for number, encoding in enumerate(encodings):
        whole = encoding
        if isinstance(encoding, TokenNumbers | TokenCounts):
            text = arrays[f"tokenizer.{number}"].tobytes().decode()
            whole = encoding.model_copy(update={"tokenizer": text})
        if isinstance(whole, TokenCounts) and whole.weighting == "tf_idf":
            rarity = tuple(arrays[f"rarity.{number}"].tolist())
            whole = whole.model_copy(update={"rarity": rarity})
        found.append(whole)
    return tuple(found)
