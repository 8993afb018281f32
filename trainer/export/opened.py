"""A model that is written in another form, with rows that the form is compared on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from trainer.data.dataset import open_stored
from trainer.data.series import examples, with_timeline
from trainer.errors import TrainerError
from trainer.preprocessing import Preprocessing
from trainer.preprocessing.timeline import TIMELINE
from trainer.saved import model_folder
from trainer.saved.reopened import drawn_rows, network_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from trainer.network import Network
    from trainer.preprocessing.timeline import Timeline

Array = np.ndarray[Any, np.dtype[Any]]

REAL_ROWS = 64
"""Rows of the data set that are compared at most."""


@dataclass(frozen=True)
class RealRows:
    """Some rows of the data that a model learned from, as its preprocessing reads them.

    Shapes:
        rows: (examples,), or (examples, length) for a time series, the oldest first.
    """

    columns: Mapping[str, Any]
    rows: Array
    input: Array
    """What the preprocessing makes of them: (examples, *shape)."""


@dataclass(frozen=True)
class Opened:
    """A catalogued model, opened, with what is left of its data."""

    folder: Path
    dataset: Path | None = None
    """The folder of the data it learned from, if they are still there."""

    @cached_property
    def description(self) -> dict[str, Any]:
        """Return what model.json says."""
        return model_folder.read(self.folder).description

    @cached_property
    def network(self) -> Network:
        """Return the network with its weights, as it predicts."""
        return network_of(self.folder).eval()

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """Return what is done to rows before the network sees them."""
        return Preprocessing.load(self.folder)

    @cached_property
    def real(self) -> RealRows | None:
        """Return rows of the data set, spread over it; None if they are not there."""
        if self.dataset is None:
            return None
        windows = self.preprocessing.description.windows
        try:
            data = with_timeline(open_stored(self.dataset), windows)
            if self.preprocessing.mismatch(data.schema) is not None:
                return None
            columns = self.preprocessing.recoded(data.schema, data.columns)
            usable = np.arange(data.schema.rows)
            line = cast("Timeline", columns.get(TIMELINE)) if windows else None
            if windows is not None and line is not None:
                usable = np.flatnonzero(examples(line, windows))
            few = usable[:: -(-len(usable) // REAL_ROWS) or 1]
            found = self.preprocessing.apply(columns, few)
            if windows is not None and line is not None:
                few = line.windows(few, windows)
        except TrainerError:  # the data changed their form; the check does without
            return None
        return RealRows(columns, few, found) if len(few) else None

    @property
    def compares_pairs(self) -> bool:
        """Return whether the network is given two examples at a time."""
        told: int = self.description["input"].get("examples", 1)
        return told > 1

    @property
    def batches(self) -> list[Tensor]:
        """Return batches of input to compare a network on: real rows, drawn ones."""
        found = [drawn_rows(self.network), drawn_rows(self.network)[:1]]
        if self.real is not None:
            rows = torch.from_numpy(self.real.input)
            if self.compares_pairs:  # each row with the one after it
                rows = torch.stack([rows, rows.roll(-1, 0)], dim=1)
            found.insert(0, rows)
        return found
