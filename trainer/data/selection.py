"""Which rows are trained on, validated on and tested on.

Chosen in one fixed order: parts → split → ``where`` → ``examples_per_class``; every
draw has a private generator seeded from the job's seed, so the same spec on the same
data chooses the same rows, whatever else is drawn. Examples of a time series are known
by the row of their target and are not drawn: the latest are held back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.data.conditions import satisfied
from trainer.data.series import divided
from trainer.errors import NoRows
from trainer.preprocessing.tables import timeline_of
from trainer.spec.data import PartName, PerClass, Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from trainer.preprocessing.timeline import Timeline
    from trainer.spec.data import DatasetRef, Held, Windows
    from trainer.spec.data.schema import Part, Schema

Array = np.ndarray[Any, np.dtype[Any]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]

DEFAULT_SHARE = 0.1
DRAWS = {"test": 1, "validation": 2, "per class train": 3, "per class validation": 4}
"""A number per purpose: it keeps the draws independent of each other."""


@dataclass(frozen=True)
class Labels:
    """What must be known of the target to choose rows."""

    known: NDArray[np.bool_]
    """Whether a row of the data set has a target."""
    classes: Numbers | None = None
    """For a classification, each row's class number; -1 where it is none of them."""
    needed: bool = True
    """Whether a row without a target is of no use. If it is of use, it is trained on:
    what is held back is drawn as for a job that needs the targets, so the rows that
    such a job is tested on are not seen by one that prepares it."""


@dataclass(frozen=True)
class Selection:
    """Row numbers of the data set, ascending, for each purpose."""

    train: Numbers
    validation: Numbers
    test: Numbers
    warnings: tuple[str, ...] = ()


def select(
    reference: DatasetRef,
    schema: Schema,
    columns: Mapping[str, Array],
    labels: Labels,
    seed: int,
) -> Selection:
    """Choose the rows that a job uses.

    Raises: NoRows if nothing is left to train on, or where rows were asked for.
    """
    if reference.windows is None:
        selection = _split(reference, schema, labels, seed)
    else:
        line = timeline_of(columns, reference.windows)
        selection = _by_time(reference, reference.windows, schema, line, labels)
    selection = _kept(reference, schema, columns, labels, selection)
    if reference.examples_per_class is not None and labels.classes is not None:
        selection = _few(reference.examples_per_class, labels.classes, selection, seed)
    if not len(selection.train):
        raise NoRows("training", "the split, 'where' and missing targets leave none")
    if not len(selection.validation) and reference.split.validation != "none":
        raise NoRows("validation", "the split and 'where' leave none; hold back more")
    if not len(selection.test) and reference.split.test != "none":
        raise NoRows("test", "the split and 'where' leave none; hold back more")
    return selection


def training_part(schema: Schema) -> Part:
    """Return the part that shares and ranges are taken from."""
    return schema.part("train") or schema.parts[0]


def held(schema: Schema, purpose: str, wish: Held | None) -> Held:
    """Return how rows are held back, the default filled in."""
    if wish is not None:
        return wish
    uploaded = schema.part(purpose)
    if uploaded is not None and uploaded != training_part(schema):
        return PartName(part=purpose)
    return DEFAULT_SHARE


def _split(
    reference: DatasetRef, schema: Schema, labels: Labels, seed: int
) -> Selection:
    """Hold back validation and test rows from the training part."""
    part = training_part(schema)
    pool = np.arange(part.start, part.stop, dtype=np.int64)
    wishes = {
        "test": held(schema, "test", reference.split.test),
        "validation": held(schema, "validation", reference.split.validation),
    }
    taken: dict[str, Numbers] = {}
    for purpose, wish in wishes.items():
        if isinstance(wish, Rows):
            taken[purpose] = _range(part, wish, purpose)
        elif isinstance(wish, PartName):
            taken[purpose] = _part(schema, wish.part, purpose)
        elif wish == "none":
            taken[purpose] = np.empty(0, np.int64)
    for rows in taken.values():
        pool = np.setdiff1d(pool, rows, assume_unique=True)
    spare = pool[~labels.known[pool]]
    pool = pool[labels.known[pool]]
    stratify = reference.split.stratify is not False
    classes = labels.classes if stratify else None
    size = len(pool)
    for purpose, wish in wishes.items():
        if isinstance(wish, float):
            count = max(1, round(size * wish))
            generator = np.random.default_rng([seed, DRAWS[purpose]])
            taken[purpose] = _drawn(pool, count, classes, generator)
            pool = np.setdiff1d(pool, taken[purpose], assume_unique=True)
    if not labels.needed:
        pool = np.union1d(pool, spare)
    return Selection(pool, taken["validation"], taken["test"])


