"""Sources whose layers see the input: images of another size, several at once.

Convolutions do not mind the size of an image; all else asks for images as the source
saw them, which a resizing step in front of its preprocessing can make.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trainer.spec.data.features import GRIDS, Inputs
from trainer.spec.errors import InvalidSpec, Problem, pointer
from trainer.spec.network import INPUT, Row
from trainer.spec.reuse import Match, Reuse, Source, match
from trainer.spec.shapes import Shape

CHANNELS = frozenset({(1, 1), (3, 3), (1, 3), (3, 1)})
"""Numbers of channels, here and there, that can be made from each other."""
IMAGE_AXES = 3


@dataclass(frozen=True)
class Seen:
    """What one entry's lowest layers are given."""

    number: int
    inputs: Inputs
    source: Source
    taken: bool = True
    """Whether its source's preprocessing makes that, not our own."""


def grid_seen(
    number: int, entry: Reuse, source: Source, inputs: Inputs, rows: Sequence[Row]
) -> Seen:
    """Return what an entry's layers see of our images or arrays.

    Raises:
        InvalidSpec: they cannot be given them.
    """
    kinds = {kind for _, kind in source.columns} & GRIDS
    shape = source.input_shape
    if inputs.kind in kinds and inputs.single == shape:
        return Seen(number, inputs, source)
    images = inputs.kind == "image" and "image" in kinds and not inputs.pair
    if images and len(shape) == IMAGE_AXES:
        alike = inputs.shape[0] == shape[0] or (inputs.shape[0], shape[0]) in CHANNELS
        if entry.on_other_input == "resize" and alike:
            return Seen(number, replace(inputs, shape=shape), source)
        if _fits(entry, source, rows):
            return Seen(number, inputs, source, taken=False)
    suggestion = None
    if images and len(shape) == IMAGE_AXES and entry.on_other_input == "error":
        suggestion = 'on_other_input: "resize", or convolutions under a global pooling'
    raise InvalidSpec([other_inputs(number, source, inputs, [], suggestion)])


def _fits(entry: Reuse, source: Source, rows: Sequence[Row]) -> bool:
    """Return whether layers take any size, and their source only divided by 255."""
    if source.prepares.get("standardized"):
        return False
    return not match([entry], [source], rows, source.classes)[1]


def chosen(seen: Sequence[Seen], inputs: Inputs) -> tuple[Inputs, int | None]:
    """Return what the network is given, and the entry whose preprocessing makes it.

    Raises:
        InvalidSpec: two sources were trained on inputs that were made differently.
    """
    if not seen:
        return inputs, None
    first = next((each for each in seen if each.taken), seen[0])
    for other in seen:
        if not _made_alike(first, other):
            detail = (
                f"the lowest layers of {first.source.name!r} (entry {first.number}) "
                f"and of {other.source.name!r} both see the input, which each of them "
                "knows by a preprocessing of its own; a network has one"
            )
            place = pointer("reuse", other.number, "from")
            advice = "leave out the layers of one that see the input"
            problem = Problem(place, "two_preprocessings", detail, advice)
            raise InvalidSpec([problem])
    return first.inputs, first.number if first.taken else None


def _made_alike(one: Seen, other: Seen) -> bool:
    """Return whether two sources' preprocessings make the same of a row."""
    if one.inputs.shape != other.inputs.shape:
        return False
    if one.source.id == other.source.id:
        return True
    if one.inputs.kind in GRIDS:
        plain = not any(
            each.source.prepares.get("standardized") for each in (one, other)
        )
        return plain and one.inputs.kind == other.inputs.kind
    alike = one.source.prepares == other.source.prepares
    return alike and not one.source.layout


def resizing(inputs: Inputs, own: Inputs, source: Source, number: int) -> list[Match]:
    """Return the line of the match table that tells of resized images, if they are."""
    if inputs.kind != "image" or inputs.single == own.single:
        return []
    reason = (
        f"images of {_words(own.single)} are resized to {_words(inputs.single)}, "
        "bilinear with antialiasing, before the preprocessing of the source"
    )
    return [
        Match(
            INPUT,
            "resized",
            source.id,
            INPUT,
            number,
            shapes={INPUT: own.single},
            source_shapes={INPUT: inputs.single},
            reason=reason,
        )
    ]


def _words(shape: Shape) -> str:
    channels, height, width = shape
    return f"{height} by {width} with {channels} channel{'s' * (channels > 1)}"


def other_inputs(
    number: int,
    source: Source,
    inputs: Inputs,
    lacking: Sequence[str],
    suggestion: str | None = None,
) -> Problem:
    """Say that a source's layers see other inputs than there are here."""
    detail = (
        f"{source.name!r} was trained on inputs of shape {list(source.input_shape)}, "
        f"here they are {list(inputs.single)}"
    )
    if lacking:
        detail += f"; the data set lacks the columns {', '.join(lacking[:20])}"
    place = pointer("reuse", number, "from")
    return Problem(place, "other_inputs", detail, suggestion)
