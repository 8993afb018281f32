"""Time series: the order of a data set's rows, and examples divided by time."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.preprocessing.timeline import TIMELINE, Timeline
from trainer.spec.data import PartName
from trainer.spec.data.series import reach

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.data.dataset import Dataset
    from trainer.spec.data import Held, Windows
    from trainer.spec.data.schema import Part, Schema

Numbers = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def with_timeline(dataset: Dataset, windows: Windows | None) -> Dataset:
    """Return the data set with its rows' order among its columns, worked out once."""
    if windows is None:
        return dataset
    line = Timeline.of(dataset.columns, windows, dataset.schema.parts)
    columns: Any = ChainMap({TIMELINE: line}, dataset.columns)  # type: ignore[arg-type]
    return replace(dataset, columns=columns)


def examples(line: Timeline, windows: Windows) -> Flags:
    """Mark the rows whose target ends a whole window, every `stride` steps."""
    behind = line.before - reach(windows)
    marked: Flags = (behind >= 0) & (behind % windows.stride == 0)
    return marked


def divided(
    wishes: Mapping[str, Held],
    windows: Windows,
    schema: Schema,
    line: Timeline,
    *,
    known: Flags,
) -> dict[str, Numbers]:
    """Return the rows of the examples of each purpose, ``train`` among them.

    A share takes the latest examples of the training part: first the test, then, of
    those before, the validation. Examples of one moment stay together, so a window
    that is trained on holds nothing from the time of those that are held back, nor
    does its target.

    Shapes:
        known: (rows,) whether a row has a target.
    """
    usable = examples(line, windows) & known
    part = schema.part("train") or schema.parts[0]
    left = _rows(usable, part)
    age = _age(line, windows)
    found: dict[str, Numbers] = {}
    size = len(left)
    for purpose in ("test", "validation"):
        wish = wishes[purpose]
        if isinstance(wish, PartName):
            named = schema.part(wish.part)
            found[purpose] = left[:0] if named is None else _rows(usable, named)
        elif not isinstance(wish, float) or not len(left):
            found[purpose] = left[:0]
        else:
            count = max(1, round(size * wish))
            ages = age[left]
            first = np.sort(ages)[max(0, len(ages) - count)]
            found[purpose] = left[ages >= first]
            left = left[ages < first]
    return {**found, "train": left}


def _rows(usable: Flags, part: Part) -> Numbers:
    rows: Numbers = part.start + np.flatnonzero(usable[part.start : part.stop])
    return rows


def _age(line: Timeline, windows: Windows) -> Any:
    """Return what grows with time: the moment, or the place within the series."""
    if windows.order_by is not None:
        return line.moments
    _, of, lengths = np.unique(line.series, return_inverse=True, return_counts=True)
    return line.before / lengths[of]
