"""Layers of earlier models in a new network: which, frozen or not, do they fit.

The match table is worked out here without torch, so that the dry run can show it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import SchemaError

from trainer.spec.base import Spec
from trainer.spec.data.layout import InputPart
from trainer.spec.errors import Problem, nearest, pointer
from trainer.spec.layer_map import LayerMap, destinations, map_problems
from trainer.spec.layers import OUTPUT
from trainer.spec.network import INPUT, Row
from trainer.spec.shapes import Shape

State = Literal["reused", "new", "dropped", "resized"]


class Glob(Spec):
    """Names chosen by a shell pattern: ``*`` is anything, ``?`` one character."""

    glob: str = Field(min_length=1, max_length=200)
    """The pattern."""


Selection = (
    Annotated[str, Field(min_length=1, max_length=200)]
    | Glob
    | tuple[str, ...]
    | Annotated[int, Field(ge=1)]
)
"""Layers: a regular expression that matches the whole name, a glob, a list of names,
or a number: the lowest n layers."""


class Reuse(Spec):
    """Layers taken from one catalogued model."""

    model_config = ConfigDict(populate_by_name=True)

    from_: str = Field(alias="from", min_length=1, max_length=200)
    """The source: an id, ``name`` (latest), ``name@alias`` or ``name@version``."""
    layers: Selection = ".*"
    """Which of the source's layers go into the layers of the same name here."""
    rename: LayerMap = Field(default_factory=dict, max_length=1000)
    """Layers that go by another name here: the source's name, then ours. A ``*`` on
    both sides stands for the same characters."""
    freeze: Selection | None = None
    """Which of them, by the source's names, keep their values; absent: none."""
    on_mismatch: Literal["error", "skip", "adapt"] = "error"
    """What to do where shapes differ: refuse, leave the layer new, or slice and pad."""
    on_other_input: Literal["error", "resize"] = "error"
    """What to do with images of another size or number of channels than the source was
    trained on: refuse them, or resize them (bilinear, antialiased; grey and colour are
    made from each other) before its preprocessing."""


@dataclass(frozen=True)
class Source:
    """What must be known of a catalogued model to reuse its layers."""

    id: str
    name: str
    version: int
    order: tuple[str, ...]
    """Names of its layers, lowest first, the output last."""
    shapes: Mapping[str, Mapping[str, Shape]]
    """Shape of each tensor, by layer and tensor."""
    classes: tuple[Any, ...] = ()
    """Its classes, if it classifies."""
    input_shape: Shape = ()
    """Shape of one example after its preprocessing."""
    columns: tuple[tuple[str, str], ...] = ()
    """Name and kind of the columns that its preprocessing reads."""
    layout: tuple[InputPart, ...] = ()
    """How a row of its input divides, if some of the numbers are names."""
    windows: Mapping[str, Any] | None = None
    """What its preprocessing says of windows, if it sees a time series."""
    prepares: Mapping[str, Any] = field(default_factory=dict)
    """All that its model says of its preprocessing."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """Its layers with everything filled in, as JSON."""


def named_inputs(preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a `Source` says of its inputs, from what its model says of them.

    Raises: ValidationError if a layout is none.
    """
    layout = TypeAdapter(tuple[InputPart, ...])
    return {
        "layout": layout.validate_python(tuple(preprocessing.get("layout") or ())),
        "windows": preprocessing.get("windows"),
        "prepares": preprocessing,
    }


@dataclass(frozen=True)
class Match:
    """One line of the match table."""

    layer: str
    state: State
    source: str | None = None
    """Id of the model that the layer comes from."""
    source_layer: str | None = None
    """Its name there."""
    entry: int | None = None
    """Position of the reuse entry, from 0."""
    frozen: bool = False
    adapted: bool = False
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    source_shapes: Mapping[str, Shape] = field(default_factory=dict)
    reason: str | None = None


class BadPattern(Exception):
    """A regular expression that cannot be read."""

    def __init__(self, pattern: str, reason: str) -> None:
        """Say which pattern it is and what is wrong with it."""
        super().__init__(f"{pattern!r} is no regular expression: {reason}")


def select(selection: Selection, order: Sequence[str]) -> list[str]:
    """Return the chosen names in the order of `order`."""
    if isinstance(selection, int):
        return [name for name in order if name != OUTPUT][:selection]
    if isinstance(selection, Glob):
        return [name for name in order if fnmatchcase(name, selection.glob)]
    if isinstance(selection, tuple):
        return [name for name in order if name in selection]
    fits = _whole(selection)
    return [name for name in order if fits(name)]


def _whole(pattern: str) -> Callable[[str], bool]:
    """Return a test whether a name matches a pattern as a whole.

    Pydantic's engine takes time linear in the name whatever the pattern is; Python's
    own can be kept busy for ever by a few characters.
    """
    try:
        # alone first: an unbalanced bracket must not close the one put round it
        TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
        whole = TypeAdapter(
            Annotated[str, StringConstraints(pattern=f"^(?:{pattern})$")]
        )
    except SchemaError as error:
        reason = str(error).strip().rpartition("error: ")[2] or "it cannot be read"
        raise BadPattern(pattern, reason) from None

    def fits(name: str) -> bool:
        try:
            whole.validate_python(name)
        except ValidationError:
            return False
        return True

    return fits


