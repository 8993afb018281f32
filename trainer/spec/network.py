"""A network as a graph of layers, and the table of what flows through it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from trainer.spec.base import Spec, variants
from trainer.spec.errors import InvalidSpec, Problem, nearest, pointer
from trainer.spec.layers import OUTPUT, Dense, Layer
from trainer.spec.layers.blocks import Block, Defaults, Step
from trainer.spec.masks import Mask
from trainer.spec.shapes import Impossible, Shape, TensorShape

MERGES = frozenset(
    str(member.model_fields["kind"].default)
    for member in variants(Layer)
    if issubclass(member, Step) and member.takes[0] > 1
)
"""The layers that need several inputs."""

INPUT = "input"
"""The name that ``inputs`` uses for what the network is given."""

Lender = tuple[Step, Sequence[Shape]]
"""A layer whose tensors another one uses, and the shapes that it takes itself."""


class NetworkSpec(Spec):
    """The layers between the input and the output, in the order they are computed."""

    model_config = ConfigDict(populate_by_name=True)

    from_: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, alias="from"
    )
    """A catalogued model whose layers below its output stand below `layers`; the
    resolved spec writes them out. Their values come by ``reuse``, as always."""
    drop_top: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How many of that model's upper layers with weights are left out, its output not
    counted, with all that lies above them."""
    defaults: Defaults = Defaults()
    """What layers use where they say nothing."""
    layers: tuple[Layer, ...] = Field(max_length=100_000)
    """The layers; an empty list is a linear model. A last layer named ``output`` may
    be written out; else it follows from the task."""

    @model_validator(mode="before")
    @classmethod
    def _none_of_its_own(cls, value: Any) -> Any:
        """Let the layers of a model stand alone."""
        if isinstance(value, Mapping) and value.get("from") is not None:
            return {"layers": (), **value}
        return value


@dataclass(frozen=True)
class Row:
    """One line of the layer table."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    input_shape: tuple[Shape, ...]
    output_shape: Shape
    tensors: dict[str, TensorShape]
    activations: int
    """Numbers per example that training keeps for the backward pass."""
    flops: int = 0
    """Multiplications and additions of one example's forward pass."""
    masks: tuple[Mask | None, ...] = ()
    """Which steps of its inputs are real, if the layer asks and any has padding."""
    mask: Mask | None = None
    """Which steps that come out are real; None: all, or there are none."""
    lender: str | None = None
    """The layer whose tensors it uses beside its own, if there is one."""

    @property
    def parameters(self) -> int:
        """Return how many numbers of the layer learn."""
        return sum(t.elements for t in self.tensors.values() if t.learns)


def filled(network: NetworkSpec, units: int | None) -> NetworkSpec:
    """Return the network with names, inputs, defaults and its output layer written out.

    `units` is what the task needs of the output layer; None keeps what is written.
    """
    named = names_given(network.layers)
    if not named or named[-1].name != OUTPUT:
        named = (*named, Dense(name=OUTPUT))
    last = named[-1]
    if isinstance(last, Dense) and units is not None:
        if last.units not in (None, units):
            raise InvalidSpec(
                [
                    Problem(
                        pointer("network", "layers", len(named) - 1, "units"),
                        "wrong_units",
                        f"the output needs {units} units for this target, "
                        f"not {last.units}",
                        str(units),
                    )
                ]
            )
        named = (*named[:-1], last.model_copy(update={"units": units}))
    before = INPUT
    layers = []
    for layer in named:
        whole = layer.filled(network.defaults)
        if whole.inputs is None:
            whole = whole.model_copy(update={"inputs": (before,)})
        layers.append(whole)
        before = str(whole.name)
    return network.model_copy(update={"layers": tuple(layers)})


def table(network: NetworkSpec, shape: Shape) -> tuple[Row, ...]:
    """Return the layer table of a filled network for inputs of `shape`.

    Raises:
        InvalidSpec: names, inputs or shapes do not fit; every problem that can be
            told is in it.
    """
    rows, problems = rows_of(network, shape)
    problems += _unused(network.layers)
    if problems:
        raise InvalidSpec(problems)
    return rows


