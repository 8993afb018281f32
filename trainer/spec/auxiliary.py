"""Tasks whose answers are made of the rows, to learn layers that others reuse.

Add one: write its class, name it in ``AuxiliaryTask``; what its rows are is said in
``trainer.data.auxiliary``. They take the place of the data set's own target and are
classifications, so everything else of a job is as usual.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from trainer.spec.base import Count, Named, Spec

DIFFERENT, SAME = "different", "same"


class Auxiliary(Spec):
    """What every auxiliary task answers."""

    made: ClassVar[bool] = True
    """Whether it makes targets at all."""
    pairs_up: ClassVar[bool] = False
    """Whether an example is a pair of examples."""

    @property
    def classes(self) -> tuple[str | int, ...]:
        """Return the classes that it asks for."""
        return ()

    def examples(self, rows: int) -> int:
        """Return how many examples are made of so many training rows in an epoch."""
        return rows


class NoAuxiliaryTask(Auxiliary):
    """Learn the data set's own target."""

    kind: Literal["none"] = "none"
    made: ClassVar[bool] = False


class Rotation(Auxiliary):
    """Tell by which angle an image was turned, after Gidaris et al. (2018), ICLR.

    Every image occurs at every angle in each epoch, and each time counts as an example;
    so it does among the rows that are held back. No label is needed.
    """

    kind: Literal["rotation"] = "rotation"
    angles: Annotated[
        tuple[Literal[0, 90, 180, 270], ...], Field(min_length=2, max_length=4)
    ] = (0, 90, 180, 270)
    """The angles in degrees, anticlockwise; they are the classes. Images that are not
    square can be turned by 0 and 180."""

    @model_validator(mode="after")
    def _each_once(self) -> Rotation:
        if len(set(self.angles)) < len(self.angles):
            raise ValueError("each angle can be there once")
        return self

    @property
    def classes(self) -> tuple[str | int, ...]:
        """Return the angles."""
        return self.angles

    def examples(self, rows: int) -> int:
        """Return one example for each row and angle."""
        return rows * len(self.angles)


class SameOrDifferent(Auxiliary):
    """Tell whether two examples belong together, after Bromley et al. (1993), NIPS 6.

    An example is a pair (2, *shape). Half of the pairs are "same" and half "different",
    of an odd number one more. Which rows make them is drawn anew in every epoch, from
    the seed and the epoch alone, and once for the rows held back. Pairs of two views of
    one example are those of Hadsell et al. (2006) and Chen et al. (2020).
    """

    kind: Literal["same_or_different"] = "same_or_different"
    same: Literal["label", "example"] = "label"
    """``label``: two different examples are the same if their labels are; both members
    of a pair are drawn evenly, a class of one example has no "same" pairs.
    ``example``: two views of one example are the same, two of different ones are not;
    views differ by ``training.augmentation``, no label is needed."""
    pairs: Count | None = None
    """Pairs in an epoch; absent: as many as there are training rows. Of rows that are
    held back there are as many pairs as rows."""
    pairs_up: ClassVar[bool] = True

    @property
    def classes(self) -> tuple[str | int, ...]:
        """Return both answers."""
        return (DIFFERENT, SAME)

    def examples(self, rows: int) -> int:
        """Return how many pairs there are."""
        return rows if self.pairs is None else self.pairs


AuxiliaryTask = Annotated[
    Annotated[
        NoAuxiliaryTask | Rotation | SameOrDifferent, Field(discriminator="kind")
    ],
    Named,
]
"""What is learned in place of the data set's target."""


def by_label(task: Auxiliary) -> bool:
    """Return whether a task needs the label of every row."""
    return isinstance(task, SameOrDifferent) and task.same == "label"
