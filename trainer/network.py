"""A filled network spec as a torch module: a graph that can be cut.

Dimension words in shapes: batch, features, units, channels, height, width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer.spec.blocks import Block
from trainer.spec.network import INPUT, NetworkSpec, table
from trainer.spec.shapes import Shape


@dataclass(frozen=True)
class Cut:
    """A network divided below its first layers that learn.

    `below` never changes and is a fixed function of one example; `boundary` names
    the outputs of `below` (or the input itself) that `above` takes.
    """

    below: tuple[str, ...]
    boundary: tuple[str, ...]
    above: tuple[str, ...]


class Network(nn.Module):
    """A graph of named layers, computed in the order of the spec.

    Shapes:
        input (batch, *shape); output (batch, units).
    """

    def __init__(self, spec: NetworkSpec, shape: Shape) -> None:
        """Build the layers of a filled spec; `initialize` gives them values."""
        super().__init__()
        self.spec = spec
        self.shape = shape
        self.rows = table(spec, shape)
        self.inputs = {row.name: row.inputs for row in self.rows}
        self.layers = nn.ModuleDict(
            {
                row.name: layer.build(row.input_shape)
                for row, layer in zip(self.rows, spec.layers, strict=True)
            }
        )

    @property
    def output(self) -> str:
        """Return the name of the last layer."""
        return self.rows[-1].name

    def initialize(self, generator: torch.Generator) -> None:
        """Fill weights and biases by the layers' initialisers, in layer order.

        Vectors of a normalisation start as the identity: scale 1, shift 0.
        """
        for layer in self.spec.layers:
            if not isinstance(layer, Block):
                continue
            weights, biases = layer.initializer, layer.bias_initializer
            for name, tensor in self.layers[str(layer.name)].named_parameters():
                if "normalization" in name:
                    continue
                with torch.no_grad():
                    if name.rpartition(".")[2] == "bias" and biases is not None:
                        biases.fill(tensor, generator)
                    elif weights is not None:
                        weights.fill(tensor, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of a batch."""
        return self._run(list(self.inputs), {INPUT: x}, [self.output])[self.output]

    def cut(self, frozen: frozenset[str] | set[str]) -> Cut:
        """Divide the network below its first layers that learn.

        A layer is below if everything it takes is below and it is frozen or has no
        tensors, except that dropout of a layer that learns nothing is random.
        """
        fixed = {INPUT}
        for row in self.rows:
            inert = not row.tensors and row.kind != "dropout"
            if fixed.issuperset(row.inputs) and (row.name in frozen or inert):
                fixed.add(row.name)
        if not fixed.intersection(frozen):
            fixed = {INPUT}
        above = tuple(row.name for row in self.rows if row.name not in fixed)
        taken = {name for row in above for name in self.inputs[row]}
        if self.output in fixed:
            taken.add(self.output)
        boundary = [name for name in (INPUT, *self.inputs) if name in taken & fixed]
        below = self._needed(fixed, boundary)
        return Cut(below, tuple(boundary), above)

    def run_below(self, cut: Cut, x: Tensor) -> dict[str, Tensor]:
        """Return the boundary's values for a batch of inputs."""
        values = self._run(cut.below, {INPUT: x}, cut.boundary)
        return {name: values[name] for name in cut.boundary}

    def run_above(self, cut: Cut, values: Mapping[str, Tensor]) -> Tensor:
        """Return the outputs of a batch from the boundary's values."""
        return self._run(cut.above, dict(values), [self.output])[self.output]

    def _needed(self, fixed: set[str], boundary: Sequence[str]) -> tuple[str, ...]:
        """Return the fixed layers that the boundary depends on, in order."""
        needed = set(boundary)
        for row in reversed(self.rows):
            if row.name in needed:
                needed.update(row.inputs)
        return tuple(r.name for r in self.rows if r.name in needed & fixed)

    def _run(
        self,
        names: Sequence[str],
        values: dict[str, Tensor],
        wanted: Sequence[str],
    ) -> dict[str, Tensor]:
        """Compute layers in order; return at least the `wanted` values.

        Any other value is let go with the last layer that takes it: in evaluation
        that is the difference between one layer's outputs in memory and all of them.
        """
        last = {taken: name for name in names for taken in self.inputs[name]}
        for name in names:
            inputs = [values[taken] for taken in self.inputs[name]]
            for taken in self.inputs[name]:
                if last[taken] == name and taken not in wanted:
                    values.pop(taken, None)
            values[name] = self.layers[name](*inputs)
        return values
