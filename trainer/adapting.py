"""Slicing and padding of a layer's tensors, where another network has other sizes.

What two tensors have in common is copied; the rest of ours keeps its fresh values. Two
kinds of axis are made of parts, and each part is adapted by itself: the stacked gates
of a recurrent layer, and the columns of a dense layer that a flattened image or joined
branches come to. Cut blindly, a column would meet another channel's pixel.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from trainer.errors import ReuseMismatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from trainer.network import Network
    from trainer.saved.model_folder import ModelFolder
    from trainer.spec.shapes import Shape

    Parts = list[Shape]
    """Shapes of the things that lie one behind the other in a flat input."""

INPUT = "input"
KEEPING = frozenset(
    {
        "activation",
        "dropout",
        "alpha_dropout",
        "gaussian_dropout",
        "gaussian_noise",
        "batch_normalization",
    }
)
"""Layers that leave every number in its place."""


class Flow:
    """What flows into the layers of a network: its own or that of a source."""

    def __init__(
        self,
        layers: Mapping[str, tuple[str, Sequence[str], Shape]],
        shape: Shape,
    ) -> None:
        """Take kind, inputs and output shape of each layer, by name."""
        self.layers, self.shape = layers, shape

    @classmethod
    def ours(cls, network: Network) -> Flow:
        """Return the graph of a network."""
        layers = {r.name: (r.kind, r.inputs, r.output_shape) for r in network.rows}
        return cls(layers, network.shape)

    @classmethod
    def theirs(cls, source: ModelFolder) -> Flow | None:
        """Return the graph of a catalogued model, if it says enough of itself."""
        described: Mapping[str, Any] = source.description
        try:
            layers = {
                each["name"]: (
                    each["kind"],
                    tuple(each["inputs"]),
                    tuple(each["output_shape"]),
                )
                for each in described["layers"]
            }
            return cls(layers, tuple(described["preprocessing"]["shape"]))
        except KeyError:
            return None

    def parts(self, layer: str) -> Parts:
        """Return what lies one behind the other in a layer's flat input."""
        _, inputs, _ = self.layers[layer]
        return self._given(inputs[0]) if len(inputs) == 1 else []

    def _given(self, name: str) -> Parts:
        """Return the parts of what a layer gives."""
        if name == INPUT or name not in self.layers:
            return [self.shape]
        kind, inputs, shape = self.layers[name]
        if kind in KEEPING or kind == "flatten":
            return self._given(inputs[0])
        if kind == "concatenate" and len(shape) == 1:
            return [part for each in inputs for part in self._given(each)]
        return [shape]


def overlap(
    name: str,
    ours: Tensor,
    theirs: Tensor,
    stacked: int,
    parts: tuple[Parts, Parts] | None = None,
) -> None:
    """Copy what two tensors have in common into ours, in place.

    `stacked` parts lie along the first axis; `parts` are those of the last axis, here
    and there.

    Raises: ReuseMismatch.
    """
    if stacked > 1 and theirs.shape[0] % stacked:
        raise ReuseMismatch(
            name, f"{theirs.shape[0]} rows there are not {stacked} gates of equal size"
        )
    if stacked > 1:
        ours, theirs = (
            each.view(stacked, -1, *each.shape[1:]) for each in (ours, theirs)
        )
    if parts is None or not _describe(ours, theirs, parts):
        _copy(ours, theirs)
        return
    here = there = 0
    for own, other in zip(*parts, strict=True):
        left = ours[..., here : here + prod(own)]
        right = theirs[..., there : there + prod(other)]
        _copy(left.view(*left.shape[:-1], *own), right.view(*right.shape[:-1], *other))
        here, there = here + prod(own), there + prod(other)


def _describe(ours: Tensor, theirs: Tensor, parts: tuple[Parts, Parts]) -> bool:
    """Return whether the parts are those of the last axis and alike in their axes."""
    own, other = parts
    return (
        ours.ndim > 0
        and sum(map(prod, own)) == ours.shape[-1]
        and sum(map(prod, other)) == theirs.shape[-1]
        and [len(shape) for shape in own] == [len(shape) for shape in other]
    )


def _copy(ours: Tensor, theirs: Tensor) -> None:
    common = tuple(map(slice, map(min, ours.shape, theirs.shape)))
    ours[common].copy_(theirs[common])
