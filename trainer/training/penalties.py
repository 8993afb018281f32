"""Penalties and limits on weights, layer by layer: L1, L2, decay, the largest norm.

Only tensors that multiply what flows through a layer are touched: no bias, no vector of
a normalisation, no learned slope, nothing frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from trainer.spec.layers import OUTPUT
from trainer.spec.layers.blocks import Weighted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from torch import Tensor, nn

    from trainer.network import Network
    from trainer.spec.regularization import Regularization


@dataclass(frozen=True)
class Weight:
    """One tensor of weights that learns, and what its layer wishes for it."""

    tensor: nn.Parameter
    wishes: Regularization
    axis: int
    """The axis along which the layer's units lie."""
    limit: float | None
    """Largest norm of the weights into one unit."""


class Penalties:
    """What a recipe asks of the weights of a network, ready to be applied at a step."""

    def __init__(self, network: Network, wishes: Regularization) -> None:
        self.weights = list(_weights(network, wishes))
        self.decay_share = wishes.weight_decay
        self._l1 = _grouped((w.wishes.l1, w.tensor) for w in self.weights)
        self._l2 = _grouped((w.wishes.l2, w.tensor) for w in self.weights)
        self._limited = [w for w in self.weights if w.limit is not None]
        self._decayed = {id(w.tensor) for w in self.weights}

    def add_gradients(self) -> None:
        """Add the gradients of l1 Σ|w| and l2 Σw² to those of the loss."""
        with torch.no_grad():
            for coefficient, weights in self._l2.items():
                torch._foreach_add_(
                    [_gradient(weight) for weight in weights],
                    weights,
                    alpha=2 * coefficient,
                )
            for coefficient, weights in self._l1.items():
                torch._foreach_add_(
                    [_gradient(weight) for weight in weights],
                    [weight.sign() for weight in weights],
                    alpha=coefficient,
                )

    def decay(self, groups: Sequence[dict[str, Any]]) -> None:
        """Multiply weights by 1 - η λ, each with the rate η of its optimizer's group.

        Called before the optimizer's own step, so that the share is taken of the
        weights from which the step starts, as Loshchilov and Hutter (2019) write it.
        """
        if not self.decay_share:
            return
        with torch.no_grad():
            for group in groups:
                chosen = [p for p in group["params"] if id(p) in self._decayed]
                if chosen:
                    torch._foreach_mul_(chosen, 1 - group["lr"] * self.decay_share)

    def limit(self) -> None:
        """Scale down the weights into each unit whose norm is too large.

        w ← w · c / ‖w‖ where ‖w‖ > c, over the weights into one unit or channel.
        """
        with torch.no_grad():
            for weight in self._limited:
                assert weight.limit is not None
                weight.tensor.renorm_(2, weight.axis, weight.limit)


def _weights(network: Network, wishes: Regularization) -> Iterator[Weight]:
    """Yield the weights that learn; the output's norm has a limit of its own only."""
    for layer, row in zip(network.spec.layers, network.rows, strict=True):
        name = row.name
        own = layer.regularization if isinstance(layer, Weighted) else None
        asked = wishes if own is None else own.over(wishes)
        limit = asked.max_norm
        if name == OUTPUT and (own is None or own.max_norm is None):
            limit = "none"
        bound = None if isinstance(limit, str) else limit
        for tensor, parameter in network.layers[name].named_parameters():
            described = row.tensors[tensor]
            if parameter.requires_grad and described.role == "weight":
                yield Weight(parameter, asked, described.unit_axis, bound)


def _grouped(wishes: Iterator[tuple[float, Tensor]]) -> dict[float, list[Tensor]]:
    """Return the tensors under each coefficient that is not 0."""
    found: dict[float, list[Tensor]] = {}
    for coefficient, tensor in wishes:
        if coefficient:
            found.setdefault(coefficient, []).append(tensor)
    return found


def _gradient(weight: Tensor) -> Tensor:
    """Return the weight's gradient, zero if the loss does not depend on it."""
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    return weight.grad
