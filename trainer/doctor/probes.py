"""Probes: what one step shows of every layer, measured on the device.

A probe only reads. It draws no random numbers and adds no operation to the graph that
is differentiated, so a training with the doctor has the bits of one without. Nothing
here waits for the device: a sample is one vector that is read later.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from trainer.doctor.figures import Sample, finite, ratio, root

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle

    from trainer.doctor.anatomy import Organ
    from trainer.network import Network

ROWS = 64
"""Rows of a batch that outputs are measured on: shares to within a few percent."""
COMPARED = 8
"""Rows on which the units of a layer are compared with each other."""
NUMBERS = 4096
"""Weights of a layer that its update is measured on, evenly spread."""
WINDOW = 2
"""Samples over which a unit must have been dead: one batch may just not reach it."""
STATISTICS = ("mean", "square", "row_square", "spread", "dead", "saturated", "signal")
"""What is measured of a layer's outputs, in the order of the vector."""


@dataclass
class Pending:
    """A sample that is still on the device."""

    step: int
    epoch: int
    learning_rate: float
    vector: Tensor
    names: list[str]
    """Layers whose outputs were seen, in the vector's order."""
    has_input: bool


@dataclass
class Watched:
    """A layer and what of it is watched."""

    part: Organ
    hooked: nn.Module
    axis: Callable[[Tensor], int]
    """Which axis of the outputs are the units."""
    parameters: Sequence[Tensor]
    weights: Sequence[Tensor]
    graves: deque[Tensor] = field(default_factory=lambda: deque(maxlen=WINDOW))
    """Which units were dead in the last samples."""
    seen: list[list[Tensor]] = field(default_factory=list)
    """The statistics of each part of the batch."""
    signal: list[Tensor] = field(default_factory=list)


class Probes:
    """Watches the layers of one network at chosen steps."""

    def __init__(self, network: Network, parts: Sequence[Organ]) -> None:
        self.watched = [_watched(network, part) for part in parts]
        self.below = below(network, [part.name for part in parts if part.weighs])

    def open(
        self,
        position: tuple[int, int, float],
        values: Mapping[str, Tensor] | None,
        into: list[Pending],
    ) -> Probe:
        """Watch the step that is about to be taken at (step, epoch, learning rate).

        `values` is the batch, told where its scale shall be measured; the sample is
        added to `into`.
        """
        return Probe(self, position, values, into)

    def read(self, pending: Pending) -> Sample:
        """Return a sample as numbers; this waits for the device."""
        numbers = iter(pending.vector.tolist())
        seen = {
            name: dict(zip(STATISTICS, numbers, strict=False)) for name in pending.names
        }
        layers = {}
        for one in self.watched:
            gradients = [next(numbers) for _ in one.parameters]
            weights = [next(numbers) for _ in one.weights]
            moved, stood = (next(numbers), next(numbers)) if one.weights else (0.0, 0.0)
            found = _outputs(one, seen.get(one.part.name))
            if one.parameters:
                found["gradient_norm"] = root(sum(g * g for g in gradients))
            if one.weights:
                found["weight_norm"] = root(sum(w * w for w in weights))
                found["update_ratio"] = ratio(finite(moved), finite(stood))
            layers[one.part.name] = found
        for name, lower in self.below.items():
            if name in layers and lower in layers:
                layers[name]["gradient_ratio"] = ratio(
                    layers[name].get("gradient_norm"),
                    layers[lower].get("gradient_norm"),
                )
        loss = next(numbers)
        return Sample(
            step=pending.step,
            epoch=pending.epoch,
            learning_rate=pending.learning_rate,
            loss=finite(loss),
            layers=layers,
            input_deviation=finite(next(numbers)) if pending.has_input else None,
        )


