"""Which rows of which data set are used, and for what."""

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from trainer.spec.auxiliary import AuxiliaryTask, NoAuxiliaryTask
from trainer.spec.base import Count, Nullable, Off, Spec
from trainer.spec.data.encodings import Encoding
from trainer.spec.data.schema import Scalar
from trainer.spec.losses import Task


class Condition(Spec):
    """What a column's value must satisfy for its row to be used."""

    model_config = ConfigDict(populate_by_name=True)

    in_: tuple[Scalar, ...] | None = Field(default=None, alias="in", max_length=10_000)
    """One of these values."""
    not_in: tuple[Scalar, ...] | None = Field(default=None, max_length=10_000)
    """None of these values."""
    minimum: float | None = None
    """At least this number."""
    maximum: float | None = None
    """At most this number."""

    @model_validator(mode="after")
    def _says_something(self) -> "Condition":
        if not self.model_fields_set:
            raise ValueError("say one of in, not_in, minimum, maximum")
        return self


class Rows(Spec):
    """A range of rows of the training part, counted from 0, the end left out."""

    rows: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]]
    """First row and the row after the last."""

    @model_validator(mode="after")
    def _in_order(self) -> "Rows":
        if self.rows[0] >= self.rows[1]:
            raise ValueError(f"the range {list(self.rows)} holds no row")
        return self


class PartName(Spec):
    """A part that was uploaded as such."""

    part: str
    """Name of the part, for instance ``test``."""


Share = Annotated[float, Field(gt=0, lt=1)]
"""A share of the training part's rows."""

Held = Annotated[Share | Rows | PartName | Off, Nullable]
"""Rows held back from training: a share, a range or an uploaded part; or none."""


class Split(Spec):
    """How rows are held back from training."""

    validation: Annotated[Held | None, Nullable] = None
    """For early stopping and choices; absent: a tenth of the training rows, or the
    uploaded part ``validation``."""
    test: Annotated[Held | None, Nullable] = None
    """Looked at once, at the end; absent: the uploaded part ``test``, else a tenth."""
    stratify: bool | None = None
    """Whether classes keep their shares when rows are drawn; absent: for classes."""


class PerClass(Spec):
    """How many examples of each class are kept."""

    train: Count
    """Examples per class for training."""
    validation: Count | None = None
    """Examples per class for validation; absent: all."""


class Windows(Spec):
    """How the rows of a time series become examples.

    An example is `length` rows that follow each other; its target is that of the row
    `horizon` steps after the last of them.
    """

    length: Annotated[int, Field(ge=1, le=100_000)]
    """Rows that the network sees at once."""
    horizon: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Steps from the last row of a window to the row whose target is predicted."""
    stride: Count = 1
    """Steps from the first row of one window to the first row of the next."""
    order_by: str | None = None
    """Column of dates or numbers that the rows are ordered by; absent: the rows lie in
    their order."""
    group_by: str | None = None
    """Column that tells several series apart: a window lies within one of them."""


def count_of_training_rows(value: object) -> object:
    """Turn a plain number into one of training rows."""
    return {"train": value} if isinstance(value, int) else value


class DatasetRef(Spec):
    """A data set and the rows and columns of it that the job uses."""

    id: str = Field(min_length=1, max_length=200)
    """An id, a name (the newest version) or ``name@version``."""
    target: str | tuple[str, ...] | None = None
    """Column to predict, or several; absent: the one that the upload names."""
    task: Task | None = None
    """What kind of learning it is; absent: it follows from the target's kind."""
    features: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Columns to predict from; absent: all but the target."""
    where: dict[str, Condition] = Field(default_factory=dict, max_length=1000)
    """Rows are used only where every named column satisfies its condition."""
    examples_per_class: Annotated[
        PerClass | None, BeforeValidator(count_of_training_rows, int | PerClass)
    ] = None
    """A few examples of each class only, drawn by the seed; a number is for training
    rows alone."""
    split: Split = Split()
    """How rows are held back for validation and test."""
    standardize: bool | None = None
    """Whether features get mean 0 and deviation 1 over the training rows; absent: yes
    for the numbers of tables, no for images and arrays (8-bit images are divided by
    255 either way)."""
    encodings: dict[str, Encoding] = Field(default_factory=dict, max_length=100_000)
    """What single columns become, by name; absent: numbers are standardised, up to 50
    categories become one feature each, more become a learned vector, dates their time
    and their place in the year, week and day, texts the numbers of their tokens."""
    windows: Windows | None = None
    """For a time series: examples are runs of rows, and are divided by time; absent:
    each row is an example."""
    auxiliary_task: AuxiliaryTask = NoAuxiliaryTask()
    """A task made from the rows, learned in place of the target so that a later job can
    reuse the layers; the target then only tells which examples have the same label.
    Absent: none."""
