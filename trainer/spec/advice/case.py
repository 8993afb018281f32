"""What is known of the data set and of the wishes before anything is chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal

from trainer.spec.advice.wishes import IN_WORDS, AdviceRequest, Wish
from trainer.spec.data import DatasetRef
from trainer.spec.data.answers import Answer
from trainer.spec.data.features import Inputs
from trainer.spec.data.schema import Column, Scalar, Schema

SMALL_ROWS = 1_000
"""Training rows below which a data set counts as small."""
SMALL_PER_CLASS = 100
"""The same for the rows of an average class."""
LARGE_ROWS = 20_000
"""Training rows from which a data set is hardly small, whatever was said."""
IMBALANCE = 4.0
"""How many times as many rows the commonest class has as the rarest, to count."""
HEAVY_TAIL = 10.0
"""Deviations from the mean at which a target's extreme is far out."""
FEW_PIXELS = 8
"""Side of an image below which nothing is pooled away."""

Form = Literal["image", "sequence", "text", "table", "array"]
"""What the network is given, as far as its layers depend on it."""


@dataclass(frozen=True)
class Case:
    """One request, together with what its data set's schema tells."""

    request: AdviceRequest
    schema: Schema
    reference: DatasetRef
    """The data set's part of the spec that is being made."""
    answer: Answer
    inputs: Inputs
    epochs: int = 100
    """Most epochs that there is time for."""
    layers: tuple[str, ...] = ()
    """The kinds of the layers, from below, once they are chosen."""

    def wants(self, *wishes: Wish) -> bool:
        """Say whether one of the wishes was asked for."""
        return any(wish in self.request.wishes for wish in wishes)

    @cached_property
    def rows(self) -> int:
        """Return the rows of the training part."""
        return (self.schema.part("train") or self.schema.parts[0]).rows

    @cached_property
    def counts(self) -> Mapping[Scalar, int]:
        """Return the training rows of each class; empty without classes."""
        if self.answer.task != "classification":
            return {}
        column = self.target
        known = {v.value: v.train or v.count for v in column.values}
        return {value: known.get(value, 0) for value in self.answer.classes}

    @property
    def target(self) -> Column:
        """Return the first column that is predicted."""
        found = self.schema.column(self.answer.target[0])
        assert found is not None
        return found

    @cached_property
    def rows_per_class(self) -> float | None:
        """Return the rows of an average class."""
        return self.rows / len(self.counts) if self.counts else None

    @cached_property
    def smallness(self) -> str | None:
        """Say why the training set counts as small; None: it does not."""
        if self.rows < SMALL_ROWS:
            return f"{self.rows:,} training rows are fewer than {SMALL_ROWS:,}"
        each = self.rows_per_class
        if each is not None and each < SMALL_PER_CLASS:
            return f"{each:.0f} rows per class are fewer than {SMALL_PER_CLASS}"
        if self.wants("small_training_set"):
            return self.asked("small_training_set")
        return None

    @cached_property
    def imbalance(self) -> str | None:
        """Say why the classes count as unequal; None: they do not, or are none."""
        if not self.counts:
            return None
        least, most = min(self.counts.values()), max(self.counts.values())
        if most >= IMBALANCE * least:
            rarest = min(self.counts, key=lambda value: self.counts[value])
            return (
                f"class {rarest!r} has {least:,} of {sum(self.counts.values()):,} rows"
            )
        if self.wants("imbalance"):
            return self.asked("imbalance")
        return None

    @cached_property
    def form(self) -> Form:
        """Return what the network is given."""
        kind, shape = self.inputs.kind, self.inputs.shape
        if kind == "image" or (kind == "array" and len(shape) == 3):
            return "image"
        if kind == "tokens":
            return "text"
        if kind in {"sequence", "array"} and len(shape) == 2:
            return "sequence"
        return "table" if kind == "table" else "array"

    @property
    def mixes(self) -> bool:
        """Return whether some inputs are numbers of categories or tokens."""
        return bool(self.inputs.layout)

    @property
    def width(self) -> int:
        """Return how many numbers one example has."""
        return prod(self.inputs.shape)

    @property
    def side(self) -> int:
        """Return the shorter side of an image, in pixels."""
        return min(self.inputs.shape[1:])

    @cached_property
    def keeps_batch_normalization(self) -> bool:
        """Say whether batch normalisation is used.

        It costs time at each prediction and saves time in training: whoever asks for
        both gets it, and it is folded away afterwards.
        """
        return not self.wants("very_fast_model") or self.folds

    @cached_property
    def folds(self) -> bool:
        """Say whether batch normalisation trains and is folded away for predictions."""
        return self.wants("very_fast_model") and self.wants(
            "slow_convergence", "no_good_learning_rate"
        )

    @cached_property
    def far_out(self) -> float | None:
        """Return how many deviations a regression's extreme is off, if far."""
        column = self.target if self.answer.target else None
        if self.answer.task != "regression" or column is None or not column.deviation:
            return None
        if column.mean is None or column.minimum is None or column.maximum is None:
            return None
        off = max(column.maximum - column.mean, column.mean - column.minimum)
        found = off / column.deviation
        return found if found > HEAVY_TAIL else None

    def asked(self, wish: Wish) -> str:
        """Return the wish as the beginning of a reason."""
        return IN_WORDS[wish]
