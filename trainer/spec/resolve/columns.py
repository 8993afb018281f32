"""Layers that take some columns of the input, told where these lie in a row.

Where a network has such layers it says itself which layer looks names up: none is put
in front.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

from trainer.spec.data.features import Feature, Inputs
from trainer.spec.data.layout import InputPart, Numbers, joined, names_things
from trainer.spec.errors import InvalidSpec, Problem, nearest, pointer
from trainer.spec.layers import Layer
from trainer.spec.layers.column_embedding import ColumnEmbedding
from trainer.spec.layers.columns import Columns, Run
from trainer.spec.layers.embedding import Embedding
from trainer.spec.network import INPUT, NetworkSpec, names_given

Layout = tuple[InputPart, ...]


def with_columns(network: NetworkSpec, inputs: Inputs) -> NetworkSpec:
    """Return the network with every such layer, and those above, told what they see.

    Doing it again changes nothing.

    Raises:
        InvalidSpec: a column is not there, or its names are looked up nowhere.
    """
    problems: list[Problem] = []
    layouts: dict[str, Layout] = {INPUT: inputs.layout}
    layers: list[Layer] = []
    before = INPUT
    for at, layer in enumerate(names_given(network.layers)):
        taken = layer.inputs or (before,)
        if isinstance(layer, Columns) and taken == (INPUT,):
            placed, wrong = _placed(layer, at, inputs)
            layouts[str(layer.name)] = _layout(placed, inputs.features)
            layers.append(placed)
        else:
            seen = [layouts[each] for each in taken if each in layouts]
            told, wrong = _looking_up(layer, at, seen)
            layers.append(told)
        problems += wrong
        before = str(layer.name)
    if problems:
        raise InvalidSpec(problems)
    return network.model_copy(update={"layers": tuple(layers)})


def _placed(layer: Columns, at: int, inputs: Inputs) -> tuple[Columns, list[Problem]]:
    """Return the layer with the places of its columns in a row."""
    place = ("network", "layers", at, "columns")
    widths = [feature.width for feature in inputs.features]
    if not inputs.table or sum(widths) != inputs.shape[-1]:
        detail = (
            "columns are those of a table whose encodings are this job's own; the "
            f"input is {inputs.kind} of shape {list(inputs.shape)}"
        )
        return layer, [Problem(pointer(*place), "wrong_input", detail)]
    known = [feature.name for feature in inputs.features]
    missing = [
        Problem(
            pointer(*place, number),
            "unknown_column",
            f"{name!r} is not among the features; there are {', '.join(known[:20])}",
            nearest(name, known),
        )
        for number, name in enumerate(layer.columns)
        if name not in known
    ]
    if missing:
        return layer, missing
    runs = tuple(_runs(layer.columns, inputs.features))
    return layer.model_copy(update={"inputs": (INPUT,), "runs": runs}), []


def _runs(columns: Sequence[str], features: Sequence[Feature]) -> Iterator[Run]:
    """Yield where the columns lie, neighbours as one run."""
    ends = list(accumulate(feature.width for feature in features))
    open_run: Run | None = None
    for feature, stop in zip(features, ends, strict=True):
        if feature.name not in columns:
            continue
        start = stop - feature.width
        if open_run is not None and open_run[1] == start:
            open_run = (open_run[0], stop)
            continue
        if open_run is not None:
            yield open_run
        open_run = (start, stop)
    if open_run is not None:
        yield open_run


def _layout(layer: Columns, features: Sequence[Feature]) -> Layout:
    """Return what the numbers that come out are."""
    return joined([f.part for f in features if f.part and f.name in layer.columns])


def _looking_up(
    layer: Layer, at: int, seen: Sequence[Layout]
) -> tuple[Layer, list[Problem]]:
    """Return a layer told which names it sees, if it sees any."""
    named = [layout for layout in seen if layout]
    if not named:
        return layer, []
    layout = named[0]
    if isinstance(layer, ColumnEmbedding):
        return layer.model_copy(update={"columns": layer.columns or layout}), []
    if not names_things(layout):
        return layer, []
    first, *others = layout
    if isinstance(layer, Embedding) and not (others or isinstance(first, Numbers)):
        size = layer.vocabulary_size or first.vocabulary_size
        return layer.model_copy(update={"vocabulary_size": size}), []
    names = [str(getattr(part, "column", "")) for part in layout]
    detail = (
        f"{', '.join(filter(None, names))} would come as numbers of entries, which "
        f"{layer.kind} cannot look up: take it with a layer 'columns' of its own, with "
        "an embedding (one text) or a column_embedding above"
    )
    place = pointer("network", "layers", at, "inputs")
    return layer, [Problem(place, "mixed_features", detail, "column_embedding")]
