"""Lengths of time in a training, told in steps or in epochs."""

from typing import Annotated

from pydantic import Field

from trainer.spec.base import Count, Spec


class Epochs(Spec):
    """A length told in passes over the training rows."""

    epochs: Annotated[float, Field(gt=0, le=1e6)]
    """Number of passes; a fraction of one is allowed."""


Length = Count | Epochs
"""A length in steps, or ``{"epochs": n}``."""


def number(length: int | Epochs) -> float:
    """Return the number of a length, whatever it counts."""
    return length.epochs if isinstance(length, Epochs) else length


def comparable(one: int | Epochs, other: int | Epochs) -> bool:
    """Return whether both lengths count the same."""
    return isinstance(one, Epochs) == isinstance(other, Epochs)


def steps_of(length: int | Epochs, steps_per_epoch: int) -> float:
    """Return a length in steps."""
    if isinstance(length, Epochs):
        return length.epochs * steps_per_epoch
    return float(length)
