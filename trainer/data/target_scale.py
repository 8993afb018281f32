"""Targets of a regression at mean 0 and deviation 1, and the way back.

House prices around 200,000 make gradients with which no default learning rate can do
anything. When training is over the output layer takes the way back into its weights:
the model answers in the target's own units, and nothing beside it has to be kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trainer.spec.layers import OUTPUT, Dense

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainer.network import Network
    from trainer.spec.resolve import Resolution

Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class TargetScale:
    """Mean and deviation of the training rows' targets.

    Shapes:
        mean, deviation: (outputs,); the deviation of a constant target is 1.
    """

    mean: Numbers
    deviation: Numbers

    @classmethod
    def fit(cls, numbers: Numbers, *, centred: bool) -> TargetScale:
        """Measure targets (rows, outputs); without `centred` the mean stays."""
        deviation = numbers.std(axis=0)
        mean = numbers.mean(axis=0) if centred else np.zeros(numbers.shape[1])
        return cls(mean, np.where(deviation > 0, deviation, 1.0))

    def scaled(self, numbers: Numbers) -> Numbers:
        """Return the targets as the network is to learn them."""
        return (numbers - self.mean) / self.deviation

    def unfold(self, network: Network) -> None:
        """Let an output layer that answers in the target's units answer scaled."""
        self._change(network, -self.mean / self.deviation, 1 / self.deviation)

    def fold(self, network: Network) -> None:
        """Let an output layer that answers scaled answer in the target's units."""
        self._change(network, self.mean, self.deviation)

    def _change(self, network: Network, shift: Numbers, factor: Numbers) -> None:
        layer = network.layers[OUTPUT]
        for name, parameter in layer.named_parameters():
            times = torch.from_numpy(factor).to(parameter.device)
            plus = torch.from_numpy(shift).to(parameter.device)
            with torch.no_grad():
                if name == "bias":
                    parameter.copy_(parameter.double() * times + plus)
                else:
                    parameter.copy_(parameter.double() * times[:, None])


def target_scale(
    resolution: Resolution, numbers: Numbers | None, rows: NDArray[np.int64]
) -> TargetScale | None:
    """Return the scale of a regression's targets, where the way back can be folded.

    That is: the output layer is plain and learns. A table whose `standardize` is
    switched off keeps its targets too.
    """
    layer = resolution.spec.network.layers[-1]
    if (
        resolution.task != "regression"
        or numbers is None
        or OUTPUT in resolution.frozen
        or not (resolution.spec.dataset.standardize or not resolution.inputs.table)
        or not isinstance(layer, Dense)
        or _bent(layer)
    ):
        return None
    return TargetScale.fit(numbers[rows], centred=layer.bias is not False)


def _bent(layer: Dense) -> bool:
    """Return whether anything but a sum stands between the weights and the output."""
    activation = layer.activation is None or layer.activation.kind in {"none", "linear"}
    plain = layer.normalization is None or layer.normalization.kind == "none"
    return not (activation and plain and not layer.dropout)
