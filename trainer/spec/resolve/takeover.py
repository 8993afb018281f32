"""What the network sees, once it is known whose preprocessing it uses.

Layers that see the input mean nothing on inputs that are made in another way: where
they are reused, the preprocessing of their source is taken over, and with it the shape
and the names of the input.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from trainer.spec.data.answers import Answer
from trainer.spec.data.features import GRIDS, Inputs
from trainer.spec.data.layout import Tokens
from trainer.spec.data.schema import Schema
from trainer.spec.errors import InvalidSpec, Problem, pointer
from trainer.spec.job import JobSpec
from trainer.spec.layer_map import destinations
from trainer.spec.network import NetworkSpec, Row, filled, table
from trainer.spec.resolve.entry import with_entry
from trainer.spec.resolve.other_inputs import (
    Seen,
    chosen,
    grid_seen,
    other_inputs,
    resizing,
)
from trainer.spec.resolve.reconstruction import given_back
from trainer.spec.reuse import BadPattern, Match, Source, fed_by_input, match, select


@dataclass(frozen=True)
class Built:
    """A network that is filled in for certain inputs."""

    inputs: Inputs
    network: NetworkSpec
    rows: tuple[Row, ...]
    written: tuple[Row, ...]
    """The table of the layers as they were written, without one put in front."""


@dataclass(frozen=True)
class Matched:
    """A network that is filled in, and what of it is reused."""

    built: Built
    matches: list[Match]
    problems: list[Problem]
    taken: int | None
    """The entry whose source's preprocessing is used, if any."""


def built(network: NetworkSpec, answer: Answer, inputs: Inputs) -> Built:
    """Return the network filled in for inputs.

    Raises:
        InvalidSpec: the layers do not fit; places are those of the layers as written.
    """
    entered = with_entry(network, inputs)
    units = answer.units or prod(given_back(entered, answer, inputs))
    shape = inputs.shape
    if len(entered.layers) > len(network.layers):
        shape = entered.layers[0].output_shape([shape])
        plain = filled(network, units)
    else:
        plain = filled(entered, units)
    written = table(plain, shape)
    _check_output(written[-1], units, len(plain.layers) - 1)
    if shape == inputs.shape and len(entered.layers) == len(network.layers):
        return Built(inputs, plain, written, written)
    whole = filled(entered, units)
    return Built(inputs, whole, table(whole, inputs.shape), written)


def matched(
    spec: JobSpec,
    schema: Schema,
    answer: Answer,
    own: Inputs,
    sources: Sequence[Source],
) -> Matched:
    """Return the network filled in, and what becomes of the sources' layers.

    Raises:
        InvalidSpec: the layers do not fit, or the data set has not what a source needs.
    """
    plain, other = _first_built(spec, answer, own, sources)
    inputs, taken = _taken_over(spec, schema, plain, sources, answer)
    found = plain if inputs == plain.inputs else built(spec.network, answer, inputs)
    matches, problems = match(spec.reuse, sources, found.rows, answer.classes)
    reused = {m.layer for m in matches if m.state == "reused" and m.entry == taken}
    if problems or fed_by_input(found.rows) & reused:
        if taken is not None:
            matches = [*resizing(inputs, own, sources[taken], taken), *matches]
        return Matched(found, matches, problems, taken)
    if other is not None:  # built for images that nothing reused asks for
        raise other
    if found is not plain:  # they were dropped, so nothing asks for their inputs
        matches, problems = match(spec.reuse, sources, plain.rows, answer.classes)
    return Matched(plain, matches, problems, None)


def _first_built(
    spec: JobSpec, answer: Answer, own: Inputs, sources: Sequence[Source]
) -> tuple[Built, InvalidSpec | None]:
    """Return the network for our inputs, else for those that images are resized to.

    Of the second kind, why it cannot be built for ours is returned as well.

    Raises: InvalidSpec.
    """
    try:
        return built(spec.network, answer, own), None
    except InvalidSpec as error:
        for entry, source in zip(spec.reuse, sources, strict=True):
            if entry.on_other_input == "resize" and own.kind == "image":
                inputs = replace(own, shape=source.input_shape)
                return built(spec.network, answer, inputs), error
        raise


def unreused_entry(found: Matched) -> list[str]:
    """Return a warning if reused layers stand on a new layer that looks names up.

    Vectors that are drawn anew mean nothing to layers that were trained on others.
    """
    front = found.built.rows[0]
    reused = {m.layer for m in found.matches if m.state == "reused"}
    if front.kind != "column_embedding" or front.name in reused:
        return []
    above = [r.name for r in found.built.rows if front.name in r.inputs]
    if not reused.intersection(above):
        return []
    names = ", ".join(sorted(reused.intersection(above)))
    told = (
        f"{names} is reused, the vectors of {front.name!r} below it are new: name "
        f"{front.name!r} in reuse.layers as well"
    )
    return [told]