def rows_of(
    network: NetworkSpec, shape: Shape
) -> tuple[tuple[Row, ...], list[Problem]]:
    """Return the lines of the layer table that can be told, and what is wrong."""
    shapes: dict[str, Shape | None] = {INPUT: shape}
    masks: dict[str, Mask | None] = {}
    lenders: dict[str, Lender] = {}
    problems, rows = _name_problems(network.layers), []
    for number, layer in enumerate(network.layers):
        name, place = str(layer.name), ("network", "layers", number)
        inputs = layer.inputs or ()
        unknown = [i for i in inputs if i not in shapes]
        for other in unknown:
            near = nearest(other, [known for known in shapes if known != other])
            problems.append(
                Problem(
                    pointer(*place, "inputs", inputs.index(other)),
                    "unknown_layer",
                    f"no layer before {name!r} is called {other!r}",
                    near,
                )
            )
        if layer.lender is not None and layer.lender not in shapes:
            problems.append(_no_lender(layer, number, list(shapes)))
        given = [shapes.get(i) for i in inputs]
        known = [found for found in given if found is not None]
        shapes[name] = None
        if unknown or len(known) < len(given):
            continue
        if layer.lender is not None and layer.lender not in lenders:
            continue
        try:
            whole = bound(layer, lenders)
            row = _row(whole, name, inputs, known, [masks.get(i) for i in inputs])
        except Impossible as error:
            spot = (*place, error.field) if error.field else place
            problems.append(
                Problem(
                    pointer(*spot),
                    "impossible_shape",
                    f"layer {number + 1} ({name}): {error.detail}",
                    error.suggestion or None,
                )
            )
        else:
            rows.append(row)
            shapes[name], masks[name] = row.output_shape, row.mask
            lenders[name] = whole, known
    return tuple(rows), problems


def bound(layer: Step, lenders: Mapping[str, Lender]) -> Step:
    """Return a layer that knows whose tensors it uses, if it uses another's.

    Raises:
        Impossible: that layer has none that it could use.
    """
    if layer.lender is None:
        return layer
    return layer.borrowing(*lenders[layer.lender])


def _no_lender(layer: Step, number: int, known: Sequence[str]) -> Problem:
    wanted = str(layer.lender)
    names = [name for name in known if name != INPUT]
    return Problem(
        pointer("network", "layers", number, layer.borrows),
        "unknown_layer",
        f"no layer before {layer.name!r} is called {wanted!r}",
        nearest(wanted, names),
    )


def _row(
    layer: Step,
    name: str,
    inputs: tuple[str, ...],
    shapes: Sequence[Shape],
    masks: Sequence[Mask | None],
) -> Row:
    fewest, most = layer.takes
    if not fewest <= len(inputs) <= most:
        raise Impossible(_takes(layer, len(inputs)), field="inputs")
    if isinstance(layer, Block) and layer.sums_per_output > 1 and not layer.widens:
        raise Impossible(
            f"{getattr(layer, 'kind', '')} has one sum for each output, and the "
            f"activation needs {layer.sums_per_output}",
            field="activation",
            suggestion="an activation of one sum, or a dense or conv2d layer",
        )
    return Row(
        name,
        str(getattr(layer, "kind", "")),
        inputs,
        tuple(shapes),
        layer.output_shape(shapes),
        layer.tensors(shapes),
        layer.activations(shapes),
        layer.flops(shapes),
        tuple(masks) if layer.minds_padding and any(masks) else (),
        layer.mask(masks, shapes),
        layer.lender,
    )


def _takes(layer: Step, given: int) -> str:
    """Say how many inputs a layer takes, and how many it is given."""
    kind, (fewest, most) = getattr(layer, "kind", ""), layer.takes
    if fewest > given and fewest == 2:
        return f"{kind} needs at least two inputs"
    words = "one input" if most == 1 else f"{fewest} to {most} inputs"
    return f"takes {words}, is given {given}"


def names_given(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Give nameless layers their kind and the next free number."""
    taken = {layer.name for layer in layers}
    counts: Counter[str] = Counter()
    named = []
    for layer in layers:
        if layer.name is None:
            counts[layer.kind] += 1
            while f"{layer.kind}{counts[layer.kind]}" in taken:
                counts[layer.kind] += 1
            name = f"{layer.kind}{counts[layer.kind]}"
            layer = layer.model_copy(update={"name": name})  # noqa: PLW2901
        named.append(layer)
    return tuple(named)


def _name_problems(layers: Sequence[Layer]) -> list[Problem]:
    """Find names that occur twice or are spoken for."""
    problems = []
    seen: set[str] = set()
    for number, layer in enumerate(layers):
        name = str(layer.name)
        place = pointer("network", "layers", number, "name")
        if name == INPUT:
            problems.append(
                Problem(place, "reserved_name", "'input' is the network's input")
            )
        elif name == OUTPUT and number < len(layers) - 1:
            problems.append(
                Problem(place, "reserved_name", "'output' is the last layer's name")
            )
        elif name in seen:
            problems.append(
                Problem(place, "duplicate_name", f"two layers are called {name!r}")
            )
        seen.add(name)
    return problems


def _unused(layers: Sequence[Layer]) -> list[Problem]:
    """Find layers whose outputs nothing takes: they would never learn."""
    taken = {name for layer in layers for name in layer.inputs or ()}
    return [
        Problem(
            pointer("network", "layers", number),
            "unused_layer",
            f"nothing takes what {layer.name!r} gives; name it in some inputs",
        )
        for number, layer in enumerate(layers[:-1])
        if layer.name not in taken
    ]
