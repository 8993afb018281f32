"""A network being drawn layer by layer, by whichever reader has a graph to follow."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from trainer.importing.errors import damaged, unknown_node
from trainer.importing.naming import unique
from trainer.spec.layers import Layer
from trainer.spec.layers.blocks import Block
from trainer.spec.network import INPUT
from trainer.spec.shapes import Impossible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trainer.importing.found import Array
    from trainer.spec.shapes import Shape

LAYER: TypeAdapter[Any] = TypeAdapter(Layer)
BARE = {"activation": "none", "normalization": "none", "dropout": 0.0}
"""What a layer with weights says so that nothing follows them."""
ENDINGS = ("softmax", "sigmoid")


class Sketch:
    """Layers in our own words, each checked as it is added."""

    def __init__(self, shape: Shape) -> None:
        """Begin with the input of one example."""
        self.shapes: dict[str, Shape] = {INPUT: shape}
        self.layers: list[dict[str, Any]] = []
        self.tensors: dict[str, Array] = {}
        self.origins: dict[str, tuple[str | None, tuple[int, ...] | None]] = {}

    def add(
        self,
        kind: str,
        name: str,
        inputs: Sequence[str],
        fields: Mapping[str, Any] | None = None,
        tensors: Mapping[str, tuple[Array, str]] | None = None,
    ) -> str:
        """Add a layer; return the name it has here.

        `name` is what the source calls it; `tensors` holds, by the name that the layer
        here has for it, an array in our layout and its name in the source.

        Raises:
            NotImportable: the layer or its tensors are impossible.
        """
        ours = unique(name, self.shapes)
        spec = {"kind": kind, "name": ours, "inputs": list(inputs), **(fields or {})}
        given = [self.shapes[i] for i in inputs]
        try:
            layer = LAYER.validate_python(spec)
            if isinstance(layer, Block):
                spec = {**BARE, **spec, "bias": "bias" in (tensors or {})}
                layer = LAYER.validate_python(spec)
            self.shapes[ours] = layer.output_shape(given)
            expected = layer.tensors(given)
        except (Impossible, ValidationError) as error:
            detail = getattr(error, "detail", "") or str(error).splitlines()[-2].strip()
            raise unknown_node(kind, name, f"cannot be here: {detail}") from error
        self.layers.append(spec)
        for local, (array, source) in (tensors or {}).items():
            if local not in expected or array.shape != expected[local].shape:
                wanted = expected[local].shape if local in expected else None
                raise damaged(
                    f"the tensor {source!r}", f"{array.shape} where {wanted} is needed"
                )
            self.tensors[f"{ours}.{local}"] = array
            self.origins[f"{ours}.{local}"] = (source, array.shape)
        for local, tensor in expected.items():
            if f"{ours}.{local}" not in self.tensors:
                self.tensors[f"{ours}.{local}"] = _convention(local, tensor.shape)
                self.origins[f"{ours}.{local}"] = (None, None)
        return ours

    def shape(self, name: str) -> Shape:
        """Return the shape of what comes out of a layer, for one example."""
        return self.shapes[name]

    def padded(
        self,
        name: str,
        source: str,
        pads: tuple[int, int, int, int],
        same: tuple[tuple[int, int], tuple[int, int]],
    ) -> tuple[str, str]:
        """Return what a window slides over, and with which `padding`.

        `pads` is (top, bottom, left, right) as the source says, `same` what padding
        ``same`` would add; where they differ a layer of zeros is put before.
        """
        if not any(pads):
            return source, "valid"
        if pads == (*same[0], *same[1]):
            return source, "same"
        border = [[pads[0], pads[1]], [pads[2], pads[3]]]
        fields = {"padding": border}
        return self.add("zero_padding2d", f"{name}_padding", [source], fields), "valid"

    def merged(self, kind: str, name: str, sources: Sequence[str]) -> str:
        """Add a merge; one number per channel is first given at every pixel.

        So a gate (channels, 1, 1) meets the image that it is for, as in squeeze and
        excitation (Hu et al., 2018).
        """
        shapes = [self.shapes[source] for source in sources]
        whole = max(shapes, key=lambda shape: prod(shape[1:]))
        spread = []
        for number, (source, shape) in enumerate(zip(sources, shapes, strict=True)):
            if shape != whole and len(whole) == 3 and shape == (whole[0], 1, 1):
                fields = {"size": list(whole[1:])}
                title = f"{name}_spread_{number}"
                spread.append(self.add("upsampling2d", title, [source], fields))
            else:
                spread.append(source)
        return self.add(kind, name, spread)

    def batch_normalization(
        self,
        name: str,
        source: str,
        vectors: Mapping[str, tuple[Array, str]],
        epsilon: float,
        momentum: float = 0.9,
    ) -> str:
        """Add a batch normalisation."""
        fields = {"epsilon": epsilon, "momentum": min(max(momentum, 0.0), 0.999999)}
        return self.add("batch_normalization", name, [source], fields, vectors)

    def finish(self, last_name: str, *, keeps_ending: bool) -> str | None:
        """End the network with a layer; return the softmax or sigmoid taken off it.

        What the layer does not need goes, weights take in what follows them, and the
        last layer is called as the last layer is called here.
        """
        self._keep(last_name)
        ending = None if keeps_ending else self._ending()
        self._join_all()
        last = self.layers[-1]
        old, last["name"] = last["name"], "output"
        for table in (self.tensors, self.origins):
            for name in [n for n in table if n.partition(".")[0] == old]:
                table["output." + name.partition(".")[2]] = table.pop(name)  # type: ignore[assignment]
        return ending

    def _keep(self, last: str) -> None:
        """Drop every layer that the last one does not need, and what follows it."""
        needed = {last}
        for layer in reversed(self.layers):
            if layer["name"] in needed:
                needed.update(layer["inputs"])
        self.layers = [layer for layer in self.layers if layer["name"] in needed]
        for name in list(self.tensors):
            if name.partition(".")[0] not in needed:
                del self.tensors[name], self.origins[name]

    def _ending(self) -> str | None:
        """Take a softmax or sigmoid off the end; return which it was."""
        last = self.layers[-1]
        kind = last.get("activation")
        kind = kind["kind"] if isinstance(kind, dict) else kind
        if last["kind"] != "activation" or kind not in ENDINGS or len(self.layers) < 2:
            return None
        before = last["inputs"][0]
        if len(self.shapes[before]) > 1:  # no vector of classes or labels
            return None
        users = [other for other in self.layers if before in other["inputs"]]
        if len(users) > 1 or before == INPUT:
            return None
        self.layers.pop()
        return str(kind)

    def _join_all(self) -> None:
        """Make one layer of weights and the normalisation and activation behind them.

        Only where nothing else takes what lies between; the layer with the weights
        keeps its name, so its normalisation is reused and frozen with it.
        """
        for layer in list(self.layers):
            while follower := self._follower(layer):
                if not self._join(layer, follower):
                    break

    def _follower(self, layer: dict[str, Any]) -> dict[str, Any] | None:
        users = [other for other in self.layers if layer["name"] in other["inputs"]]
        return users[0] if len(users) == 1 and len(users[0]["inputs"]) == 1 else None

    def _join(self, layer: dict[str, Any], follower: dict[str, Any]) -> bool:
        """Take a follower into a layer; False if it must stay a layer of its own."""
        if "activation" not in layer or layer["kind"] == "activation":
            return False
        normalised = layer["normalization"] != "none"
        if follower["kind"] == "activation" and layer["activation"] == "none":
            layer["activation"] = follower["activation"]
            self._absorb(layer, follower, "activation")
        elif follower["kind"] == "batch_normalization" and not normalised:
            active = layer["activation"] != "none"
            layer["normalization"] = {
                "kind": "batch",
                "epsilon": follower["epsilon"],
                "momentum": follower["momentum"],
            }
            if active:
                layer["normalization_position"] = "after_activation"
            self._absorb(layer, follower, "normalization")
        else:
            return False
        return True

    def _absorb(
        self, layer: dict[str, Any], follower: dict[str, Any], part: str
    ) -> None:
        """Move a follower's tensors into a layer, and its users to that layer."""
        name, old = layer["name"], follower["name"]
        for table in (self.tensors, self.origins):
            for tensor in [n for n in table if n.partition(".")[0] == old]:
                local = tensor.partition(".")[2]
                table[f"{name}.{part}.{local}"] = table.pop(tensor)  # type: ignore[assignment]
        for other in self.layers:
            other["inputs"] = [name if i == old else i for i in other["inputs"]]
        self.layers.remove(follower)


def _convention(name: str, shape: tuple[int, ...]) -> Array:
    """Return what a tensor is that a source leaves out: no scale, no shift."""
    if name.rpartition(".")[2] == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    one = name.rpartition(".")[2] in {"weight", "running_var"}
    return np.full(shape, 1.0 if one else 0.0, np.float32)


def same_border(
    sizes: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return what padding ``same`` adds: (top, bottom), (left, right).

    So that ceil(size / stride) positions come out; the odd one comes after.
    """
    found = []
    for size, k, s, d in zip(sizes, kernel, stride, dilation, strict=True):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        found.append((total // 2, total - total // 2))
    return found[0], found[1]
