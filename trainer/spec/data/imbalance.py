"""Classes that are so rare that a network learns to leave them out."""

from collections.abc import Mapping

from trainer.spec.data import DatasetRef
from trainer.spec.data.answers import Answer
from trainer.spec.data.schema import Scalar, Schema
from trainer.spec.training import Training

RARE_SHARE = 0.05
"""Share of the rows below which a class is told of."""
OF_EVEN = 0.5
"""And below which part of an even share: of 40 classes none has many rows."""
REMEDIES = ("class_weights", "sampling")
"""Fields of the training that weigh rare classes up."""


def rare_class(
    schema: Schema, ref: DatasetRef, training: Training, answer: Answer
) -> list[str]:
    """Return a warning if a class is rare and nothing is done about it."""
    column = schema.column(answer.target[0]) if answer.target else None
    if answer.task != "classification" or column is None:
        return []
    if ref.examples_per_class is not None or _handled(training):
        return []
    counts = {v.value: v.train or v.count for v in column.values}
    kept = {value: counts.get(value, 0) for value in answer.classes}
    rarest, share = rarest_class(kept)
    if not is_rare(share, len(kept)):
        return []
    told = (
        f"class {rarest!r} has {share:.1%} of the rows: a network may learn to leave "
        "it out; set training.class_weights to 'balanced', or training.sampling to "
        "draw classes equally often, and judge by more than accuracy"
    )
    return [told]


def rarest_class(counts: Mapping[Scalar, int]) -> tuple[Scalar, float]:
    """Return the class with the fewest rows, and its share of all."""
    total = sum(counts.values())
    rarest = min(counts, key=lambda value: counts[value])
    return rarest, counts[rarest] / total if total else 1.0


def is_rare(share: float, classes: int) -> bool:
    """Return whether a class is rare, and much rarer than an even share would be."""
    return share < min(RARE_SHARE, OF_EVEN / classes)


def _handled(training: Training) -> bool:
    fields = Training.model_fields
    return any(
        name in fields and getattr(training, name) != fields[name].get_default()
        for name in REMEDIES
    )