class Probe:
    """Watches one step: made before it, told of the gradients and of the update."""

    def __init__(
        self,
        probes: Probes,
        position: tuple[int, int, float],
        values: Mapping[str, Tensor] | None,
        into: list[Pending],
    ) -> None:
        self.probes, self.position, self.into = probes, position, into
        self._handles: list[RemovableHandle] = []
        self._gradients: list[Tensor] = []
        self._norms: list[Tensor] = []
        self._stood: list[list[Tensor]] = []
        self._input = _deviation(values)
        for one in probes.watched:
            one.seen, one.signal = [], []
            hook = partial(_measure, one)
            self._handles.append(one.hooked.register_forward_hook(hook))

    @torch.no_grad()
    def gradients(self) -> None:
        """Measure the gradients as the loss gives them, and the weights before."""
        for handle in self._handles:
            handle.remove()
        for one in self.probes.watched:
            self._gradients += [_gradient(p) for p in one.parameters]
            self._norms += [w.detach() for w in one.weights]
            self._stood.append([_spread_out(w, len(one.weights)) for w in one.weights])
        # measured now: a clipping would change them in place
        self._gradients = _norms(self._gradients)
        self._norms = _norms(self._norms)
        self._stood = [[w.clone() for w in some] for some in self._stood]

    @torch.no_grad()
    def updated(self, loss: Tensor) -> None:
        """Measure what the step has changed; put down all that was seen."""
        probes = self.probes
        pieces: list[Tensor] = []
        names = []
        for one in probes.watched:
            if one.seen:
                names.append(one.part.name)
                pieces += _combined(one)
        gradients, norms = iter(self._gradients), iter(self._norms)
        for one, stood in zip(probes.watched, self._stood, strict=True):
            pieces += [next(gradients) for _ in one.parameters]
            pieces += [next(norms) for _ in one.weights]
            if one.weights:
                now = [_spread_out(w, len(one.weights)) for w in one.weights]
                moved = [new - old for new, old in zip(now, stood, strict=True)]
                pieces += [_total(moved), _total(stood)]
        pieces.append(loss.detach())
        vector = torch.stack([piece.double().reshape(()) for piece in pieces])
        if self._input is not None:
            vector = torch.cat([vector, self._input.double().reshape(1)])
        has_input = self._input is not None
        self.into.append(Pending(*self.position, vector, names, has_input))


def below(network: Network, names: Sequence[str]) -> dict[str, str]:
    """Return for each of the layers the nearest of them on the way to the input."""
    found: dict[str, str] = {}
    nearest: dict[str, str | None] = {}
    wanted = set(names)
    for row in network.rows:
        lower = next((nearest[i] for i in row.inputs if nearest.get(i)), None)
        if row.name in wanted and lower is not None:
            found[row.name] = lower
        nearest[row.name] = row.name if row.name in wanted else lower
    return found


def _watched(network: Network, part: Organ) -> Watched:
    layer = network.layers[part.name]
    inner = getattr(layer, "activation", None)
    hooked = inner if isinstance(inner, torch.nn.Module) else layer
    learning = [p for p in layer.parameters() if p.requires_grad]
    weights = [p for p in learning if p.ndim > 1]
    channels = part.kind.endswith("1d") and hooked is not layer

    def axis(outputs: Tensor) -> int:
        # a sequence is (batch, steps, features) except inside a convolution
        return -1 if outputs.ndim == 3 and not channels else 1  # noqa: PLR2004

    return Watched(part, hooked, axis, learning, weights)


def _measure(one: Watched, _: nn.Module, __: Any, outputs: Any) -> None:
    """Note the statistics of a layer's outputs, and later of their gradient."""
    if not isinstance(outputs, torch.Tensor) or outputs.ndim < 2:  # noqa: PLR2004
        return
    if outputs.requires_grad:
        note = partial(_note_signal, one.signal)
        outputs.register_hook(note)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        one.seen.append(_statistics(one, outputs.detach()[:ROWS]))


def _note_signal(signal: list[Tensor], gradient: Tensor) -> None:
    signal.append(gradient.detach().norm())


