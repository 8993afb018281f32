"""The layers that take the network's input, made to fit what the input holds.

Where the input names things (categories, tokens) and no layer is there to look them up,
one is put in front; where one is there, it is told how many things have names.
"""

from collections.abc import Sequence

from trainer.spec.data.features import Inputs
from trainer.spec.errors import InvalidSpec, Problem, pointer
from trainer.spec.layers import OUTPUT, Layer
from trainer.spec.layers.column_embedding import ColumnEmbedding
from trainer.spec.layers.columns import Columns
from trainer.spec.layers.embedding import Embedding
from trainer.spec.network import INPUT, NetworkSpec
from trainer.spec.resolve.columns import with_columns

FEATURES = "features"
"""The name of the layer that is put in front."""


def with_entry(network: NetworkSpec, inputs: Inputs) -> NetworkSpec:
    """Return the network with a layer that looks names up, if it needs one.

    Doing it again changes nothing.

    Raises:
        InvalidSpec: a layer for the names of one column would see those of several.
    """
    if any(isinstance(layer, Columns) for layer in network.layers):
        return with_columns(network, inputs)
    if not inputs.layout:
        return network
    first = _entries(network.layers)
    if any(_looks_up(network.layers[at], inputs) for at in first):
        layers = [
            _told(layer, inputs) if at in first else layer
            for at, layer in enumerate(network.layers)
        ]
        return network.model_copy(update={"layers": tuple(layers)})
    for at in first:
        if isinstance(network.layers[at], Embedding):
            raise InvalidSpec([_several(at, inputs)])
    name = _free_name([layer.name for layer in network.layers])
    front = ColumnEmbedding(name=name, inputs=(INPUT,), columns=inputs.layout)
    above = [_above(layer, name) for layer in network.layers]
    return network.model_copy(update={"layers": (front, *above)})


def _entries(layers: Sequence[Layer]) -> set[int]:
    """Return the positions of the layers that take the input."""
    return {
        at
        for at, layer in enumerate(layers)
        if INPUT in (layer.inputs or ()) or (at == 0 and layer.inputs is None)
    }


def _told(layer: Layer, inputs: Inputs) -> Layer:
    """Return a layer that looks names up, told what the input holds."""
    if isinstance(layer, ColumnEmbedding):
        columns = layer.columns or inputs.layout
        return layer.model_copy(update={"columns": columns})
    if isinstance(layer, Embedding) and layer.vocabulary_size is None:
        size = getattr(inputs.layout[0], "vocabulary_size", None)
        return layer.model_copy(update={"vocabulary_size": size})
    return layer


def _looks_up(layer: Layer, inputs: Inputs) -> bool:
    """Return whether a layer makes vectors of the names that the input holds."""
    alone = len(inputs.layout) == 1 and inputs.windows is None
    return isinstance(layer, ColumnEmbedding) or (
        isinstance(layer, Embedding) and alone
    )


def _several(at: int, inputs: Inputs) -> Problem:
    names = ", ".join(feature.name for feature in inputs.features[:20])
    detail = (
        f"embedding is for the tokens of one text, the features are {names}: name one "
        "text column in dataset.features, or leave the layer out, and a layer that "
        "embeds each column is put in front"
    )
    place = pointer("network", "layers", at, "kind")
    return Problem(place, "mixed_features", detail, "column_embedding")


def _above(layer: Layer, name: str) -> Layer:
    """Return a layer that takes the new one where it took the input."""
    if layer.inputs is None or INPUT not in layer.inputs:
        return layer
    inputs = tuple(name if each == INPUT else each for each in layer.inputs)
    return layer.model_copy(update={"inputs": inputs})


def _free_name(taken: Sequence[str | None]) -> str:
    """Return ``features``, or with the first number that makes it new."""
    names = (FEATURES, *(f"{FEATURES}{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken and name != OUTPUT)
