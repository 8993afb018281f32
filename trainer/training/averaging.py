"""Averages of what training changes, kept beside the network and put into it to look.

The averages take the network's place for an evaluation and, at the end, for good.
"""

from __future__ import annotations

from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from trainer.spec.averaging import NoAveraging
from trainer.training.descent import divided

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor

    from trainer.data.examples import Examples
    from trainer.network import Cut, Network
    from trainer.spec.training import Training


class Averages:
    """The running averages of one training; a memory of it.

    `moving` is every parameter and buffer that training may change, and no other: what
    is frozen has no average. Whole numbers, such as counters, are taken as they are.
    """

    def __init__(
        self,
        recipe: Training,
        moving: Mapping[str, Tensor],
        steps_per_epoch: int,
        recompute: Callable[[], None],
    ) -> None:
        wish = recipe.averaging
        self.wish = None if isinstance(wish, NoAveraging) else wish
        self.taken = 0
        """Weights that are in the average."""
        self._recompute = recompute
        self._values: dict[str, Tensor] = {}
        if self.wish is None:
            return
        self._moving = dict(moving)
        self._begin = ceil(self.wish.begin(recipe.epochs, steps_per_epoch))
        self._period = round(self.wish.period(steps_per_epoch))

    def update(self, step: int) -> None:
        """Take the weights after this step into the average, if they are due."""
        if self.wish is None or step < max(1, self._begin):
            return
        if (step - self._begin) % self._period:
            return
        with torch.no_grad():
            if not self._values:
                self._values = {n: t.clone() for n, t in self._moving.items()}
            else:
                self._take(self.wish.share(self.taken))
        self.taken += 1

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Put the averages into the network for a while."""
        if not self._values:
            yield
            return
        kept = {name: tensor.clone() for name, tensor in self._moving.items()}
        self.settle()
        try:
            yield
        finally:
            _copy(kept, self._moving)

    def settle(self) -> None:
        """Put the averages into the network for good."""
        if not self._values or self.wish is None:
            return
        _copy(self._values, self._moving)
        if self.wish.recomputes_statistics:
            self._recompute()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the averages, and how many weights are in them."""
        return self._values, {"taken": self.taken}

    def restore(
        self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
    ) -> None:
        """Go on from what `state` returned."""
        self.taken = numbers["taken"]
        self._values = {
            name: tensor.to(self._moving[name].device)
            for name, tensor in tensors.items()
        }

    def _take(self, share: float) -> None:
        real = [n for n, t in self._values.items() if t.is_floating_point()]
        if real:
            torch._foreach_lerp_(
                [self._values[name] for name in real],
                [self._moving[name] for name in real],
                share,
            )
        for name in self._values.keys() - set(real):
            self._values[name].copy_(self._moving[name])


def recompute_statistics(
    network: Network, cut: Cut, examples: Examples, rows: int
) -> None:
    """Set the statistics of batch normalisation to those of all training rows.

    The means over batches of `rows` of what the batches show, dropout being off: after
    Izmailov et al. (2018), section 3.2. Layers that sleep keep their statistics.
    """
    learning = [
        m for m in network.modules() if isinstance(m, _BatchNorm) and m.training
    ]
    if not learning:
        return
    network.eval()
    momentum = [module.momentum for module in learning]
    for module in learning:
        module.reset_running_stats()
        module.train()
    values, seen = examples.values(), 0
    device = examples.targets.device
    with torch.no_grad():
        for part in divided(len(examples), rows):
            seen += part.stop - part.start
            for module in learning:
                module.momentum = (part.stop - part.start) / seen
            few = {name: value[part].to(device) for name, value in values.items()}
            network.run_above(cut, few)
    for module, share in zip(learning, momentum, strict=True):
        module.momentum = share


def _copy(sources: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in sources.items():
            into[name].copy_(tensor)
