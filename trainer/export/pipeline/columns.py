"""Encodings of columns as nodes: each gives (rows, width) of type double.

Inputs are (rows,): numbers and truth values double, NaN where one is missing; texts of
categories, empty where one is missing; dates int64, microseconds since 1970 UTC, the
smallest whole number where one is missing, as numpy's NaT is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.export.pipeline.calendar import place
from trainer.preprocessing.categories import MISSING, UNKNOWN, CategoryNumber
from trainer.preprocessing.dates import DateFeatures
from trainer.preprocessing.encodings import (
    NO_BOOLEAN,
    NO_DATE,
    Flag,
    Imputed,
    OneHot,
    Standardised,
)
from trainer.preprocessing.scales import Scaled
from trainer.spec.data.calendar import CYCLES
from trainer.spec.data.encodings import RESERVED

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.export.pipeline.node_writer import NodeWriter
    from trainer.spec.data.schema import Column

    Array = np.ndarray[Any, np.dtype[Any]]

UNHEARD = "\N{REPLACEMENT CHARACTER} a category that is unknown"
"""Stands for an unknown category where rows are compared."""
NO_TEXT = ""
KINDS = {"category": "string", "date": "int64"}
"""The types of inputs that are not double."""


def raw(column: Column, stored: Array) -> Array:
    """Return the input for values as a data set stores them."""
    if column.kind == "category":
        names = np.array([*column.categories, UNHEARD, NO_TEXT], object)
        found: Array = names[np.clip(stored, -1, len(column.categories))]
        return found
    if column.kind == "date":
        return stored.astype(np.int64)
    numbers = stored.astype(np.float64)
    return (
        np.where(stored == NO_BOOLEAN, np.nan, numbers) if _is_bool(column) else numbers
    )


def features(scribe: NodeWriter, encoding: Any, value: str) -> str:
    """Return the features (rows, width) of a column (rows,)."""
    return RULES[type(encoding)](scribe, encoding, value)


def _is_bool(column: Column) -> bool:
    return column.kind == "boolean"


def _numbers(scribe: NodeWriter, value: str, form: str) -> tuple[str, str]:
    """Return a column as double, and which rows lack a value."""
    if form != "date":
        return value, scribe.node("IsNaN", value)
    missing = scribe.node("Equal", value, np.int64(NO_DATE))
    return scribe.cast(value, "double"), missing


def _standing(scribe: NodeWriter, value: str) -> str:
    return scribe.reshaped(value, -1, 1)


def _standardised(scribe: NodeWriter, each: Standardised, value: str) -> str:
    numbers, missing = _numbers(scribe, value, each.form)
    if each.deviation == 0:
        return _standing(
            scribe, scribe.node("Mul", scribe.cast(missing, "double"), 0.0)
        )
    away = scribe.node("Sub", numbers, each.mean)
    scaled = scribe.node("Div", away, each.deviation)
    return _standing(scribe, scribe.node("Where", missing, 0.0, scaled))


def _imputed(scribe: NodeWriter, each: Imputed, value: str) -> str:
    numbers, missing = _numbers(scribe, value, each.form)
    return _standing(scribe, scribe.node("Where", missing, each.fill, numbers))


def _scaled(scribe: NodeWriter, each: Scaled, value: str) -> str:
    numbers, missing = _numbers(scribe, value, each.form)
    if each.logarithm:
        beyond = scribe.node("Add", scribe.node("Abs", numbers), 1.0)
        sign = scribe.node("Sign", numbers)
        numbers = scribe.node("Mul", sign, scribe.node("Log", beyond))
    whole = scribe.node("Where", missing, each.fill, numbers)
    moved = scribe.node("Mul", scribe.node("Sub", whole, each.shift), each.factor)
    found = [_standing(scribe, moved)]
    if each.indicator:
        found.append(_standing(scribe, scribe.cast(missing, "double")))
    return scribe.node("Concat", *found, axis=1) if each.indicator else found[0]


def _one_hot(scribe: NodeWriter, each: OneHot, value: str) -> str:
    codes = {NO_TEXT: each.fill} | {n: i for i, n in enumerate(each.categories)}
    known = _standing(scribe, scribe.codes(value, codes, otherwise=each.width))
    places = np.arange(each.width, dtype=np.int64)[np.newaxis]
    return scribe.cast(scribe.node("Equal", known, places), "double")


def _flag(scribe: NodeWriter, each: Flag, value: str) -> str:
    missing = scribe.node("IsNaN", value)
    return _standing(scribe, scribe.node("Where", missing, float(each.fill), value))


def _category_number(scribe: NodeWriter, each: CategoryNumber, value: str) -> str:
    codes = {NO_TEXT: MISSING}
    for number, name in enumerate(each.categories):
        codes[name] = UNKNOWN if number in each.unseen else number + RESERVED
    known = scribe.codes(value, codes, otherwise=UNKNOWN)
    return _standing(scribe, scribe.cast(known, "double"))


def _date_features(scribe: NodeWriter, each: DateFeatures, value: str) -> str:
    numbers, missing = _numbers(scribe, value, "date")
    moments = scribe.node("Where", missing, np.int64(0), value)
    found = []
    for part in each.parts:
        if part == "time":
            away = scribe.node("Sub", numbers, each.mean)
            scaled = scribe.node("Div", away, each.deviation or 1.0)
            known = scribe.node("Mul", scaled, float(each.deviation > 0))
            found.append(scribe.node("Where", missing, 0.0, known))
            continue
        turn = 2 * np.pi / CYCLES[part]
        angle = scribe.node("Mul", place(scribe, part, moments), turn)
        later = scribe.node("Add", angle, np.pi / 2)  # Cos is not there for double
        for each_angle in (angle, later):
            sine = scribe.node("Sin", each_angle)
            found.append(scribe.node("Where", missing, 0.0, sine))
    if each.indicator:
        found.append(scribe.cast(missing, "double"))
    standing = [_standing(scribe, feature) for feature in found]
    return scribe.node("Concat", *standing, axis=1)


RULES: dict[type, Callable[[NodeWriter, Any, str], str]] = {
    Standardised: _standardised,
    Imputed: _imputed,
    Scaled: _scaled,
    OneHot: _one_hot,
    Flag: _flag,
    CategoryNumber: _category_number,
    DateFeatures: _date_features,
}
"""How each encoding is said; those of texts, which tokenizers read, are missing."""
