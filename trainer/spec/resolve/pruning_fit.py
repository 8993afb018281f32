"""Whether a wish for pruning fits the rest of the training."""

from collections.abc import Iterator

from trainer.spec.errors import Problem, pointer
from trainer.spec.pruning import Gradual, NoPruning
from trainer.spec.schedules.lengths import Epochs
from trainer.spec.training import Training

PLACE = ("training", "pruning")


def pruning_problems(training: Training) -> list[Problem]:
    """Return what is asked of pruning that cannot be."""
    wish = training.pruning
    problems: list[Problem] = []
    if isinstance(wish, Gradual):
        problems += _schedule(wish, training.epochs)
    if not isinstance(wish, NoPruning) and training.schedule.kind == "range_test":
        detail = "a range test leaves no trained weights to prune"
        problems.append(Problem(pointer(*PLACE), "conflict", detail, "none"))
    return problems


def _schedule(wish: Gradual, epochs: int) -> Iterator[Problem]:
    """Find ends that training never reaches or that come before the beginning."""
    if isinstance(wish.end, Epochs) and wish.end.epochs > epochs:
        yield Problem(
            pointer(*PLACE, "end"),
            "too_late",
            f"pruning ends after {wish.end.epochs:g} epochs, training after {epochs}",
            f'{{"epochs": {epochs}}}',
        )
    if isinstance(wish.begin, Epochs) and wish.begin.epochs >= epochs:
        yield Problem(
            pointer(*PLACE, "begin"),
            "too_late",
            f"pruning begins after {wish.begin.epochs:g} epochs, training ends after "
            f"{epochs}",
        )
    if wish.end is None or isinstance(wish.begin, Epochs) != isinstance(
        wish.end, Epochs
    ):
        return
    begin, end = _number(wish.begin), _number(wish.end)
    if end < begin:
        yield Problem(
            pointer(*PLACE, "end"),
            "too_early",
            f"pruning ends at {end:g}, before it begins at {begin:g}",
        )


def _number(length: int | Epochs) -> float:
    return length.epochs if isinstance(length, Epochs) else length
