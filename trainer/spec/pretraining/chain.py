"""From a job with pretraining to its stages, each a whole job, and the job on top."""

from dataclasses import dataclass, replace

from trainer.spec.data.answers import answer_of
from trainer.spec.data.features import inputs_of
from trainer.spec.data.schema import Schema
from trainer.spec.errors import InvalidSpec, Problem, pointer
from trainer.spec.job import JobSpec
from trainer.spec.network import NetworkSpec
from trainer.spec.pretraining.drafts import Draft, Given, hidden, names_of
from trainer.spec.reuse import Reuse

LONGEST_NAME = 100


@dataclass(frozen=True)
class Stage:
    """One job of a chain, before the last."""

    entry: int
    """Position of its entry in ``pretraining``, from 0."""
    spec: JobSpec
    """It reuses the stages before it under their names."""


def expand(spec: JobSpec, schema: Schema) -> tuple[list[Stage], JobSpec]:
    """Return the stages of a job in order, and the job that reuses the last of them.

    A stage is named ``<job>-<layer>`` and calls those below it by their names.

    Raises:
        InvalidSpec: the stages do not fit the job.
    """
    _check(spec)
    given = Given(0, spec.network, spec.dataset, spec.training, _features(spec, schema))
    stages: list[Stage] = []
    made: dict[str, str] = {}
    frozen: tuple[str, ...] = ()
    weighted = names_of(hidden(spec.network))
    for number, entry in enumerate(spec.pretraining):
        given = replace(given, number=number)
        for draft in entry.drafts(given):
            stage = _stage(spec, draft, made, frozen)
            taken = {one.spec.name for one in stages}
            if stage.name in taken or len(stage.name) > LONGEST_NAME:
                detail = f"the stage is called {stage.name!r}: too long, or twice"
                raise given.problem("bad_name", detail)
            stages.append(Stage(number, stage))
            made |= dict.fromkeys(draft.makes, stage.name)
        frozen = entry.frozen(given)
        learned = tuple(name for name in weighted if name in made)
        given = replace(given, learned=learned)
    total = len(stages)
    told = [
        replace(
            stage,
            spec=stage.spec.model_copy(
                update={
                    "description": f"stage {number} of {total} of the pretraining of "
                    f"{spec.name}"
                }
            ),
        )
        for number, stage in enumerate(stages, 1)
    ]
    last = {"pretraining": (), "reuse": _reuse(made, list(made), frozen)}
    return told, spec.model_copy(update=last)


def _check(spec: JobSpec) -> None:
    """Refuse other sources beside the stages."""
    detail = "the layers come from the stages of pretraining: leave this out"
    if spec.reuse:
        raise InvalidSpec([Problem(pointer("reuse"), "conflict", detail)])
    if spec.network.from_ is not None:
        raise InvalidSpec([Problem(pointer("network", "from"), "conflict", detail)])


def _features(spec: JobSpec, schema: Schema) -> tuple[str, ...]:
    """Return the columns that the job's network sees: its stages see the same."""
    answer, problems = answer_of(schema, spec.dataset)
    kept_out = answer.kept_out if answer else ()
    inputs, more = inputs_of(schema, spec.dataset, kept_out)
    if answer is None or inputs is None:
        raise InvalidSpec(problems + more)
    return tuple(feature.name for feature in inputs.features)


def _stage(
    spec: JobSpec, draft: Draft, made: dict[str, str], frozen: tuple[str, ...]
) -> JobSpec:
    taken = [name for name in (*draft.rests, *draft.starts) if name in made]
    still = {*draft.rests, *(name for name in draft.starts if name in frozen)}
    network = NetworkSpec(defaults=spec.network.defaults, layers=draft.layers)
    return JobSpec(
        name="stage",
        dataset=draft.dataset,
        network=network,
        training=draft.training,
        tags=spec.tags,
        priority=spec.priority,
        timeout_seconds=spec.timeout_seconds,
    ).model_copy(
        update={
            "name": f"{spec.name}-{draft.name}",
            "reuse": _reuse(made, taken, tuple(n for n in taken if n in still)),
        }
    )


def _reuse(
    made: dict[str, str], names: list[str], frozen: tuple[str, ...]
) -> tuple[Reuse, ...]:
    """Return an entry for each stage that some of the layers come from."""
    found = []
    for stage in dict.fromkeys(made[name] for name in names):
        mine = tuple(name for name in names if made[name] == stage)
        still = tuple(name for name in mine if name in frozen)
        entry = {"from": stage, "layers": mine, "freeze": still or None}
        found.append(Reuse.model_validate(entry))
    return tuple(found)
