"""What is done to raw values before an imported network: asked for, or read.

Our preprocessing divides 8-bit images by 255 and may then subtract a mean and multiply
by a scale, per number of the input. Any (x / divide_by - mean) / deviation is of that
form: raw values 0 to 255 are a scale of 255, which gives back each of them exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from trainer.importing.errors import unfit
from trainer.preprocessing.description import Description
from trainer.preprocessing.encodings import Standardised
from trainer.preprocessing.fitted import Preprocessing
from trainer.spec.data.schema import Column, Schema
from trainer.spec.imports import ImportedPreprocessing

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.importing.found import Scaling
    from trainer.spec.imports import ImportForm
    from trainer.spec.shapes import Shape

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

IMAGE = 3
CHANNELS = (1, 3, 4)
MISSING = (
    "a model without its preprocessing is wrong: weights that learned on values from 0 "
    "to 1 mean nothing on 0 to 255, nor the other way round, and the file does not say "
    "which they are"
)


def schema_of(folder: Path) -> Schema:
    """Return the schema of the data set in a folder."""
    return Schema.model_validate_json((folder / "dataset.json").read_bytes())


def stated_input(form: ImportForm, schema: Schema | None) -> ImportForm:
    """Return the form with the input that its data set has, where it says none.

    An image or array column of the data set that the accuracy is measured on is the
    model's input.
    """
    wish = form.input
    if schema is None or wish.columns is not None:
        return form
    grids = [c for c in schema.columns if c.kind in {"image", "array"}]
    if len(grids) != 1:
        return form
    column = grids[0]
    shape: tuple[int, ...] = column.shape
    if column.kind == "image":
        shape = (column.shape[2], *column.shape[:2])
    update = {
        "kind": wish.kind or column.kind,
        "shape": wish.shape or shape,
        "name": wish.name or column.name,
    }
    return form.model_copy(update={"input": wish.model_copy(update=update)})


def shape_of(form: ImportForm) -> Shape | None:
    """Return the shape of one example as the form states it."""
    if form.input.columns is not None:
        return (len(form.input.columns),)
    return form.input.shape


def preprocessing(
    form: ImportForm, shape: Shape, scaling: Scaling | None
) -> Preprocessing:
    """Return the preprocessing that a network of this input shape has.

    `scaling` is (scale, offset) where the file itself scales its input.

    Raises:
        NotImportable: nobody says what it is, or it does not fit the input.
    """
    stated = form.preprocessing
    if stated is None and scaling is None:
        raise unfit(
            "preprocessing_missing",
            MISSING,
            '"preprocessing": {"divide_by": 255}, or {"divide_by": 1} for raw values',
            pointer="/preprocessing",
        )
    if stated is None:
        stated = ImportedPreprocessing(divide_by=1.0)
    mean, deviation = _per_number(stated, shape)
    if scaling is not None:  # y = ((x / d - m) / s) scale + offset, again of that form
        scale, offset = (np.asarray(part, np.float64) for part in scaling)
        if not (scale > 0).all() or not np.isfinite(offset).all():
            raise unfit("wrong_scaling", f"the file scales its input by {scale}")
        mean = mean - offset * deviation / scale
        deviation = deviation / scale
    kind = _kind(form, shape)
    divide_by = stated.divide_by
    if kind == "table":
        return _table(form, mean * divide_by, deviation * divide_by)
    ours = 255.0 if kind == "image" else 1.0
    column = Column(name=form.input.name or NAMES[kind], kind=kind, shape=shape)
    if kind == "image":
        column = column.model_copy(update={"shape": (*shape[1:], shape[0])})
    shift = mean * divide_by / ours
    factor = ours / (divide_by * deviation)
    if (shift == 0).all() and (factor == 1).all():
        return Preprocessing(Description(columns=(column,), shape=shape), None, None)
    stated_so = Description(columns=(column,), shape=shape, standardized=True)
    return Preprocessing(
        stated_so,
        np.broadcast_to(shift, shape).astype(np.float32),
        np.broadcast_to(factor, shape).astype(np.float32),
    )


NAMES = {"image": "image", "array": "x"}
"""Columns as data sets call them that were uploaded without names."""


def _kind(form: ImportForm, shape: Shape) -> str:
    """Return image, array or table, and see that the shape is one of those."""
    wish = form.input.kind
    if form.input.columns is not None:
        if wish not in {None, "table"} or shape != (len(form.input.columns),):
            raise unfit(
                "other_input",
                f"{len(form.input.columns)} columns for an input of {list(shape)}",
                pointer="/input/columns",
            )
        return "table"
    if wish == "table":
        raise unfit(
            "columns_missing",
            f"a table needs the names of its {shape[0]} columns, in their order",
            pointer="/input/columns",
        )
    is_image = len(shape) == IMAGE and shape[0] in CHANNELS
    if wish == "image" and not is_image:
        raise unfit(
            "other_input",
            f"an image has 1, 3 or 4 channels, height and width, not {list(shape)}",
            "array",
            pointer="/input/kind",
        )
    return wish or ("image" if is_image else "array")


def _per_number(stated: ImportedPreprocessing, shape: Shape) -> tuple[Floats, Floats]:
    """Return mean and deviation so that they broadcast over the input's shape."""
    found = []
    for name in ("mean", "deviation"):
        value = np.asarray(getattr(stated, name), np.float64)
        if value.ndim and value.shape != shape[:1]:
            raise unfit(
                "wrong_preprocessing",
                f"{value.size} numbers for {shape[0]} channels or columns",
                pointer=f"/preprocessing/{name}",
            )
        found.append(
            value.reshape(-1, *[1] * (len(shape) - 1)) if value.ndim else value
        )
    mean, deviation = found
    if not (deviation > 0).all():
        raise unfit(
            "wrong_preprocessing",
            "a deviation is not above 0",
            pointer="/preprocessing/deviation",
        )
    return mean, deviation


def _table(form: ImportForm, mean: Floats, deviation: Floats) -> Preprocessing:
    names = form.input.columns or ()
    means, deviations = (
        np.broadcast_to(values, (len(names),)).tolist() for values in (mean, deviation)
    )
    try:
        encodings = tuple(
            Standardised(column=name, form="number", mean=m, deviation=d)
            for name, m, d in zip(names, means, deviations, strict=True)
        )
        columns = tuple(Column(name=name, kind="number") for name in names)
        described = Description(
            columns=columns, encodings=encodings, shape=(len(names),)
        )
    except ValidationError as error:
        raise unfit("wrong_preprocessing", str(error), pointer="/input") from error
    if len(set(names)) < len(names):
        raise unfit(
            "double_column", "a column is named twice", pointer="/input/columns"
        )
    return Preprocessing(described, None, None)
