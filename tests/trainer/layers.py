"""Networks of few layers in double precision, for tests of what a layer computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.network import Network
from trainer.spec.network import NetworkSpec, filled

CLASSES = 3


def made(
    layers: Sequence[dict[str, Any]], shape: tuple[int, ...], seed: int = 0
) -> Network:
    """Return an initialised network in evaluation mode, in float64."""
    spec = filled(NetworkSpec.model_validate({"layers": layers}), CLASSES)
    network = Network(spec, shape)
    network.initialize(torch.Generator().manual_seed(seed))
    return network.double().eval()


def alone(layer: dict[str, Any], shape: tuple[int, ...], seed: int = 0) -> Network:
    """Return a network whose first layer is called `layer`."""
    return made([{"name": "layer", **layer}], shape, seed)


def part(network: Network, name: str = "layer") -> Any:
    """Return the module of a layer, whatever kind it is of."""
    return network.layers[name]


def filled_with(network: Network, value: float) -> Network:
    """Return the network with every parameter of its first layer set to a value."""
    with torch.no_grad():
        for parameter in network.layers["layer"].parameters():
            parameter.fill_(value)
    return network


def applied(network: Network, *inputs: Tensor) -> Tensor:
    """Return what the layer called `layer` makes of its inputs."""
    outputs: Tensor = network.layers["layer"](*inputs)
    return outputs


def unpadded(network: Network, layers: Sequence[dict[str, Any]], steps: int) -> Network:
    """Return the same network, with the same values, for shorter sequences."""
    short = made(layers, (steps, *network.shape[1:]))
    short.load_state_dict(network.state_dict())
    return short