def match(
    entries: Sequence[Reuse],
    sources: Sequence[Source],
    rows: Sequence[Row],
    classes: tuple[Any, ...],
) -> tuple[list[Match], list[Problem]]:
    """Return the match table of a network and what is wrong with it."""
    targets = {row.name: row for row in rows}
    found: dict[str, Match] = {}
    dropped: list[Match] = []
    problems: list[Problem] = []
    for number, (entry, source) in enumerate(zip(entries, sources, strict=True)):
        try:
            chosen = select(entry.layers, source.order)
            frozen = set() if entry.freeze is None else _frozen(entry, chosen)
        except BadPattern as error:
            problems.append(
                Problem(pointer("reuse", number), "bad_pattern", str(error))
            )
            continue
        problems += _nothing_chosen(number, entry, source, chosen, frozen)
        wrong = map_problems(number, entry.rename, source.order, chosen, list(targets))
        if wrong:
            problems += wrong
            continue
        for theirs, name in destinations(entry.rename, chosen).items():
            line = _line(
                Match(
                    name,
                    "dropped",
                    source.id,
                    theirs,
                    number,
                    source_shapes=source.shapes.get(theirs, {}),
                ),
                entry,
                targets.get(name),
                same_classes=tuple(source.classes) == tuple(classes),
            )
            if isinstance(line, Problem):
                problems.append(line)
            elif line.state == "reused" and name in found:
                problems.append(_taken_twice(number, found[name], sources))
            elif line.state == "reused":
                found[name] = replace(line, frozen=theirs in frozen)
            else:
                dropped.append(line)
    news = [Match(r.name, "new", shapes=_shapes(r)) for r in rows]
    return [found.get(line.layer, line) for line in news] + dropped, problems


def _taken_twice(number: int, first: Match, sources: Sequence[Source]) -> Problem:
    """Say that a layer is taken from two entries."""
    other = sources[first.entry or 0].name
    detail = (
        f"layer {first.layer!r} is already taken from {other!r} (entry {first.entry}, "
        f"layer {first.source_layer!r})"
    )
    return Problem(pointer("reuse", number, "layers"), "reused_twice", detail)


def fed_by_input(rows: Sequence[Row]) -> set[str]:
    """Return the layers with weights that see the input, through any without.

    Reused, they mean nothing on inputs that are scaled in another way: the network
    must then take over the preprocessing of their source.
    """
    carries = {INPUT}
    lowest = set()
    for row in rows:
        if carries.intersection(row.inputs):
            if row.tensors:
                lowest.add(row.name)
            elif row.lender is not None:
                lowest.add(row.lender)
            else:
                carries.add(row.name)
    return lowest


def _frozen(entry: Reuse, chosen: Sequence[str]) -> set[str]:
    assert entry.freeze is not None
    return set(select(entry.freeze, chosen))


def _shapes(row: Row) -> dict[str, Shape]:
    return {name: tensor.shape for name, tensor in row.tensors.items()}


def _nothing_chosen(
    number: int, entry: Reuse, source: Source, chosen: Sequence[str], frozen: set[str]
) -> list[Problem]:
    """Say where a selection is empty or names layers that are not there."""
    problems: list[Problem] = []
    for place, selection, names, known in (
        ("layers", entry.layers, chosen, source.order),
        ("freeze", entry.freeze, frozen, chosen),
    ):
        if selection is None:
            continue
        missing = (
            [n for n in selection if n not in known]
            if isinstance(selection, tuple)
            else []
        )
        problems += [
            Problem(
                pointer("reuse", number, place),
                "unknown_layer",
                f"{entry.from_!r} offers no layer {name!r}; it has {', '.join(known)}",
                nearest(name, known),
            )
            for name in missing
        ]
        if not names and not missing:
            problems.append(
                Problem(
                    pointer("reuse", number, place),
                    "nothing_matched",
                    f"no layer of {entry.from_!r} matches; it has "
                    f"{', '.join(known) or 'none to choose from'}",
                )
            )
    return problems


def _line(
    line: Match, entry: Reuse, row: Row | None, *, same_classes: bool
) -> Match | Problem:
    """Say what becomes of one chosen layer of a source."""
    name, theirs = line.layer, line.source_shapes
    if row is None:
        return replace(line, reason="the new network has no such layer")
    ours = _shapes(row)
    line = replace(line, shapes=ours)
    if name == line.source_layer == OUTPUT and not same_classes:
        return replace(line, reason="the classes differ")
    if ours == dict(theirs):
        return replace(line, state="reused")
    detail = f"layer {name!r} is {_words(ours)} here and {_words(theirs)} there"
    if entry.on_mismatch == "adapt" and _adaptable(ours, theirs):
        reason = f"{detail}: sliced and padded"
        return replace(line, state="reused", adapted=True, reason=reason)
    if entry.on_mismatch == "skip":
        return replace(line, reason=detail)
    return Problem(
        pointer("reuse", line.entry or 0, "layers"),
        "shape_mismatch",
        detail,
        "on_mismatch: skip or adapt, or leave the layer out",
    )


def _words(shapes: Mapping[str, Shape]) -> str:
    return ", ".join(f"{n} {list(s)}" for n, s in shapes.items()) or "without tensors"


def _adaptable(ours: Mapping[str, Shape], theirs: Mapping[str, Shape]) -> bool:
    """Say whether slicing and padding can make the tensors fit."""
    return ours.keys() == theirs.keys() and all(
        len(ours[name]) == len(theirs[name]) for name in ours
    )