def _check_output(row: Row, units: int, number: int) -> None:
    if prod(row.output_shape) != units or len(row.output_shape) != 1:
        raise InvalidSpec(
            [
                Problem(
                    pointer("network", "layers", number),
                    "wrong_output",
                    f"the target needs {units} outputs, the layer 'output' gives "
                    f"{list(row.output_shape)}",
                    "leave the layer out",
                )
            ]
        )


def _taken_over(
    spec: JobSpec,
    schema: Schema,
    plain: Built,
    sources: Sequence[Source],
    answer: Answer,
) -> tuple[Inputs, int | None]:
    """Return the inputs as the source of the lowest layers sees them, and its entry.

    Raises:
        InvalidSpec: the data set has not what that source's preprocessing reads.
    """
    inputs = plain.inputs
    seen: list[Seen] = []
    for number, (entry, source) in enumerate(zip(spec.reuse, sources, strict=True)):
        theirs = _as_seen_by(source, inputs)
        try:
            lowest = _lowest(spec.network, plain, theirs).intersection(
                destinations(entry.rename, select(entry.layers, source.order)).values()
            )
        except BadPattern:
            continue
        if not lowest or not source.columns:
            continue
        if inputs.kind in GRIDS and {kind for _, kind in source.columns} & GRIDS:
            seen.append(grid_seen(number, entry, source, inputs, plain.rows))
        else:
            _check_table(number, source, inputs, schema, answer)
            seen.append(Seen(number, theirs, source))
    return chosen(seen, inputs)


def _check_table(
    number: int, source: Source, inputs: Inputs, schema: Schema, answer: Answer
) -> None:
    """Refuse a source whose preprocessing cannot read the columns here.

    Raises: InvalidSpec.
    """
    here = {(c.name, c.kind) for c in schema.columns}
    lacking = [
        name
        for name, kind in source.columns
        if not here & {(name, kind), (name, _like(kind))}
    ]
    grids = GRIDS.intersection([inputs.kind, *(kind for _, kind in source.columns)])
    if lacking or grids:
        raise InvalidSpec([other_inputs(number, source, inputs, lacking)])
    if _windows(inputs) != source.windows:
        raise InvalidSpec([_other_windows(number, source)])
    seen = {name for name, _ in source.columns}.intersection(answer.kept_out)
    if seen and inputs.windows is None:
        raise InvalidSpec([_target_seen(number, source, seen)])


def _like(kind: str) -> str:
    """Return the kind that will do as well: categories can be read as texts."""
    return "category" if kind == "text" else kind


def _as_seen_by(source: Source, inputs: Inputs) -> Inputs:
    """Return the inputs as a source's preprocessing would make them."""
    kind = "table" if inputs.windows is None else "sequence"
    if len(source.layout) == 1 and isinstance(source.layout[0], Tokens):
        kind = "tokens"
    shape = (2, *source.input_shape) if inputs.pair else source.input_shape
    return replace(inputs, kind=kind, shape=shape, layout=source.layout)


def _lowest(network: NetworkSpec, plain: Built, theirs: Inputs) -> set[str]:
    """Return the layers that would see the source's input: one in front, if any."""
    entered = with_entry(network, theirs)
    if len(entered.layers) > len(network.layers):
        return {str(entered.layers[0].name)}
    return fed_by_input(plain.written)


def _windows(inputs: Inputs) -> dict[str, object] | None:
    """Return what a fitted preprocessing says of windows like these."""
    if inputs.windows is None:
        return None
    alone = inputs.windows.model_copy(update={"stride": 1})
    return alone.model_dump(exclude_none=True)


def _other_windows(number: int, source: Source) -> Problem:
    wanted = f"set dataset.windows to {source.windows}"
    if source.windows is None:
        wanted = "leave dataset.windows out"
    detail = f"{source.name!r} was trained on other windows: {wanted}"
    return Problem(pointer("reuse", number, "from"), "other_inputs", detail)


def _target_seen(number: int, source: Source, seen: set[str]) -> Problem:
    """Refuse layers that were trained on what is to be predicted here."""
    names = ", ".join(sorted(seen))
    detail = (
        f"the layers of {source.name!r} see {names}, which is the target here: train "
        f"it anew with dataset.features that leave {names} out"
    )
    return Problem(pointer("reuse", number, "from"), "target_as_feature", detail)
