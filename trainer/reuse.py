"""Weights of earlier models in a new network, by the match table.

Which layers fit is worked out without torch in `trainer.spec.reuse`; here they are
loaded, checked against what their model says of them, and adapted where asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from trainer.adapting import Flow, overlap
from trainer.errors import ModelBroken, ReuseMismatch
from trainer.saved import model_folder
from trainer.saved.model_folder import ModelFolder, tensor_sha256
from trainer.spec.reuse import Source, named_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from trainer.adapting import Parts
    from trainer.network import Network
    from trainer.spec.reuse import Match


@dataclass(frozen=True)
class Loaded:
    """What became of a network's layers when its sources were loaded."""

    reused: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]
    frozen: tuple[str, ...]
    before: dict[str, str]
    """SHA-256 of every tensor of the reused layers as the source's file holds it; of
    an adapted one as it was when slicing and padding were done."""


def source_of(folder: Path, identity: str) -> Source:
    """Return what the match table must know of the model in a folder."""
    description = model_folder.read(folder).description
    layers = description["layers"]
    preprocessing = description["preprocessing"]
    return Source(
        id=identity,
        name=str(description.get("name", identity)),
        version=int(description.get("version", 0)),
        order=tuple(layer["name"] for layer in layers),
        shapes={
            layer["name"]: {
                tensor["name"].partition(".")[2]: tuple(tensor["shape"])
                for tensor in layer["tensors"]
            }
            for layer in layers
        },
        classes=tuple(description.get("classes") or ()),
        input_shape=tuple(preprocessing.get("shape", ())),
        columns=tuple(
            (column["name"], column["kind"])
            for column in preprocessing.get("columns", ())
        ),
        network=description.get("network") or {},
        **named_inputs(preprocessing),
    )


def load(network: Network, matches: Sequence[Match], folders: Sequence[Path]) -> Loaded:
    """Put the matched layers of the sources into an initialised network.

    `folders` holds one model folder per reuse entry. What the sources do not give
    keeps its fresh initialisation: new layers, and the new units of adapted ones.

    Raises:
        ModelBroken: a source's file is not what its description says.
        ReuseMismatch: a tensor does not fit, though the match table says it does.
    """
    reused = [match for match in matches if match.state == "reused"]
    before: dict[str, str] = {}
    for entry, folder in enumerate(folders):
        source = model_folder.read(folder)
        for match in reused:
            if match.entry == entry:
                hashes = _load_layer(network, match, source)
                before |= hashes
    return Loaded(
        reused=tuple(match.layer for match in reused),
        new=tuple(match.layer for match in matches if match.state == "new"),
        dropped=tuple(match.layer for match in matches if match.state == "dropped"),
        frozen=tuple(match.layer for match in reused if match.frozen),
        before=before,
    )


def _load_layer(network: Network, match: Match, source: ModelFolder) -> dict[str, str]:
    """Copy one layer's tensors; return the SHA-256 of each as it was loaded."""
    ours = network.layers[match.layer].state_dict()
    theirs_name = match.source_layer or match.layer
    stated = {
        tensor["name"]: tensor["sha256"]
        for layer in source.description["layers"]
        if layer["name"] == theirs_name
        for tensor in layer["tensors"]
    }
    (row,) = (row for row in network.rows if row.name == match.layer)
    names = {f"{theirs_name}.{name}": name for name in ours}
    hashes: dict[str, str] = {}
    for name, theirs in source.tensors(list(names)).items():
        own = names[name]
        as_ours = f"{match.layer}.{own}"
        hashes[as_ours] = tensor_sha256(theirs)
        if hashes[as_ours] != stated.get(name):
            why = f"tensor {name!r} is not as described"
            raise ModelBroken(source.folder, why)
        target = ours[own]
        _check(name, target, theirs, match)
        with torch.no_grad():
            if match.adapted:
                vector = row.kind == "batch_normalization"
                flat = vector or (row.kind == "dense" and own == "weight")
                parts = _parts(network, match, source) if flat else None
                overlap(name, target, theirs, row.tensors[own].stacked, parts)
                hashes[as_ours] = tensor_sha256(target)
            else:
                target.copy_(theirs)
    return hashes


def _parts(
    network: Network, match: Match, source: ModelFolder
) -> tuple[Parts, Parts] | None:
    """Return what a layer's flat input is made of, here and there."""
    there = Flow.theirs(source)
    if there is None:
        return None
    theirs = there.parts(match.source_layer or match.layer)
    return Flow.ours(network).parts(match.layer), theirs


def _check(name: str, target: Tensor, theirs: Tensor, match: Match) -> None:
    """Refuse what would be broadcast or rounded on its way into the network."""
    alike = len(target.shape) == len(theirs.shape)
    if not alike or (not match.adapted and target.shape != theirs.shape):
        raise ReuseMismatch(
            name, f"it is {list(theirs.shape)} there and {list(target.shape)} here"
        )
    if target.dtype != theirs.dtype:
        raise ReuseMismatch(name, f"it is {theirs.dtype} there, {target.dtype} here")
