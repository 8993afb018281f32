"""Which weights are held at zero, and how many are zero by now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from trainer.spec.pruning import Gradual, Magnitude

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from trainer.network import Network
    from trainer.spec.training import Training

ZERO_FRACTION = "zero_fraction"
"""Name of the share of zeros among the results and in the table of layers."""


class Pruner:
    """Chooses small weights and holds them at zero from then on.

    The masks are a training's memory: a resumed run holds the same weights.
    """

    def __init__(
        self, recipe: Training, network: Network, steps_per_epoch: int
    ) -> None:
        wish = self.wish = recipe.pruning
        self.weights = {
            f"{each.layer}.{each.name}": each.parameter
            for each in network.described()
            if each.weighs and each.parameter.requires_grad
        }
        self.masks: dict[str, Tensor] = {}
        """Name → true where the weight is held at zero."""
        self.begin = self.end = self.every = 0
        if isinstance(wish, Gradual):
            self.begin, self.end, self.every = wish.span(steps_per_epoch, recipe.epochs)

    def follow(self, step: int) -> None:
        """Choose anew if it is time after this step, and hold what was chosen."""
        if not isinstance(self.wish, Gradual):
            return
        if self._due(step):
            length = max(1, self.end - self.begin)
            progress = 1.0 if step >= self.end else (step - self.begin) / length
            self._choose(self.wish.share(progress), self.wish.scope)
        self.hold()

    def hold(self) -> None:
        """Set the chosen weights to zero."""
        with torch.no_grad():
            for name, mask in self.masks.items():
                self.weights[name].masked_fill_(mask, 0.0)

    def settled(self, step: int) -> bool:
        """Return whether the share of zeros grows no more after this step."""
        return step >= self.end

    def prune(self, wish: Magnitude) -> None:
        """Prune trained weights."""
        if wish.threshold is not None:
            limit = wish.threshold
            self.masks = {n: w.abs() < limit for n, w in self._values().items()}
        else:
            self._choose(wish.share(), wish.scope)
        self.hold()

    def finish(
        self,
        final: Mapping[str, float],
        recompute: Callable[[], None],
        measured: Callable[[], dict[str, float]],
    ) -> dict[str, float]:
        """Prune the weights that are kept, if any; return what is new in `final`.

        `recompute` lets batch normalisation measure the training rows anew, `measured`
        measures the validation rows.
        """
        before = {
            f"{name}_before_pruning": value
            for name, value in final.items()
            if name.startswith("validation_")
        }
        if isinstance(self.wish, Magnitude):
            self.prune(self.wish)
            if self.wish.recompute_statistics:
                recompute()
            return {**before, **measured()}
        self.hold()
        return {}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the masks as numbers that a checkpoint can hold."""
        return {name: m.to(torch.uint8) for name, m in self.masks.items()}, {}

    def restore(
        self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
    ) -> None:
        """Go on with the masks that `state` returned."""
        self.masks = {
            name: mask.to(self.weights[name].device).bool()
            for name, mask in tensors.items()
        }

    def _due(self, step: int) -> bool:
        inside = self.begin <= step <= self.end
        regular = (step - self.begin) % self.every == 0
        return inside and (regular or step in {max(1, self.begin), self.end})

    def _values(self) -> dict[str, Tensor]:
        return {name: weight.detach() for name, weight in self.weights.items()}

    def _choose(self, share: float, scope: str) -> None:
        """Mask the smallest `share` of the weights; what is masked stays so."""
        scores = {
            name: self._score(name, value) for name, value in self._values().items()
        }
        if scope == "layer":
            self.masks = {name: _smallest(s, share) for name, s in scores.items()}
            return
        together = torch.cat([score.flatten() for score in scores.values()])
        chosen = _smallest(together, share)
        sizes = [score.numel() for score in scores.values()]
        parts = torch.split(chosen, sizes)
        self.masks = {
            name: part.view(scores[name].shape)
            for name, part in zip(scores, parts, strict=True)
        }

    def _score(self, name: str, value: Tensor) -> Tensor:
        size = value.abs()
        mask = self.masks.get(name)
        return size if mask is None else size.masked_fill(mask, -1.0)


def zero_fractions(network: Network) -> dict[str, float]:
    """Return the share of zeros among the weights of each layer that has any."""
    zeros, sizes = _counted(network)
    return {layer: zeros[layer] / sizes[layer] for layer in sizes}


def zero_fraction(network: Network) -> float:
    """Return the share of zeros among all weights of the network."""
    zeros, sizes = _counted(network)
    return sum(zeros.values()) / max(1, sum(sizes.values()))


def _counted(network: Network) -> tuple[dict[str, int], dict[str, int]]:
    zeros: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for each in network.described():
        if each.weighs:
            values = each.parameter.detach()
            filled = int(torch.count_nonzero(values))
            zeros[each.layer] = zeros.get(each.layer, 0) + values.numel() - filled
            sizes[each.layer] = sizes.get(each.layer, 0) + values.numel()
    return zeros, sizes


def _smallest(scores: Tensor, share: float) -> Tensor:
    """Return a mask of the smallest `share` of the scores, but never of all."""
    away = min(round(share * scores.numel()), scores.numel() - 1)
    mask = torch.zeros_like(scores, dtype=torch.bool).flatten()
    mask[scores.flatten().argsort(stable=True)[:away]] = True
    return mask.view(scores.shape)