def _by_time(
    reference: DatasetRef,
    windows: Windows,
    schema: Schema,
    line: Timeline,
    labels: Labels,
) -> Selection:
    """Hold back the latest examples of a time series."""
    wishes = {
        "test": held(schema, "test", reference.split.test),
        "validation": held(schema, "validation", reference.split.validation),
    }
    found = divided(wishes, windows, schema, line, known=labels.known)
    return Selection(found["train"], found["validation"], found["test"])


def _range(part: Part, wish: Rows, purpose: str) -> Numbers:
    start, stop = wish.rows
    if stop > part.rows:
        why = (
            f"rows {start} to {stop} are asked for, part {part.name!r} has {part.rows}"
        )
        raise NoRows(purpose, why)
    return np.arange(part.start + start, part.start + stop, dtype=np.int64)


def _part(schema: Schema, name: str, purpose: str) -> Numbers:
    part = schema.part(name)
    if part is None:
        raise NoRows(purpose, f"the data set has no part {name!r}")
    return np.arange(part.start, part.stop, dtype=np.int64)


def _drawn(
    pool: Numbers,
    count: int,
    classes: Numbers | None,
    generator: np.random.Generator,
) -> Numbers:
    """Draw `count` rows; with `classes` each keeps its share as nearly as it can."""
    order = generator.permutation(len(pool))
    if classes is None:
        return np.sort(pool[order[:count]])
    of = classes[pool][order]
    found, sizes = np.unique(of, return_counts=True)
    exact = sizes * (count / len(pool))
    counts = np.floor(exact).astype(np.int64)
    # the places left over go to the largest remainders
    for position in np.argsort(counts - exact, kind="stable")[: count - counts.sum()]:
        counts[position] += 1
    chosen = [
        order[of == number][:wanted]
        for number, wanted in zip(found, counts, strict=True)
    ]
    return np.sort(pool[np.concatenate(chosen)])


def _kept(
    reference: DatasetRef,
    schema: Schema,
    columns: Mapping[str, Array],
    labels: Labels,
    selection: Selection,
) -> Selection:
    """Drop rows without a target, of no class, or that `where` excludes."""
    keep = labels.known | (not labels.needed)
    for name, condition in reference.where.items():
        keep &= satisfied(condition, name, schema, columns)
    if labels.classes is not None and labels.needed:
        keep &= labels.classes >= 0
    part = training_part(schema)
    known = labels.known[part.start : part.stop]
    missing = int(known.size - known.sum())
    warnings = selection.warnings
    if missing and labels.needed:
        warnings = (*warnings, f"{missing} rows without a target are left out")
    return Selection(
        selection.train[keep[selection.train]],
        selection.validation[keep[selection.validation]],
        selection.test[keep[selection.test]],
        warnings,
    )


def _few(
    wish: PerClass, classes: Numbers, selection: Selection, seed: int
) -> Selection:
    """Keep a few examples of each class."""
    train, warnings = _sampled(selection.train, wish.train, classes, seed, "train")
    selection = replace(
        selection, train=train, warnings=(*selection.warnings, *warnings)
    )
    if wish.validation is None:
        return selection
    rows, warnings = _sampled(
        selection.validation, wish.validation, classes, seed, "validation"
    )
    return replace(
        selection, validation=rows, warnings=(*selection.warnings, *warnings)
    )


def _sampled(
    rows: Numbers, wanted: int, classes: Numbers, seed: int, purpose: str
) -> tuple[Numbers, list[str]]:
    generator = np.random.default_rng([seed, DRAWS[f"per class {purpose}"]])
    shuffled = rows[generator.permutation(len(rows))]
    of = classes[shuffled]
    kept, warnings = [], []
    for number in np.unique(of):
        mine = shuffled[of == number][:wanted]
        kept.append(mine)
        if len(mine) < wanted:
            warnings.append(
                f"class number {number} has {len(mine)} {purpose} rows, "
                f"{wanted} were asked for"
            )
    return np.sort(np.concatenate(kept)) if kept else rows, warnings
