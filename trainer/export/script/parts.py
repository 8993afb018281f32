"""A layer as modules of torch where it has them, else as our own class, copied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from trainer.export.errors import CannotExport
from trainer.export.script.expressions import Called, called, literal
from trainer.export.script.texts import COLUMN_EMBEDDING
from trainer.modules.column_embedding import ColumnEmbedding
from trainer.modules.convolution import Conv2d
from trainer.modules.dense import Dense
from trainer.modules.pooling import AveragePool2d, MaxPool2d
from trainer.spec.data.layout import Category, Numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.export.script.construction import Constructions
    from trainer.export.script.sources import Sources
    from trainer.modules.tail import Tailed


@dataclass(frozen=True)
class WrittenLayer:
    """What a layer is in the script."""

    expression: Any
    renamed: dict[str, str] = field(default_factory=dict)
    """Tensors that lie deeper in the script: name in our layer → name there."""
    weights: str = ""
    """Where in it the module lies that has the layer's own weights, with a dot."""


class LayerTexts:
    """Writes layers as expressions, and gathers the sources that those need."""

    def __init__(self, constructions: Constructions, sources: Sources) -> None:
        self._made, self._sources = constructions, sources

    def of(self, layer: nn.Module, axes: int) -> WrittenLayer:
        """Return what makes a layer that is given examples of so many axes."""
        native = NATIVE.get(type(layer))
        found = None if native is None else native(self, layer, axes)
        return found or WrittenLayer(self.said(layer))

    def said(self, value: Any) -> Any:
        """Return the expression that makes a value or a module once more.

        Raises:
            CannotExport: nothing is known of how it was made.
        """
        made = self._made.get(id(value))
        if made is None:
            if isinstance(value, tuple | list) and any(map(self._is_made, value)):
                inner = [self.said(each) for each in value]
                return called("", *inner, *([""] if len(inner) == 1 else []))
            if isinstance(value, nn.Module):
                kind = type(value).__name__
                raise CannotExport("a script", kind, "how it was made is not known")
            return literal(value)
        unnamed = [("", self.said(each)) for each in made.arguments]
        named = [(name, self.said(each)) for name, each in made.named.items()]
        return Called(self._name(type(value)), (*unnamed, *named))

    def tailed(self, layer: Tailed, first: dict[str, Any]) -> WrittenLayer:
        """Return the parts of a layer in a row: its own, then its tail."""
        own = next(reversed(first))
        steps = dict(first)
        tail = {"normalization": layer.normalization, "activation": layer.activation}
        for name in reversed(tail) if layer.activates_first else tail:
            module = tail[name]
            if module is not None and type(module) is not nn.Identity:
                steps[name] = self.said(module)
        if layer.drop is not None:
            steps["dropout"] = called("nn.Dropout", literal(layer.drop.p))
        if len(steps) == 1:
            return WrittenLayer(first[own])
        self._sources.need("collections", "OrderedDict")
        renamed = {name: f"{own}.{name}" for name in ("weight", "bias")}
        row = Called("OrderedDict", tuple(steps.items()))
        return WrittenLayer(called("nn.Sequential", row), renamed, f".{own}")

    def copy(self, kind: type) -> str:
        """Have a class of ours copied; return its name."""
        return self._sources.take(kind)

    def write_out(self, name: str, text: str, *imports: tuple[str, str]) -> str:
        """Have a class written that has no twin of ours; return its name."""
        self._sources.texts[name] = text
        for module, wanted in imports:
            self._sources.need(module, wanted)
        return name

    def _is_made(self, value: Any) -> bool:
        return id(value) in self._made

    def _name(self, kind: type) -> str:
        if kind.__module__.startswith("torch."):
            return f"nn.{kind.__name__}"
        return self._sources.take(kind)


def _dense(parts: LayerTexts, layer: Any, axes: int) -> WrittenLayer:
    units, features = layer.weight.shape
    bias = {} if layer.bias is not None else {"bias": "False"}
    first = {} if axes == 1 else {"flatten": called("nn.Flatten")}
    first["linear"] = called("nn.Linear", str(features), str(units), **bias)
    return parts.tailed(layer, first)


def _conv2d(parts: LayerTexts, layer: Any, _: int) -> WrittenLayer:
    filters, channels, *kernel = layer.weight.shape
    stated = {
        "stride": (layer.stride, (1, 1)),
        "padding": (layer.padding, (0, 0)),
        "dilation": (layer.dilation, (1, 1)),
    }
    options = {
        name: _square(value)
        for name, (value, usual) in stated.items()
        if value != usual
    }
    if layer.groups > 1:
        options["groups"] = str(layer.groups)
    if layer.bias is None:
        options["bias"] = "False"
    first = {}
    if layer.border is not None:
        amounts = literal(tuple(layer.border.amounts))
        first["padding"] = called("nn.ZeroPad2d", amounts)
    taken = (str(channels * layer.groups), str(filters), _square(tuple(kernel)))
    first["convolution"] = called("nn.Conv2d", *taken, **options)
    return parts.tailed(layer, first)


def _pool2d(name: str) -> Callable[[LayerTexts, Any, int], WrittenLayer | None]:
    def native(_: LayerTexts, layer: Any, __: int) -> WrittenLayer | None:
        if layer.border is not None and any(layer.border.amounts):
            return None
        size, stride = _square(layer.size), _square(layer.stride)
        options = {} if size == stride else {"stride": stride}
        return WrittenLayer(called(f"nn.{name}", size, **options))

    return native


def _column_embedding(parts: LayerTexts, layer: Any, _: int) -> WrittenLayer:
    """Write the parts of a row as tuples, for a class that needs no spec."""
    told = []
    for part in layer.parts:
        if isinstance(part, Numbers):
            told.append(("numbers", part.width, 0, 0))
            continue
        kind = "name" if isinstance(part, Category) else "text"
        told.append((kind, part.width, part.vocabulary_size, part.dimension))
    name = parts.write_out(
        "ColumnEmbedding", COLUMN_EMBEDDING, ("torch.nn.functional", "embedding")
    )
    return WrittenLayer(called(name, called("", *(literal(each) for each in told), "")))


def _square(size: tuple[int, ...]) -> str:
    """Return one number where both are the same."""
    return str(size[0]) if len(set(size)) == 1 else literal(tuple(size))


NATIVE: dict[type, Callable[[LayerTexts, Any, int], WrittenLayer | None]] = {
    Dense: _dense,
    Conv2d: _conv2d,
    MaxPool2d: _pool2d("MaxPool2d"),
    AveragePool2d: _pool2d("AvgPool2d"),
    ColumnEmbedding: _column_embedding,
}
"""Layers that are written in torch's own words, where those can say them."""
