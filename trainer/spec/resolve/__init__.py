"""From a spec as written to the spec as it will run, or to all that is wrong with it.

What passes here builds: the layer table, the match table and the estimates are worked
out from the schema and the sources alone, without torch and without reading a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from trainer.spec.data.answers import answer_of
from trainer.spec.data.features import Inputs, inputs_of
from trainer.spec.data.imbalance import rare_class
from trainer.spec.data.schema import Scalar, Schema
from trainer.spec.errors import InvalidSpec, Problem, pointer
from trainer.spec.job import JobSpec
from trainer.spec.losses import Task
from trainer.spec.network import Row
from trainer.spec.resolve.auxiliary import (
    learning_problems,
    rows_problems,
    with_verdict,
)
from trainer.spec.resolve.boltzmann import machine_problems
from trainer.spec.resolve.cautions import cautions
from trainer.spec.resolve.estimate import Estimate, estimate, largest
from trainer.spec.resolve.misfits import doubled, misfits
from trainer.spec.resolve.phases import (
    Checked,
    ResolvedPhase,
    frozen_throughout,
    resolved_phases,
)
from trainer.spec.resolve.pruning_fit import pruning_problems
from trainer.spec.resolve.recipe import resolved_dataset, resolved_training
from trainer.spec.resolve.reconstruction import reconstruction_problems
from trainer.spec.resolve.sharing import sharing_problems
from trainer.spec.resolve.takeover import matched, unreused_entry
from trainer.spec.resolve.tops import written_out
from trainer.spec.reuse import Match, Source
from trainer.spec.training import Training


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
    phases: tuple[ResolvedPhase, ...]
    """The stages of the training; one, where the spec has no phases."""
    preprocessing_from: int | None
    """The reuse entry whose source's preprocessing is taken over, if any."""
    estimate: Estimate
    warnings: tuple[str, ...]

    label: tuple[str, ...] = ()
    """Of an auxiliary task: the columns that a later job is to predict."""
    groups: tuple[Scalar, ...] = ()
    """Of an auxiliary task: the values of that column, if they are classes."""

    @property
    def target(self) -> tuple[str, ...]:
        """Return the target columns; none for a reconstruction or an auxiliary task."""
        dataset = self.spec.dataset
        target, made = dataset.target, dataset.auxiliary_task.made
        if target is None or self.task == "reconstruction" or made:
            return ()
        return (target,) if isinstance(target, str) else tuple(target)

    @property
    def parameters(self) -> int:
        """Return how many numbers the network has that can learn."""
        return sum(row.parameters for row in self.layers)

    def input_table(self) -> list[dict[str, Any]]:
        """Return what each column becomes, as the API answers it.

        Where the preprocessing of a source is taken over, that decides, not this.
        """
        if self.preprocessing_from is not None:
            return []
        return [feature.described() for feature in self.inputs.features]

    @property
    def frozen(self) -> frozenset[str]:
        """Return the layers that keep their values from the first step to the last."""
        return frozen_throughout(self.phases)

    @property
    def epochs(self) -> int:
        """Return the largest number of passes over the training rows, in all phases."""
        return sum(phase.recipe.epochs for phase in self.phases)

    def resolved(self) -> dict[str, Any]:
        """Return the filled spec as JSON; what is absent in it has no meaning here."""
        return self.spec.model_dump(mode="json", by_alias=True, exclude_none=True)

    def layer_table(self) -> list[dict[str, Any]]:
        """Return the layer table as the API answers it."""
        by_name = {m.layer: m for m in self.reuse if m.state != "dropped"}
        frozen = self.frozen
        return [
            {
                "name": row.name,
                "kind": row.kind,
                "inputs": list(row.inputs),
                "input_shape": [list(shape) for shape in row.input_shape],
                "output_shape": list(row.output_shape),
                "parameters": row.parameters,
                "frozen": row.name in frozen,
                "source": by_name[row.name].source if row.name in by_name else None,
                "source_layer": by_name[row.name].source_layer
                if row.name in by_name
                else None,
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
                "source_layer": m.source_layer,
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
    whole = written_out(spec, sources)
    try:
        return _resolved(whole.spec, schema, sources, limits or Limits())
    except InvalidSpec as error:
        raise InvalidSpec([whole.placed(p) for p in error.problems]) from error


def _resolved(
    spec: JobSpec, schema: Schema, sources: Mapping[str, Source], limits: Limits
) -> Resolution:
    """Return a spec filled in whose network is written out."""
    _check_size(spec, limits)
    if spec.pretraining:
        detail = "a chain of jobs is made by the service: hand it in there"
        raise InvalidSpec([Problem(pointer("pretraining"), "not_one_job", detail)])
    spec = with_verdict(spec)
    answer, problems = answer_of(schema, spec.dataset)
    if answer is not None:
        answer = replace(answer, layer=spec.training.reconstruct)
    inputs, more = inputs_of(schema, spec.dataset, answer.kept_out if answer else ())
    dataset, wrong, warnings = resolved_dataset(spec.dataset, schema, answer, inputs)
    problems += more + wrong + rows_problems(spec.dataset, answer, inputs)
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
    found = matched(spec, schema, answer, inputs, entries)
    network, rows = found.built.network, found.built.rows

    def check(recipe: Training) -> Checked:
        filled, wrong, told = resolved_training(recipe, dataset, answer, network)
        wrong += misfits(filled, answer, found.built.inputs, network, schema)
        return filled, wrong + pruning_problems(filled), told

    training, also, told = check(spec.training)
    if found.problems or also:
        raise InvalidSpec(found.problems + also)
    plan = resolved_phases(spec, training, rows, found.matches, check)
    given = found.built.inputs, dataset, schema
    wrong = [
        *sharing_problems(rows, plan.phases),
        *reconstruction_problems(answer, network, rows, plan.phases),
        *machine_problems(answer, network, rows, plan.phases, given),
        *learning_problems(dataset, network, plan.phases),
    ]
    if wrong:
        raise InvalidSpec(wrong)
    if spec.phases:
        told = list(plan.warnings)
    told += rare_class(schema, dataset, training, answer) + doubled(training)
    told += unreused_entry(found)
    resolution = Resolution(
        spec=spec.model_copy(
            update={
                "dataset": dataset,
                "network": network,
                "training": training,
                "phases": plan.written,
            }
        ),
        task=answer.task,
        classes=answer.classes,
        inputs=found.built.inputs,
        layers=rows,
        reuse=plan.of(found.matches),
        phases=plan.phases,
        preprocessing_from=found.taken,
        estimate=largest(
            estimate(rows, found.built.inputs, phase.recipe, schema, dataset)
            for phase in plan.phases
        ),
        warnings=(*warnings, *told, *cautions(network, spec.serving, answer.task)),
        label=answer.label,
        groups=answer.groups,
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
        (
            ("phases",),
            sum(phase.epochs or spec.training.epochs for phase in spec.phases),
            limits.epochs,
            "epochs",
        ),
    ):
        if found > most:
            detail = f"{found:,} {word} are asked for, at most {most:,} are allowed"
            raise InvalidSpec([Problem(pointer(*place), "too_large", detail)])
