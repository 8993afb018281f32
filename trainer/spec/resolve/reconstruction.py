"""What a reconstruction gives back: the input, or the output of a layer that rests."""

from collections.abc import Collection, Iterator, Sequence

from trainer.spec.data.answers import Answer
from trainer.spec.data.features import Inputs
from trainer.spec.errors import InvalidSpec, Problem, nearest, pointer
from trainer.spec.network import INPUT, NetworkSpec, Row, filled, rows_of
from trainer.spec.resolve.phases import ResolvedPhase
from trainer.spec.shapes import Shape

PLACE = pointer("training", "reconstruct")


def given_back(network: NetworkSpec, answer: Answer, inputs: Inputs) -> Shape:
    """Return the shape of what is given back.

    Raises:
        InvalidSpec: no layer has that name.
    """
    if answer.layer is None:
        return inputs.shape
    plain = filled(network, None)
    rows, _ = rows_of(plain, inputs.shape)
    names = [str(layer.name) for layer in plain.layers[:-1]]
    if answer.layer not in names:
        detail = f"the network has no layer {answer.layer!r} below its output"
        near = nearest(answer.layer, names)
        raise InvalidSpec([Problem(PLACE, "unknown_layer", detail, near)])
    shapes = {row.name: row.output_shape for row in rows}
    return shapes.get(answer.layer, inputs.shape)  # what is wrong will be told


def reconstruction_problems(
    answer: Answer,
    network: NetworkSpec,
    rows: Sequence[Row],
    phases: Sequence[ResolvedPhase],
) -> list[Problem]:
    """Return why a layer's output cannot be given back, phase by phase.

    The output stands on it, as on every layer: none is unused.
    """
    if answer.layer is None:
        return []
    if answer.task != "reconstruction":
        detail = f"the task is {answer.task}, which gives nothing back"
        return [Problem(PLACE, "conflict", detail, "dataset.task: reconstruction")]
    below = {answer.layer, *ancestors(rows, answer.layer)}
    found = {
        problem
        for phase in phases
        for problem in _moving(answer.layer, below, network, rows, phase)
    }
    return sorted(found, key=lambda problem: problem.detail)


def ancestors(rows: Sequence[Row], name: str) -> set[str]:
    """Return all that a layer stands on."""
    found: set[str] = {name}
    for row in reversed(rows):
        if row.name in found:
            found.update(row.inputs)
    return found - {name, INPUT}


def _moving(
    name: str,
    below: Collection[str],
    network: NetworkSpec,
    rows: Sequence[Row],
    phase: ResolvedPhase,
) -> Iterator[Problem]:
    """Yield why what is to be given back would change while it is learned."""
    follows = phase.recipe.frozen_normalization == "train"
    for row, layer in zip(rows, network.layers, strict=True):
        if row.name not in below:
            continue
        frozen = row.name in phase.frozen
        learns = row.parameters and not frozen
        lent = row.lender is not None and row.lender not in phase.frozen
        drifts = row.tensors and (follows or not frozen) and _normalises(row)
        if not (learns or lent or drifts or (layer.draws() and not frozen)):
            continue
        why = "draws at random" if not (learns or lent or drifts) else "learns"
        if drifts and frozen:
            why = "follows the statistics of each batch (frozen_normalization)"
        where = "it" if row.name == name else f"{row.name!r}, which it stands on,"
        detail = (
            f"{name!r} cannot be given back, because {where} {why}: what is learned "
            "has to stand still"
        )
        freeze = f"freeze {row.name} in an entry of reuse"
        yield Problem(PLACE, "not_frozen", detail, freeze)


def _normalises(row: Row) -> bool:
    return any(name.endswith("running_mean") for name in row.tensors)
