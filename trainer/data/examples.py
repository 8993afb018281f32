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


class Pixels:
    """8-bit images as they are stored, divided by 255 when a batch needs them.

    They take a quarter of the room of float32, and nothing has to be done before the
    first step. The quotients are those of the preprocessing, to the last bit.

    Shapes:
        stored: (rows, height, width, channels); a slice gives (rows, channels, height,
        width).
    """

    def __init__(self, stored: Tensor) -> None:
        self.stored, self.device = stored, stored.device
        # a tensor, because some kernels multiply by the inverse of a plain number
        self._brightest = torch.tensor(255.0, device=stored.device)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.stored)

    def __getitem__(self, part: slice) -> Tensor:
        """Return some of the rows, converted."""
        few = self.stored[part]
        return self.converted(few, self.empty(len(few)))

    def empty(self, rows: int) -> Tensor:
        """Return room for so many converted rows."""
        _, height, width, channels = self.stored.shape
        return torch.empty(rows, channels, height, width, device=self.device)

    def converted(self, few: Tensor, out: Tensor) -> Tensor:
        """Write rows as the network takes them into `out`, and return it."""
        return torch.div(few.permute(0, 3, 1, 2), self._brightest, out=out)


class View:
    """Examples that are made of rows when they are needed, by their numbers.

    Its slices are examples as the network takes them.
    """

    rows: Tensor | Pixels

    @property
    def device(self) -> torch.device:
        """Return where the rows lie."""
        return self.rows.device

    def __len__(self) -> int:
        """Return the number of examples."""
        raise NotImplementedError

    def __getitem__(self, part: slice, /) -> Tensor:
        """Return some of the examples."""
        raise NotImplementedError

    def needed(self, examples: Tensor) -> Tensor:
        """Return the rows that some examples are made of."""
        raise NotImplementedError

    def made(self, rows: Tensor, examples: Tensor) -> Tensor:
        """Return some examples, of the rows that `needed` names."""
        raise NotImplementedError


@dataclass(frozen=True)
class Examples:
    """Rows with their targets.

    Shapes:
        targets: (rows,) class numbers, or (rows, outputs).
    """

    values: Callable[[], Mapping[str, Tensor | Pixels | View]]
    """The rows as the learning layers take them: the input itself, or the outputs of
    the frozen layers below, kept or computed anew at each call."""
    targets: Tensor
    renewed: Callable[[int], Mapping[str, View]] | None = None
    """What takes their place in an epoch, where each has rows of its own."""

    def at(self, epoch: int) -> Mapping[str, Tensor | Pixels | View]:
        """Return the values of an epoch."""
        return self.values() if self.renewed is None else self.renewed(epoch)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.targets)

    def chunks(self, rows: int) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """Return an iterator over all rows in order, `rows` at a time."""
        values = self.values()
        starts = range(0, len(self), rows)
        parts = (slice(start, start + rows) for start in starts)
        device = self.targets.device  # values too large for it lie elsewhere
        return (
            (
                {name: value[part].to(device) for name, value in values.items()},
                self.targets[part],
            )
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
        self._held: Tensor | Pixels | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, part: slice, /) -> Tensor:
        """Return some of the rows."""
        if self._held is not None:
            return self._held[part]
        return torch.from_numpy(self.preprocessing.apply(self.columns, self.rows[part]))

    def at(self, places: Tensor) -> Tensor:
        """Return the rows at some places."""
        if self._held is not None:
            return taken(self._held, places)
        rows = self.rows[places.cpu().numpy()]
        return torch.from_numpy(self.preprocessing.apply(self.columns, rows))

    def held(self, device: torch.device) -> Tensor | Pixels:
        """Return all rows on the device; they are read and converted once."""
        if self._held is None and self.preprocessing.only_divides:
            name = self.preprocessing.description.columns[0].name
            stored = np.ascontiguousarray(self.columns[name][self.rows])
            self._held = Pixels(torch.from_numpy(stored).to(device))
        elif self._held is None:
            self._held = self[:].to(device)
        return self._held

    @property
    def key(self) -> str:
        """Return a hash of which rows these are, in which order."""
        return hashlib.sha256(self.rows.tobytes()).hexdigest()


def taken(rows: Tensor | Pixels, places: Tensor) -> Tensor:
    """Return the rows at some places, as the network takes them."""
    places = places.to(rows.device)
    if isinstance(rows, Pixels):
        few = rows.stored.index_select(0, places)
        return rows.converted(few, rows.empty(len(few)))
    return rows.index_select(0, places)


def order(seed: int, epoch: int, rows: int, device: torch.device) -> Tensor:
    """Return the permutation of the rows that an epoch follows.

    It depends on nothing but its arguments, so a resumed job needs only its position.
    """
    state = np.random.SeedSequence([seed, epoch, ORDER]).generate_state(1, np.uint64)
    generator = torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))
    return torch.randperm(rows, generator=generator).to(device)


class Gatherer:
    """Copies the rows of a batch into buffers that are used again and again."""

    def __init__(
        self, values: Mapping[str, Tensor | Pixels | View], targets: Tensor
    ) -> None:
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

    def _gathered(
        self, name: str, source: Tensor | Pixels | View, rows: Tensor
    ) -> Tensor:
        if isinstance(source, View):
            few = self._gathered(f"rows of {name}", source.rows, source.needed(rows))
            return source.made(few, rows)
        if isinstance(source, Pixels):
            few = self._gathered(f"{name} as stored", source.stored, rows)
            return source.converted(few, self._room(name, len(rows), source.empty))
        if source.device != self.device:  # too large for it, left where it is
            few = source.index_select(0, rows.to(source.device))
            return few.to(self.device)

        def empty(count: int) -> Tensor:
            return source.new_empty((count, *source.shape[1:]))

        out = self._room(name, len(rows), empty)
        return torch.index_select(source, 0, rows, out=out)

    def _room(self, name: str, count: int, empty: Callable[[int], Tensor]) -> Tensor:
        """Return the buffer of that name, at its largest size or a part of it."""
        buffer = self.buffers.get(name)
        if buffer is None or len(buffer) < count:
            self.buffers[name] = buffer = empty(count)
        return buffer if len(buffer) == count else buffer[:count]
