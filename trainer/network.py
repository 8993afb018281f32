"""A filled network spec as a torch module: a graph that can be cut.

Dimension words in shapes: batch, features, units, channels, height, width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainer.modules.masking import masks_of
from trainer.spec.layers.blocks import Step
from trainer.spec.network import INPUT, Lender, NetworkSpec, Row, bound, table
from trainer.spec.shapes import Shape, TensorShape

if TYPE_CHECKING:
    from trainer.spec.masks import Mask


@dataclass(frozen=True)
class Described:
    """One parameter of a network, and what its layer says of it."""

    layer: str
    name: str
    """Its name within the layer."""
    parameter: nn.Parameter
    shape: TensorShape
    """Its role, and which axis counts its units."""

    @property
    def weighs(self) -> bool:
        """Return whether it is a weight: no bias and no vector of a normalisation."""
        return self.shape.role == "weight"


class LayerDict(nn.ModuleDict):
    """Layers under any name: torch's own refuses `train`, `keys` and the like."""

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Keep a layer under its name."""
        assert module is not None
        self._modules[name] = module

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, bool):  # the mode, even if a layer is called `training`
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)


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
        self.masks = {row.name: row.masks for row in self.rows if row.masks}
        self.needs = {row.name: (*row.inputs, *_sources(row)) for row in self.rows}
        """What must be known before a layer: its inputs, and where their padding is
        told."""
        self.draws = {str(layer.name): layer.draws() for layer in spec.layers}
        self.lenders = {row.name: row.lender for row in self.rows if row.lender}
        """Whose tensors a layer uses beside its own."""
        self.target: str | None = None
        """The layer whose output is learned from, if one is: every cut above it has
        that output at its boundary."""
        self.layers = LayerDict(_built(spec.layers, self.rows))

    def drawn_rows(self, rows: int, generator: torch.Generator) -> Tensor:
        """Return rows of input: ids where an embedding takes them, else normal draws.

        Shapes:
            (rows, *shape), float32.
        """
        layers = zip(self.rows, self.spec.layers, strict=True)
        for row, layer in layers:
            size = getattr(layer, "vocabulary_size", None)
            if INPUT in row.inputs and size is not None:
                of = (rows, *self.shape)
                return torch.randint(size, of, generator=generator).float()
        return torch.randn(rows, *self.shape, generator=generator)

    @property
    def output(self) -> str:
        """Return the name of the last layer."""
        return self.rows[-1].name

    def initialize(self, generator: torch.Generator) -> None:
        """Fill weights and biases by the layers' initialisers, in layer order.

        Other tensors keep what their modules made them with: a normalisation starts as
        the identity.
        """
        layers = {str(layer.name): layer for layer in self.spec.layers}
        for each in self.described():
            with torch.no_grad():
                layers[each.layer].fill(
                    each.name, each.shape, each.parameter, generator
                )

    def described(self) -> Iterator[Described]:
        """Yield every parameter with what its layer says of it, in layer order.

        Whatever treats weights and other tensors differently (penalties, limits, decay,
        pruning) asks here: the number of axes tells nothing.
        """
        for row in self.rows:
            for name, parameter in self.layers[row.name].named_parameters():
                yield Described(row.name, name, parameter, row.tensors[name])

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of a batch."""
        return self._run(list(self.inputs), {INPUT: x}, [self.output])[self.output]

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Return what every layer gives for a batch of inputs, in order."""
        names = list(self.inputs)
        found = self._run(names, {INPUT: x}, names)
        return {name: found[name] for name in names}

    def cut(self, frozen: frozenset[str] | set[str]) -> Cut:
        """Divide the network below its first layers that learn.

        A layer is below if everything it takes is below and it is frozen or has no
        tensors, except that dropout of a layer that learns nothing is random. A layer
        that uses another's tensors changes unless that is frozen too.
        """
        fixed = {INPUT}
        for row in self.rows:
            inert = not row.tensors and not self.draws[row.name]
            if row.lender is not None and row.lender not in frozen:
                continue
            if fixed.issuperset(self.needs[row.name]) and (row.name in frozen or inert):
                fixed.add(row.name)
        if not fixed.intersection(frozen):
            fixed = {INPUT}
        above = tuple(row.name for row in self.rows if row.name not in fixed)
        taken = {name for row in above for name in self.needs[row]}
        taken.update(fixed.intersection([self.output, self.target]))
        boundary = [name for name in (INPUT, *self.inputs) if name in taken & fixed]
        below = self._needed(fixed, boundary)
        return Cut(below, tuple(boundary), above)

    def cut_at(self, name: str) -> Cut:
        """Divide the network right above one layer, whatever learns."""
        below = self._needed(set(self.inputs), [name])
        return Cut(below, (name,), ())

    def run_below(self, cut: Cut, x: Tensor) -> dict[str, Tensor]:
        """Return the boundary's values for a batch of inputs."""
        values = self._run(cut.below, {INPUT: x}, cut.boundary)
        return {name: values[name] for name in cut.boundary}

    def run_between(
        self, names: Sequence[str], values: Mapping[str, Tensor], wanted: Sequence[str]
    ) -> dict[str, Tensor]:
        """Run some layers in order; return at least those `wanted` that are known."""
        return self._run(names, dict(values), wanted)

    def run_above(self, cut: Cut, values: Mapping[str, Tensor]) -> Tensor:
        """Return the outputs of a batch from the boundary's values."""
        return self._run(cut.above, dict(values), [self.output])[self.output]

    def _needed(self, fixed: set[str], boundary: Sequence[str]) -> tuple[str, ...]:
        """Return the fixed layers that the boundary depends on, in order."""
        needed = set(boundary)
        for row in reversed(self.rows):
            if row.name in needed:
                needed.update(self.needs[row.name])
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
        last = {taken: name for name in names for taken in self.needs[name]}
        known: dict[Mask, Tensor] = {}
        for name in names:
            inputs = [values[taken] for taken in self.inputs[name]]
            masks = self.masks.get(name)
            words: dict[str, Any] = {}
            if masks:
                words["masks"] = masks_of(masks, values, known)
            if name in self.lenders:
                words["lender"] = self.layers[self.lenders[name]]
            for taken in self.needs[name]:
                if last[taken] == name and taken not in wanted:
                    values.pop(taken, None)
            values[name] = self.layers[name](*inputs, **words)
        return values


def _built(layers: Sequence[Step], rows: Sequence[Row]) -> dict[str, nn.Module]:
    """Return the module of each layer of a filled network."""
    lenders: dict[str, Lender] = {}
    found = {}
    for row, layer in zip(rows, layers, strict=True):
        whole = bound(layer, lenders)
        found[row.name] = whole.build(row.input_shape)
        lenders[row.name] = whole, row.input_shape
    return found


def _sources(row: Row) -> tuple[str, ...]:
    """Return the layers whose ids tell which steps of a layer's inputs are real."""
    found = {source for mask in row.masks if mask for source in mask.sources}
    return tuple(sorted(found.difference(row.inputs)))
