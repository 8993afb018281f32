"""What layers give while a batch passes, and what the penalties on it come to.

Most penalties are means over the examples and add up over the parts of a divided
batch. One on the means of units does not: for it the whole batch passes once more
without gradients, with the same draws, so that every part knows the means of all.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from trainer.modules.tail import Tailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from trainer.network import Network
    from trainer.spec.activity import ActivityRegularizer

PENALTY = "activity_penalty"
"""Name of the metric: the mean of the penalties over the rows since the last look."""

Seen = dict[str, list["Tensor"]]
"""What each watched layer has given; a layer may be called more than once."""


class Activity:
    """The penalties on outputs that a network's learning layers ask for.

    It counts what they have come to since the last evaluation, so it is a memory of
    the training.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.wishes: dict[str, ActivityRegularizer] = {
            str(layer.name): wish
            for layer in network.spec.layers
            if (wish := getattr(layer, "activity_regularization", None)) is not None
            and wish.kind != "none"
            and _learns(network.layers[str(layer.name)])
        }
        self._device = next(network.parameters()).device
        self._clear()

    def __bool__(self) -> bool:
        """Tell whether any layer asks for a penalty."""
        return bool(self.wishes)

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        """Note what the layers give inside the context, before their dropout."""
        seen: Seen = {name: [] for name in self.wishes}
        handles = []
        for name, given in seen.items():

            def note(_: nn.Module, __: Any, output: Tensor, to: Any = given) -> None:
                to.append(output)

            hooked = _before_dropout(self.network.layers[name])
            handles.append(hooked.register_forward_hook(note))
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()

    def penalty(self, seen: Seen, means: Mapping[str, Sequence[Tensor]]) -> Tensor:
        """Return the penalty of a batch, or of a part of one whose `means` are known.

        Of a part, its share of the batch is what its penalty has to be multiplied by.
        """
        parts = []
        for name, wish in self.wishes.items():
            for place, outputs in enumerate(seen[name]):
                if means and wish.of_means:
                    parts.append(_tangent(wish, outputs, means[name][place]))
                else:
                    parts.append(wish.penalty(outputs))
        return torch.stack(parts).sum()

    @property
    def of_means(self) -> bool:
        """Return whether some penalty is a function of the whole batch's means."""
        return any(wish.of_means for wish in self.wishes.values())

    def note(self, penalty: Tensor, rows: int) -> None:
        """Count a step's penalty."""
        self.rows += rows
        self.total.add_(penalty.detach(), alpha=rows)

    def read(self) -> dict[str, float]:
        """Return the mean penalty since the last time, and begin again."""
        if not self.rows:
            return {}
        found = {PENALTY: float(self.total) / self.rows}
        self._clear()
        return found

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what a checkpoint needs to go on counting, to the last bit."""
        return {PENALTY: self.total}, {"rows": self.rows}

    def restore(
        self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
    ) -> None:
        """Go on from what `state` returned."""
        self.rows = numbers["rows"]
        self.total = tensors[PENALTY].to(self._device, copy=True)

    def _clear(self) -> None:
        self.rows = 0
        self.total = torch.zeros((), dtype=torch.float64, device=self._device)


@contextmanager
def undone(network: Network) -> Iterator[None]:
    """Let a pass leave no trace: no draw, no moving statistic, no gradient."""
    device = next(network.parameters()).device
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def means_of(parts: Sequence[tuple[float, Seen]]) -> dict[str, list[Tensor]]:
    """Return the mean of every unit over a batch, from what its parts have given.

    Each part comes with its share of the batch's rows.
    """
    found: dict[str, list[Tensor]] = {}
    for share, seen in parts:
        for name, given in seen.items():
            own = [share * outputs.flatten(1).mean(0) for outputs in given]
            known = found.get(name)
            found[name] = (
                own
                if known is None
                else [one + other for one, other in zip(known, own, strict=True)]
            )
    return found


def _tangent(wish: ActivityRegularizer, outputs: Tensor, means: Tensor) -> Tensor:
    """Return a part's addend whose gradient is that of the whole batch's penalty.

    P(m) has the slope P'(m) by the means m; a part's own means, times the slope and its
    share, add up to m P'(m) over the parts. The value is moved so that the shares of
    the parts add up to P(m).
    """
    with torch.enable_grad():
        at = means.detach().requires_grad_()
        value = wish.of_mean(at)
        (slope,) = torch.autograd.grad(value, at)
    own = outputs.flatten(1).mean(0)
    return value.detach() + (slope * (own - means)).sum()


def _learns(layer: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters())


def _before_dropout(layer: nn.Module) -> nn.Module:
    """Return the part of a layer that gives what the layer would without dropout."""
    if isinstance(layer, Tailed) and layer.activates_first and layer.normalization:
        return layer.normalization
    activation = getattr(layer, "activation", None)
    return activation if isinstance(activation, torch.nn.Module) else layer
