"""From a spec as written to the spec as it will run, or to all that is wrong with it.

What passes here builds: the layer table, the match table and the estimates are worked
out from the schema and the sources alone, without torch and without reading a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from trainer.spec.errors import InvalidSpec, Problem, pointer
from trainer.spec.estimate import Estimate, estimate
from trainer.spec.features import Inputs, answer_of, inputs_of
from trainer.spec.job import JobSpec
from trainer.spec.losses import Task
from trainer.spec.network import Row, filled, table
from trainer.spec.recipe import resolved_dataset, resolved_training
from trainer.spec.reuse import (
    BadPattern,
    Match,
    Source,
    fed_by_input,
    match,
    select,
)
from trainer.spec.schema import Scalar, Schema


@dataclass(frozen=True)
class Limits:
    """The largest job that is accepted."""

    layers: int = 1_000
    epochs: int = 1_000_000
    parameters: int = 1_000_000_000


@dataclass(frozen=True)
class Resolution:
    """A spec with everything filled in, and what follows from it."""

    spec: JobSpec
    task: Task
    classes: tuple[Scalar, ...]
    inputs: Inputs
    layers: tuple[Row, ...]
    reuse: tuple[Match, ...]
    preprocessing_from: int | None
    """The reuse entry whose source's preprocessing is taken over, if any."""
    estimate: Estimate
    warnings: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """Return how many numbers the network has that can learn."""
        return sum(row.parameters for row in self.layers)

    @property
    def frozen(self) -> frozenset[str]:
        """Return the names of the frozen layers."""
        return frozenset(m.layer for m in self.reuse if m.frozen)

    def resolved(self) -> dict[str, Any]:
        """Return the filled spec as JSON; what is absent in it has no meaning here."""
        return self.spec.model_dump(mode="json", by_alias=True, exclude_none=True)

    def layer_table(self) -> list[dict[str, Any]]:
        """Return the layer table as the API answers it."""
        by_name = {m.layer: m for m in self.reuse if m.state != "dropped"}
        return [
            {
                "name": row.name,
                "kind": row.kind,
                "inputs": list(row.inputs),
                "input_shape": [list(shape) for shape in row.input_shape],
                "output_shape": list(row.output_shape),
                "parameters": row.parameters,
                "frozen": row.name in by_name and by_name[row.name].frozen,
                "source": by_name[row.name].source if row.name in by_name else None,
            }
            for row in self.layers
        ]

    def match_table(self) -> list[dict[str, Any]]:
        """Return the match table as the API answers it; empty without reuse."""
        if not self.spec.reuse:
            return []
        return [
            {
                "layer": m.layer,
                "state": "frozen" if m.frozen else m.state,
                "frozen": m.frozen,
                "source": m.source,
                "entry": m.entry,
                "adapted": m.adapted,
                "shape": {name: list(shape) for name, shape in m.shapes.items()},
                "source_shape": {n: list(s) for n, s in m.source_shapes.items()},
                "reason": m.reason,
            }
            for m in self.reuse
        ]


def resolve(
    spec: JobSpec,
    schema: Schema,
    sources: Mapping[str, Source],
    limits: Limits | None = None,
) -> Resolution:
    """Return the spec filled in; resolving what it returns changes nothing.

    `sources` holds each reused model under the word the spec uses for it.

    Raises:
        InvalidSpec: with every problem that can be told at once.
    """
    limits = limits or Limits()
    _check_size(spec, limits)
    answer, problems = answer_of(schema, spec.dataset)
    inputs, more = inputs_of(schema, spec.dataset, answer.target if answer else ())
    dataset, wrong, warnings = resolved_dataset(spec.dataset, schema, answer, inputs)
    problems += more + wrong
    missing = [
        Problem(
            pointer("reuse", number, "from"),
            "unknown_model",
            f"no catalogued model is called {entry.from_!r}",
        )
        for number, entry in enumerate(spec.reuse)
        if entry.from_ not in sources
    ]
    if answer is None or inputs is None or problems or missing:
        raise InvalidSpec(problems + missing)
    entries = [sources[entry.from_] for entry in spec.reuse]
    units = answer.units or prod(inputs.shape)
    network = filled(spec.network, units)
    rows = table(network, inputs.shape)
    seen, taken = _taken_over(spec, schema, inputs, entries, fed_by_input(rows))
    if seen != inputs:
        inputs = seen
        units = answer.units or prod(inputs.shape)
        network = filled(spec.network, units)
        rows = table(network, inputs.shape)
    _check_output(rows[-1], units, len(network.layers) - 1)
    matches, wrong = match(spec.reuse, entries, rows, answer.classes)
    training, also, told = resolved_training(spec.training, dataset, answer, network)
    if wrong or also:
        raise InvalidSpec(wrong + also)
    names = fed_by_input(rows)
    reused = {m.layer for m in matches if m.state == "reused" and m.entry == taken}
    resolution = Resolution(
        spec=spec.model_copy(
            update={"dataset": dataset, "network": network, "training": training}
        ),
        task=answer.task,
        classes=answer.classes,
        inputs=inputs,
        layers=rows,
        reuse=tuple(matches),
        preprocessing_from=taken if names & reused else None,
        estimate=estimate(rows, inputs, training, schema, dataset),
        warnings=(*warnings, *told),
    )
    if resolution.parameters > limits.parameters:
        raise InvalidSpec(
            [
                Problem(
                    pointer("network", "layers"),
                    "too_large",
                    f"the network has {resolution.parameters:,} parameters, at most "
                    f"{limits.parameters:,} are allowed",
                )
            ]
        )
    return resolution


def _check_size(spec: JobSpec, limits: Limits) -> None:
    for place, found, most, word in (
        (("network", "layers"), len(spec.network.layers), limits.layers, "layers"),
        (("training", "epochs"), spec.training.epochs, limits.epochs, "epochs"),
    ):
        if found > most:
            detail = f"{found:,} {word} are asked for, at most {most:,} are allowed"
            raise InvalidSpec([Problem(pointer(*place), "too_large", detail)])


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
    inputs: Inputs,
    sources: list[Source],
    lowest: set[str],
) -> tuple[Inputs, int | None]:
    """Return the inputs as the source of the lowest layers sees them, and its entry.

    Raises:
        InvalidSpec: the data set has not what that source's preprocessing reads.
    """
    for number, (entry, source) in enumerate(zip(spec.reuse, sources, strict=True)):
        try:
            chosen = lowest.intersection(select(entry.layers, source.order))
        except BadPattern:
            continue
        if not chosen or not source.columns:
            continue
        kinds = {kind for _, kind in source.columns}
        if inputs.kind in kinds and inputs.shape == source.input_shape:
            return inputs, number
        here = {(c.name, c.kind) for c in schema.columns}
        lacking = [name for name, kind in source.columns if (name, kind) not in here]
        if inputs.kind in kinds or lacking or kinds & {"image", "array"}:
            raise InvalidSpec([_other_inputs(number, source, inputs, lacking)])
        return replace(inputs, shape=source.input_shape), number
    return inputs, None


def _other_inputs(
    number: int, source: Source, inputs: Inputs, lacking: list[str]
) -> Problem:
    detail = (
        f"{source.name!r} was trained on inputs of shape {list(source.input_shape)}, "
        f"here they are {list(inputs.shape)}"
    )
    if lacking:
        detail += f"; the data set lacks the columns {', '.join(lacking[:20])}"
    return Problem(pointer("reuse", number, "from"), "other_inputs", detail)
