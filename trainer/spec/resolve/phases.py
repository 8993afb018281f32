"""What each phase of a job comes to: its recipe, the layers that keep their values."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from trainer.spec.errors import InvalidSpec, Problem, nearest, pointer
from trainer.spec.job import JobSpec
from trainer.spec.network import INPUT, Row
from trainer.spec.phases import OVERRIDES, Phase
from trainer.spec.pruning import NoPruning
from trainer.spec.reuse import BadPattern, Match, Selection, select
from trainer.spec.schedules.measured import RangeTest
from trainer.spec.training import Training

Checked = tuple[Training, list[Problem], list[str]]
"""A recipe filled in, what is wrong with it, and what is worth a word."""


@dataclass(frozen=True)
class ResolvedPhase:
    """One phase of a job; a job without phases has one, which is all of it."""

    name: str
    recipe: Training
    frozen: frozenset[str]
    """The layers that keep their values in this phase."""
    multipliers: Mapping[str, float] = field(default_factory=dict)
    """What the learning rate is multiplied by, of layers where the phase says it."""


@dataclass(frozen=True)
class Plan:
    """The phases of a job in order, and how the resolved spec writes them."""

    phases: tuple[ResolvedPhase, ...]
    written: tuple[Phase, ...]
    warnings: tuple[str, ...] = ()

    def of(self, matches: Iterable[Match]) -> tuple[Match, ...]:
        """Return the match table: a layer is frozen if it is so in every phase."""
        always = frozen_throughout(self.phases)
        return tuple(
            replace(m, frozen=m.state == "reused" and m.layer in always)
            for m in matches
        )


def frozen_throughout(phases: Sequence[ResolvedPhase]) -> frozenset[str]:
    """Return the layers that keep their values from the first step to the last."""
    return frozenset.intersection(*(phase.frozen for phase in phases))


def resolved_phases(
    spec: JobSpec,
    training: Training,
    rows: Sequence[Row],
    matches: Sequence[Match],
    check: Callable[[Training], Checked],
) -> Plan:
    """Return the phases filled in.

    `training` is the recipe of `spec` filled in; `check` fills in that of a phase.

    Raises:
        InvalidSpec: a phase cannot be, or nothing learns in it.
    """
    phases, written = spec.phases, spec.training
    reused = frozenset(m.layer for m in matches if m.frozen)
    if not phases:
        return Plan((ResolvedPhase("training", training, reused),), ())
    names = _names(phases)
    found: list[ResolvedPhase] = []
    problems = _range_tests(phases, written) + _twice(names)
    words: list[list[str]] = []
    for number, (phase, name) in enumerate(zip(phases, names, strict=True)):
        recipe = phase.over(written)
        if number < len(phases) - 1:  # weights are zeroed once, in the last phase
            recipe = recipe.model_copy(update={"pruning": NoPruning()})
        recipe, wrong, told = check(recipe)
        problems += [_placed(problem, number, phase) for problem in wrong]
        words.append(told)
        frozen, more = _frozen(number, phase, rows, reused)
        multipliers, also = _multipliers(number, phase, rows)
        problems += more + also
        found.append(ResolvedPhase(name, recipe, frozen, multipliers))
    if problems:
        raise InvalidSpec(list(dict.fromkeys(problems)))
    warnings = _warnings(names, words) + _never_trained(found, rows, matches)
    written_out = tuple(_written(phase, rows) for phase in found)
    return Plan(tuple(found), written_out, tuple(warnings))


def _warnings(names: Sequence[str], words: Sequence[Sequence[str]]) -> list[str]:
    """Return what is worth a word; what holds in every phase is said once."""
    shared = [one for one in words[0] if all(one in told for told in words)]
    return shared + [
        f"phase {name!r}: {one}"
        for name, told in zip(names, words, strict=True)
        for one in told
        if one not in shared
    ]


def _written(phase: ResolvedPhase, rows: Sequence[Row]) -> Phase:
    """Return a phase with nothing left to fill in."""
    own = {name: getattr(phase.recipe, name) for name in OVERRIDES}
    return Phase(
        name=phase.name,
        freeze=tuple(row.name for row in rows if row.name in phase.frozen),
        learning_rate_multipliers=phase.multipliers,
    ).model_copy(update=own)


def _names(phases: Sequence[Phase]) -> list[str]:
    return [each.name or f"phase{number}" for number, each in enumerate(phases, 1)]


def _twice(names: Sequence[str]) -> list[Problem]:
    return [
        Problem(
            pointer("phases", number, "name"),
            "duplicate_name",
            f"two phases are called {name!r}",
        )
        for number, name in enumerate(names)
        if name in names[:number]
    ]


def _range_tests(phases: Sequence[Phase], training: Training) -> list[Problem]:
    """Refuse a range test: it gives the network back as it was."""
    detail = "a range test trains nothing, so no phase can follow from it: run it alone"
    places = [
        pointer("phases", number, "schedule")
        for number, phase in enumerate(phases)
        if isinstance(phase.schedule, RangeTest)
    ]
    if isinstance(training.schedule, RangeTest):
        places.append(pointer("training", "schedule"))
    return [Problem(place, "conflict", detail) for place in places]


def _placed(problem: Problem, number: int, phase: Phase) -> Problem:
    """Return a problem of a recipe at the place where the phase says it."""
    _, part, *rest = problem.pointer.split("/")
    first = rest[0] if rest else ""
    if part != "training" or first not in OVERRIDES:
        return problem
    if first == "optimizer" and phase.learning_rate is not None:
        return replace(problem, pointer=pointer("phases", number, "learning_rate"))
    if getattr(phase, first) is None:
        return problem
    return replace(problem, pointer="/".join([pointer("phases", number), *rest]))


def _frozen(
    number: int, phase: Phase, rows: Sequence[Row], reused: frozenset[str]
) -> tuple[frozenset[str], list[Problem]]:
    """Return the layers that keep their values in a phase."""
    learning = {row.name for row in rows if row.parameters}
    if phase.freeze is not None and phase.train is not None:
        detail = "give one of freeze and train: each follows from the other"
        return reused, [Problem(pointer("phases", number, "train"), "conflict", detail)]
    frozen, problems = reused, list[Problem]()
    if phase.freeze is not None:
        chosen, problems = _chosen(phase.freeze, rows, number, "freeze")
        frozen = frozenset(chosen)
    elif phase.train is not None:
        chosen, problems = _chosen(phase.train, rows, number, "train")
        frozen = _below(rows, frozenset(chosen))
    if not problems and not learning - frozen:
        detail = "nothing learns in this phase: every layer with weights is frozen"
        problems = [Problem(pointer("phases", number), "nothing_learns", detail)]
    return frozen, problems


def _below(rows: Sequence[Row], learns: frozenset[str]) -> frozenset[str]:
    """Return the layers that keep still where only some learn.

    Those without weights do so below every layer that learns, so that dropout there
    does not make the outputs of frozen layers differ from step to step.
    """
    still = {INPUT}
    for row in rows:
        if row.name in learns:
            continue
        if row.tensors or still.issuperset(row.inputs):
            still.add(row.name)
    return frozenset(still - {INPUT})


def _multipliers(
    number: int, phase: Phase, rows: Sequence[Row]
) -> tuple[dict[str, float], list[Problem]]:
    found: dict[str, float] = {}
    problems: list[Problem] = []
    for pattern, multiplier in phase.learning_rate_multipliers.items():
        place = ("learning_rate_multipliers", pattern)
        names, wrong = _chosen(pattern, rows, number, *place)
        problems += wrong
        for name in names:
            if name in found:
                detail = f"layer {name!r} is given a multiplier twice"
                at = pointer("phases", number, *place)
                problems.append(Problem(at, "conflict", detail))
            found[name] = multiplier
    return found, problems


def _chosen(
    selection: Selection, rows: Sequence[Row], number: int, *place: str
) -> tuple[list[str], list[Problem]]:
    """Return the layers that a selection names, and what is wrong with it."""
    known, at = [row.name for row in rows], pointer("phases", number, *place)
    try:
        names = select(selection, known)
    except BadPattern as error:
        return [], [Problem(at, "bad_pattern", str(error))]
    if isinstance(selection, tuple):
        missing = [name for name in selection if name not in known]
        return names, [
            Problem(
                at,
                "unknown_layer",
                f"the network has no layer {name!r}; it has {', '.join(known[:20])}",
                nearest(name, known),
            )
            for name in missing
        ]
    if names:
        return names, []
    detail = f"no layer of the network matches; it has {', '.join(known[:20])}"
    return [], [Problem(at, "nothing_matched", detail)]


def _never_trained(
    phases: Sequence[ResolvedPhase], rows: Sequence[Row], matches: Sequence[Match]
) -> list[str]:
    """Return a warning where layers stay as they were drawn."""
    reused = {m.layer for m in matches if m.state == "reused"}
    always = frozen_throughout(phases)
    drawn = [r.name for r in rows if r.parameters and r.name in always - reused]
    if not drawn:
        return []
    told = f"{', '.join(drawn)} are frozen in every phase and come from no model: "
    return [told + "they keep their initial weights"]
