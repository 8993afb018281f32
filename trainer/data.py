"""Examples on the device, and the order in which an epoch visits them.

There are no loader processes: what is trained on lies on the device as a whole, and a
batch is one ``index_select`` by a slice of the epoch's permutation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from trainer.preprocessing import Preprocessing

TARGETS = ""
"""Stands for the targets among the layers' names, none of which is empty."""
ORDER = 5
"""Keeps the draws of the order apart from the job's other draws."""


@dataclass(frozen=True)
class Examples:
    """Rows with their targets.

    Shapes:
        targets: (rows,) class numbers, or (rows, outputs).
    """

    values: Callable[[], Mapping[str, Tensor]]
    """The rows as the learning layers take them: the input itself, or the outputs of
    the frozen layers below, kept or computed anew at each call."""
    targets: Tensor

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.targets)

    def chunks(self, rows: int) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """Return an iterator over all rows in order, `rows` at a time."""
        values = self.values()
        starts = range(0, len(self), rows)
        parts = (slice(start, start + rows) for start in starts)
        return (
            ({name: value[part] for name, value in values.items()}, self.targets[part])
            for part in parts
        )


class Prepared:
    """Rows of a data set as the network takes them, converted when they are needed."""

    def __init__(
        self,
        preprocessing: Preprocessing,
        columns: Mapping[str, NDArray[Any]],
        rows: NDArray[np.int64],
    ) -> None:
        self.preprocessing, self.columns, self.rows = preprocessing, columns, rows
        self._whole: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, part: slice, /) -> Tensor:
        """Return some of the rows."""
        if self._whole is not None:
            return self._whole[part]
        return torch.from_numpy(self.preprocessing.apply(self.columns, self.rows[part]))

    def whole(self, device: torch.device) -> Tensor:
        """Return all rows on the device; they are converted once."""
        if self._whole is None:
            everything = self.preprocessing.apply(self.columns, self.rows)
            self._whole = torch.from_numpy(everything).to(device)
        return self._whole

    @property
    def key(self) -> str:
        """Return a hash of which rows these are, in which order."""
        return hashlib.sha256(self.rows.tobytes()).hexdigest()


def order(seed: int, epoch: int, rows: int, device: torch.device) -> Tensor:
    """Return the permutation of the rows that an epoch follows.

    It depends on nothing but its arguments, so a resumed job needs only its position.
    """
    state = np.random.SeedSequence([seed, epoch, ORDER]).generate_state(1, np.uint64)
    generator = torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))
    return torch.randperm(rows, generator=generator).to(device)


class Gatherer:
    """Copies the rows of a batch into buffers that are used again and again."""

    def __init__(self, values: Mapping[str, Tensor], targets: Tensor) -> None:
        self.sources = {**values, TARGETS: targets}
        self.device = targets.device
        self.buffers: dict[str, Tensor] = {}

    def gather(self, rows: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the values and targets of `rows`, valid until the next call."""
        found = {
            name: self._gathered(name, source, rows)
            for name, source in self.sources.items()
        }
        targets = found.pop(TARGETS)
        return found, targets

    def _gathered(self, name: str, source: Tensor, rows: Tensor) -> Tensor:
        if source.device != self.device:  # too large for it, left where it is
            few = source.index_select(0, rows.to(source.device))
            return few.to(self.device)
        count = len(rows)
        buffer = self.buffers.get(name)
        if buffer is None or len(buffer) < count:
            buffer = source.new_empty((count, *source.shape[1:]))
            self.buffers[name] = buffer
        out = buffer if len(buffer) == count else buffer[:count]
        torch.index_select(source, 0, rows, out=out)
        return out
