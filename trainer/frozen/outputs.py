"""One job's outputs of frozen layers: kept or computed again, counted and timed.

The loop asks `FrozenOutputs.of("train")` for the values at the cut once per epoch, and
for those of a held-out part once per evaluation. Whether they are kept is decided here
and changes no bit of what it gets.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch

from trainer.errors import CacheRefused
from trainer.frozen import (
    FLOAT_BYTES,
    chunk_rows,
    chunks,
    features,
    layers_sha256,
    numeric_route,
    room,
    settle,
)
from trainer.frozen.cache import FrozenCache, Key
from trainer.frozen.depths import chunks_at, in_passes
from trainer.frozen.entries import Slower
from trainer.frozen.savings import summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from trainer.frozen import Frozen, Rows
    from trainer.frozen.entries import Entry
    from trainer.network import Cut

Mode = Literal["auto", "off", "required"]

MEMORY_SHARE = 0.5
"""Share of the free memory that kept outputs may take; beyond it they stay on disk."""


@dataclass
class Part:
    """The rows of one purpose, and what their frozen outputs have cost so far."""

    rows: Rows
    row_set: str
    """Hash of which rows these are, in which order."""
    values: dict[str, Tensor] | None = None
    """The outputs, once they are kept."""
    entry: Entry | None = None
    """What they lie in on disk, if they do: it must not be evicted."""
    slower: Slower | None = None
    """Why they were computed although they lay, or might have lain, on disk."""
    hit: bool | None = None
    """Whether another job had computed them; None while nobody asked."""
    key: str | None = None
    bytes: int = 0
    uses: int = 0
    passes: list[float] = field(default_factory=list)
    """Seconds of each forward pass; of the one that filled the cache on a hit."""
    fill_seconds: float = 0.0
    read_seconds: float = 0.0

    @property
    def forward_seconds(self) -> float:
        """Return what one pass through the frozen layers takes."""
        return sum(self.passes) / len(self.passes) if self.passes else 0.0


def refusal(frozen: Frozen, augmentation: str | None = None) -> str | None:
    """Say why outputs of frozen layers cannot stand for the layers, if they cannot.

    `augmentation` names what changes the input from epoch to epoch, if anything does.
    """
    if not frozen:
        return "no layer is frozen"
    if augmentation is not None:
        return f"{augmentation} changes the input of the frozen layers in every epoch"
    if frozen.cut.below:
        return None
    if frozen.awake:
        name = min(frozen.awake)
        return (
            f"layer {name!r} normalises by each batch (frozen_normalization is "
            "'train'), so its outputs are no fixed function of one example"
        )
    return "a layer that learns, or dropout that is not frozen, lies below every one"


class FrozenOutputs:
    """The outputs at a network's cut for the parts of a job's rows.

    Raises:
        CacheRefused: keeping them is required and cannot be done.
    """

    def __init__(
        self,
        frozen: Frozen,
        parts: Mapping[str, tuple[Rows, str]],
        *,
        dataset: str,
        preprocessing: str,
        device: torch.device,
        mode: Mode = "auto",
        cache: FrozenCache | None = None,
        augmentation: str | None = None,
        depths: Sequence[Cut] = (),
    ) -> None:
        """Decide what is kept; `parts` maps a purpose to its rows and their hash.

        `dataset` and `preprocessing` are content hashes. Without a `cache` outputs are
        kept in memory only. `depths` are cuts of the same network, as it is now, that
        other jobs will train from: the pass that fills the cache fills it for them too.
        """
        self.frozen, self.device, self.cache = frozen, device, cache
        self.mode: Mode = mode
        self.chunk = chunk_rows(frozen.network, frozen.cut, device)
        self.parts = {name: Part(rows, key) for name, (rows, key) in parts.items()}
        self.reason = refusal(frozen, augmentation)
        self.applies = self.reason is None
        """Whether training starts from these outputs rather than from the input."""
        if self.applies:
            self._choose_place()
        self.keeps = self.applies and mode != "off"
        if mode == "required" and not self.keeps:
            raise CacheRefused(str(self.reason))
        self._of_job = (dataset, preprocessing)
        self._layers: dict[Cut, str] = {}
        self._depths = list(depths)
        self._filled: list[str] = []
        """Keys of the entries that this job has filled in one pass."""

    @property
    def cut(self) -> Cut:
        """Return where training starts: at the cut, or at the input."""
        network = self.frozen.network
        return self.frozen.cut if self.applies else network.cut(frozenset())

    def of(self, name: str) -> dict[str, Tensor]:
        """Return the outputs of a part's rows, in the rows' order.

        They are on the device if they fit there, else in the host's memory or mapped
        from disk. What was recomputed belongs to the caller alone.
        """
        part = self.parts[name]
        part.uses += 1
        if not self.keeps:
            return self._computed(part)
        if part.values is None:
            part.values = self._kept(part)
        return part.values

    def target(self, name: str, layer: str) -> Tensor:
        """Return what a layer gives for a part's rows, for what is learned from it.

        Where outputs are kept it is among them, so the layers below are not run for
        it; else they are run once, by the function and in the runs of rows that compute
        what is trained on.
        """
        part, network = self.parts[name], self.frozen.network
        if self.keeps:
            if part.values is None:
                part.values = self._kept(part)
            return part.values[layer]
        cut, chunk = self.cut, self.chunk
        if layer not in cut.boundary:
            cut = network.cut_at(layer)
            chunk = chunk_rows(network, cut, self.device)
        values, _ = features(network, cut, part.rows, self.device, chunk)
        return values[layer]

    def report(self) -> dict[str, object]:
        """Return the `cache` of the job's answer; seconds are measured ones.

        `seconds_saved` is what the forward passes would have taken, one per use, less
        filling and reading; it may be negative and says so.
        """
        used = [part for part in self.parts.values() if part.uses]
        train = self.parts.get("train")
        own = {part.key for part in self.parts.values()}
        forward = sum(part.forward_seconds * part.uses for part in used)
        fill = sum(part.fill_seconds for part in used)
        read = sum(part.read_seconds for part in used)
        told: dict[str, object] = {
            "mode": self.mode,
            "result": self._result(used),
            "key": train.key if train else None,
            "place": self._place(used),
            "bytes": sum(part.bytes for part in used),
            "frozen_forward_seconds": sum(part.forward_seconds for part in used),
            "fill_seconds": fill,
            "read_seconds": read,
            "epochs": train.uses if train else 0,
            "seconds_without": forward,
            "seconds_saved": forward - fill - read if self.keeps else 0.0,
            "filled_for_others": len(set(self._filled) - own),
            "reason": self._told(used),
        }
        return {**told, "summary": summary(told)}

    def _told(self, used: list[Part]) -> str | None:
        """Return why it is not as one would expect, if it is not."""
        slower = [part.slower for part in used if part.slower is not None]
        return self.reason or (str(slower[0]) if slower else None)

    def _place(self, used: list[Part]) -> str | None:
        """Say where the kept outputs lie."""
        if not any(part.values for part in used):
            return None
        if any(part.entry for part in used):
            return "disk"
        return "memory" if self.device.type == "cpu" else "device"

    def _result(self, used: list[Part]) -> str | None:
        if self.mode == "off" or not self.frozen:
            return "off"
        if not self.keeps:
            return "refused"
        first = self.parts.get("train", used[0] if used else None)
        if first is None or first.hit is None:
            return None  # nobody has asked for them yet
        if first.slower is not None:
            return "recomputed"
        return "hit" if first.hit else "miss"

    def _choose_place(self) -> None:
        """Do without outputs that fit neither the disk's bound nor the free memory."""
        needed = sum(self._size(part, self.frozen.cut) for part in self.parts.values())
        on_disk = self.cache is not None and needed <= self.cache.free()
        if not on_disk:
            self.cache = None
        if on_disk or needed <= room.free(self.device) * MEMORY_SHARE:
            return
        self.applies = False
        self.reason = (
            f"outputs of the frozen layers take {needed / 2**30:.1f} GiB, more than "
            "the cache may hold and more than half of the free memory"
        )

    def _size(self, part: Part, cut: Cut) -> int:
        network = self.frozen.network
        shapes = {row.name: row.output_shape for row in network.rows}
        per_row = sum(
            torch.Size(shapes.get(name, network.shape)).numel() for name in cut.boundary
        )
        return per_row * FLOAT_BYTES * len(part.rows)

    def _fits(self, part: Part) -> bool:
        """Tell whether a part's outputs may be held where the device computes."""
        free = room.free(self.device) * MEMORY_SHARE
        return self._size(part, self.frozen.cut) <= free

    def _computed(self, part: Part) -> dict[str, Tensor]:
        frozen = self.frozen
        if self.cache is None or self._fits(part):
            values, seconds = features(
                frozen.network, frozen.cut, part.rows, self.device, self.chunk
            )
        else:
            entry = self.cache.scratch(len(part.rows), lambda: self._chunks(part))
            values, seconds = entry.values, entry.forward_seconds
        part.passes.append(seconds)
        part.bytes = sum(value.nbytes for value in values.values())
        return values

    def _chunks(self, part: Part) -> Iterator[tuple[dict[str, Tensor], float]]:
        frozen = self.frozen
        return chunks(frozen.network, frozen.cut, part.rows, self.device, self.chunk)

    def _kept(self, part: Part) -> dict[str, Tensor]:
        part.key = self._key(part, self.frozen.cut, self.chunk)
        started = time.perf_counter()
        if self.cache is not None:
            try:
                return self._shared(self.cache, part, part.key)
            except Slower as slower:
                part.slower = slower
            except OSError as problem:  # a full disk costs the job nothing but time
                self.cache = None
                self.reason = f"kept in memory only: {problem.strerror or problem}"
        values = self._computed(part)
        part.hit = False
        part.fill_seconds += time.perf_counter() - started
        return values

    def _shared(self, cache: FrozenCache, part: Part, key: str) -> dict[str, Tensor]:
        self._fill_depths(cache)
        started = time.perf_counter()
        entry, found = cache.find_or_fill(
            key, len(part.rows), lambda: self._chunks(part), copied=self._fits(part)
        )
        part.hit = found and key not in self._filled
        part.passes, part.bytes = [entry.forward_seconds], entry.bytes
        values = entry.values
        if entry.mapped:
            part.entry = entry
        else:
            values = {name: value.to(self.device) for name, value in values.items()}
            settle(values)
        took = time.perf_counter() - started
        if found:
            part.read_seconds += took
        else:
            part.fill_seconds += took
        return values

    def _fill_depths(self, cache: FrozenCache) -> None:
        """Fill the entries of all depths and parts, before a layer has learned.

        Raises: OSError.
        """
        frozen, cuts = self.frozen, self._affordable(cache)
        self._depths = []
        passes = in_passes(frozen.network, cuts, self.device)
        for part in self.parts.values():
            started = time.perf_counter()
            for chunk, some in passes.items():
                self._filled += cache.fill_missing(
                    [self._key(part, cut, chunk) for cut in some],
                    len(part.rows),
                    partial(self._chunks_at, part, chunk, some),
                )
            if passes:
                part.fill_seconds += time.perf_counter() - started

    def _chunks_at(
        self, part: Part, chunk: int, cuts: Sequence[Cut], mine: Sequence[int]
    ) -> Iterator[Sequence[tuple[dict[str, Tensor], float]]]:
        chosen = [cuts[number] for number in mine]
        network, device = self.frozen.network, self.device
        return chunks_at(network, chosen, part.rows, device, chunk)

    def _affordable(self, cache: FrozenCache) -> list[Cut]:
        """Return this job's cut and those others that the disk has room for.

        The deepest come first: they save most. In the result the lowest do.
        """
        if not self._depths:
            return []
        chosen, left = {self.frozen.cut}, cache.free()
        left -= sum(self._size(part, self.frozen.cut) for part in self.parts.values())
        for cut in reversed(self._depths):
            size = sum(self._size(part, cut) for part in self.parts.values())
            if cut not in chosen and size <= left:
                chosen.add(cut)
                left -= size
        return sorted(chosen, key=lambda cut: len(cut.below))

    def _key(self, part: Part, cut: Cut, chunk: int) -> str:
        network = self.frozen.network
        if cut not in self._layers:
            self._layers[cut] = layers_sha256(network, cut)
        dataset, preprocessing = self._of_job
        return Key(
            dataset=dataset,
            rows=part.row_set,
            preprocessing=preprocessing,
            layers=self._layers[cut],
            boundary=cut.boundary,
            dtype=str(next(network.parameters()).dtype),
            chunk=chunk,
            route=numeric_route(self.device),
        ).digest
