"""Batch normalisation worked into the weights below it, for a network at rest.

At rest it is a line for each channel, y = a x + c with a = scale / √(variance + ε)
and c = shift - a mean, so weights times a, and biases times a plus c, give the same
sums. Source: Jacob et al. (2018), CVPR, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainer.modules.tail import Tailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from trainer.network import Network
    from trainer.spec.network import Row

WEIGHTS = ("weight", "pointwise_weight")
"""Names of the weights whose sums a tail is given."""


@dataclass
class Folded:
    """What became of each batch normalisation, by its layer."""

    layers: list[str] = field(default_factory=list)
    """Layers whose normalisation is gone."""
    refused: dict[str, str] = field(default_factory=dict)
    """Layers that keep it, with the reason."""


@dataclass(frozen=True)
class _Linear:
    """A tail's sums: where their weights lie, and along which axis the channels."""

    module: Tailed
    weight: nn.Parameter
    unit_axis: int


def fold(network: Network) -> Folded:
    """Fold what can be folded, in place; the network must be a copy at rest."""
    found = Folded()
    lent = {lender: name for name, lender in network.lenders.items()}
    for row in network.rows:
        layer = network.layers[row.name]
        for prefix, module in layer.named_modules():
            if isinstance(module, Tailed):
                _fold_tail(found, row, prefix, module, lent)
    for row in network.rows:
        module = network.layers[row.name]
        if isinstance(module, _BatchNorm):
            _fold_layer(found, network, row, module)
    return found


def _fold_tail(
    found: Folded, row: Row, prefix: str, module: Tailed, lent: Mapping[str, str]
) -> None:
    """Fold the normalisation of a layer's own tail."""
    normalization = module.normalization
    if not isinstance(normalization, _BatchNorm):
        return
    name = f"{row.name}.{prefix}".rstrip(".")
    linear = isinstance(module.activation, nn.Identity)
    below = _linear(row, prefix, module)
    if module.activates_first and not linear:
        found.refused[name] = "it normalises what the activation gives, not the sums"
    elif below is None or not _fits(below, normalization):
        found.refused[name] = "the sums below it have no weights for each channel"
    elif row.name in lent:
        found.refused[name] = f"{lent[row.name]!r} uses the same weights"
    else:
        _scale(below, normalization)
        module.normalization = None
        found.layers.append(name)


def _fold_layer(found: Folded, network: Network, row: Row, module: _BatchNorm) -> None:
    """Fold a layer that does nothing but normalise into the one that it takes."""
    (taken,) = row.inputs
    rows = {each.name: each for each in network.rows}
    users = [each.name for each in network.rows if taken in each.inputs]
    below = network.layers[taken] if taken in rows else None
    if not isinstance(below, Tailed):
        found.refused[row.name] = "no layer with weights comes right before it"
    elif taken in network.lenders.values():
        found.refused[row.name] = f"another layer uses the weights of {taken!r}"
    elif len(users) > 1:
        found.refused[row.name] = f"{taken!r} is also taken by other layers"
    elif not isinstance(below.activation, nn.Identity):
        found.refused[row.name] = f"the activation of {taken!r} stands between"
    elif below.normalization is not None:
        found.refused[row.name] = f"the normalisation of {taken!r} stands between"
    else:
        linear = _linear(rows[taken], "", below)
        if linear is None or not _fits(linear, module):
            found.refused[row.name] = f"{taken!r} has no weights for each channel"
            return
        _scale(linear, module)
        network.layers[row.name] = nn.Identity()
        found.layers.append(row.name)


def _linear(row: Row, prefix: str, module: Tailed) -> _Linear | None:
    for name in WEIGHTS:
        weight = getattr(module, name, None)
        told = row.tensors.get(f"{prefix}.{name}".lstrip("."))
        if isinstance(weight, nn.Parameter) and told is not None:
            return _Linear(module, weight, told.unit_axis)
    return None


def _fits(below: _Linear, normalization: _BatchNorm) -> bool:
    """Return whether each channel has a slice of the weights to itself."""
    return (
        below.weight.shape[below.unit_axis] == normalization.num_features
        and normalization.running_mean is not None
        and hasattr(below.module, "bias")
    )


def _scale(below: _Linear, normalization: _BatchNorm) -> None:
    """Multiply weights and biases so that they give normalised sums."""
    mean, variance = normalization.running_mean, normalization.running_var
    assert mean is not None
    assert variance is not None
    factor = (
        normalization.weight.double() / (variance.double() + normalization.eps).sqrt()
    )
    bias: Tensor | None = getattr(below.module, "bias", None)
    start = torch.zeros_like(mean) if bias is None else bias
    moved = (start.double() - mean.double()) * factor + normalization.bias.double()
    spread = [1] * below.weight.ndim
    spread[below.unit_axis] = -1
    with torch.no_grad():
        below.weight.copy_(below.weight.double() * factor.view(spread))
    vars(below.module).pop("bias", None)  # a layer without biases has a plain None
    below.module.register_parameter(
        "bias", nn.Parameter(moved.to(below.weight.dtype), requires_grad=False)
    )
