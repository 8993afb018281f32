"""A catalogued model as a network again, for a graph that was never finished.

A worker that was killed between a job's end and the export leaves a model without a
graph. Its rows are not at hand any more, so the graph is compared on drawn ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from trainer.network import Network
from trainer.saved import model_folder
from trainer.saved.registration import PREFIX
from trainer.spec.network import NetworkSpec
from trainer.spec.serving import Serving

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

ROWS = 64


def network_of(folder: Path) -> Network:
    """Return the network of a model folder, with its weights.

    Raises:
        ModelBroken: the folder is not a model, or its tensors are not as described.
    """
    found = model_folder.read(folder)
    found.verify()
    spec = NetworkSpec.model_validate(found.description["network"])
    network = Network(spec, tuple(found.description["input"]["shape"]))
    tensors = found.tensors()
    network.load_state_dict({PREFIX + name: value for name, value in tensors.items()})
    return network


def serving_of(folder: Path) -> Serving:
    """Return what the job of a model asked of its graph."""
    return Serving.model_validate(
        model_folder.read(folder).description.get("serving") or {}
    )


def drawn_rows(network: Network) -> Tensor:
    """Return rows of the network's input, ids or normal draws: (rows, *shape)."""
    return network.drawn_rows(ROWS, torch.Generator().manual_seed(0))