def _statistics(one: Watched, outputs: Tensor) -> list[Tensor]:
    """Return mean, square, row_square, spread, saturated and the mask of the dead.

    Shapes:
        outputs: (rows, units, ...), or (rows, steps, units).
    """
    axis = one.axis(outputs) % outputs.ndim
    others = [n for n in range(outputs.ndim) if n != axis]
    variance, mean = torch.var_mean(outputs, others, correction=0)  # each (units,)
    rows = variance.mean()
    statistics = [
        mean.mean(),
        rows + mean.var(correction=0),
        rows,
        _spread(outputs[:COMPARED], others),
    ]
    ends, grave = one.part.flat_ends, one.part.grave
    if ends is None:
        statistics.append(mean.new_zeros(()))
    else:
        flat = (outputs <= ends[0]) | (outputs >= ends[1])
        statistics.append(flat.double().mean().to(mean.dtype))
    if grave is not None:
        dead = outputs.amax(others) <= grave[1]
        if grave[0] > float("-inf"):
            dead &= outputs.amin(others) >= grave[0]
        statistics.append(dead)
    return statistics


def _spread(few: Tensor, others: list[int]) -> Tensor:
    """Return the largest difference between two units' answers to the same row."""
    inner = [n for n in others if n]
    answers = few.mean(inner) if inner else few  # (rows, units)
    return (answers.amax(1) - answers.amin(1)).max()


def _combined(one: Watched) -> list[Tensor]:
    """Put the parts of a batch together, in the order of `STATISTICS`."""
    parts = one.seen
    mean, square, rows, spread, saturated = (
        torch.stack([part[n] for part in parts]).mean(0) for n in range(5)
    )
    dead = mean.new_zeros(())
    if one.part.grave is not None:
        grave = torch.stack([part[5] for part in parts]).all(0)
        one.graves.append(grave)
        dead = torch.stack(list(one.graves)).all(0).to(mean.dtype).mean()
    signal = _total(one.signal) if one.signal else mean.new_zeros(())
    one.seen, one.signal = [], []
    return [mean, square, rows, spread, dead, saturated, signal]


def _outputs(one: Watched, seen: Mapping[str, float] | None) -> dict[str, float | None]:
    """Name what was measured of a layer's outputs."""
    if seen is None:
        return {}
    return {
        "activation_mean": finite(seen["mean"]),
        "activation_deviation": root(seen["square"]),
        "row_deviation": root(seen["row_square"]),
        "spread": finite(seen["spread"]),
        "dead": finite(seen["dead"]) if one.part.grave else None,
        "saturated": finite(seen["saturated"]) if one.part.flat_ends else None,
        "signal": finite(seen["signal"]),
    }


def _deviation(values: Mapping[str, Tensor] | None) -> Tensor | None:
    """Return the deviation of the input, if it is numbers and was asked for."""
    numbers = [v for v in (values or {}).values() if v.is_floating_point()]
    if not numbers:
        return None
    return torch.cat([n[:ROWS].flatten() for n in numbers]).std(correction=0)


def _gradient(parameter: Tensor) -> Tensor:
    gradient = parameter.grad
    return parameter.new_zeros(1) if gradient is None else gradient


def _norms(tensors: list[Tensor]) -> list[Tensor]:
    """Return the norm of each, by one call for all."""
    return list(torch._foreach_norm(tensors)) if tensors else []  # noqa: SLF001


def _spread_out(weight: Tensor, shared: int) -> Tensor:
    """Return a view of evenly spread weights, bounded in number."""
    flat = weight.detach().reshape(-1)
    return flat[:: max(1, len(flat) * shared // NUMBERS)]


def _total(tensors: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """Return the norm of several tensors taken as one vector."""
    each = _norms(list(tensors))
    whole: Tensor = each[0] if len(each) == 1 else torch.stack(each).norm()
    return whole
