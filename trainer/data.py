"""Examples on the device, and the order in which an epoch visits them.

There are no loader processes: what is trained on lies on the device as a whole, and a
batch is one ``index_select`` by a slice of the epoch's permutation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor

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
        """Yield all rows in order, `rows` at a time."""
        values = self.values()
        for start in range(0, len(self), rows):
            part = slice(start, start + rows)
            yield {n: v[part] for n, v in values.items()}, self.targets[part]


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
        self.sources = {**values, "": targets}
        self.buffers: dict[str, Tensor] = {}

    def gather(self, rows: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the values and targets of `rows`, valid until the next call."""
        count = len(rows)
        found: dict[str, Tensor] = {}
        for name, source in self.sources.items():
            buffer = self.buffers.get(name)
            if buffer is None or len(buffer) < count:
                buffer = source.new_empty((count, *source.shape[1:]))
                self.buffers[name] = buffer
            out = buffer if len(buffer) == count else buffer[:count]
            torch.index_select(source, 0, rows, out=out)
            found[name] = out
        targets = found.pop("")
        return found, targets
