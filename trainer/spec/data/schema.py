"""What an ingested data set looks like: its columns, its parts, its target.

``dataset.json`` in a data set's folder is one ``Schema``. Each column lies beside it
as ``columns/<index>.npy``, or ``columns/<index>.arrow`` for text. Rows are stored in
the order of the parts, so a part is a range of rows.
"""

from typing import Literal

from pydantic import Field

from trainer.spec.base import Spec
from trainer.spec.data.words import WordCount

ColumnKind = Literal[
    "number", "integer", "boolean", "category", "text", "date", "image", "array"
]
"""How a column is stored: ``number`` float64 with NaN for missing; ``integer`` int64
without missing values; ``boolean`` uint8 with 255 for missing; ``category`` int32
codes with -1 for missing; ``text`` an Arrow file with one utf8 column ``text``;
``date`` int64 microseconds since 1970 UTC with the smallest int64 for missing;
``image`` uint8 (rows, height, width, channels); ``array`` float32 (rows, *shape)."""

Scalar = str | int | float | bool
"""One value of a column."""

DatePart = Literal["time", "month", "weekday", "day_of_year", "hour"]
"""What a date can be told by: how long ago it is, or where in a cycle it lies."""


class Value(Spec):
    """How often one value of a column occurs."""

    value: Scalar
    count: int = Field(ge=0)
    """Rows with this value, over all parts."""
    train: int = Field(default=0, ge=0)
    """Rows with this value in the training part."""


class Column(Spec):
    """One column of a data set."""

    name: str
    kind: ColumnKind
    shape: tuple[int, ...] = ()
    """Shape of one row's value: () for a scalar, (height, width, channels) for an
    image."""
    missing: int = Field(default=0, ge=0)
    """Rows without a value."""
    distinct: int | None = None
    """How many different values occur; None if more than 1,000 or not counted."""
    values: tuple[Value, ...] = ()
    """The different values with their counts, sorted, if there are at most 1,000."""
    categories: tuple[str, ...] = ()
    """For a category column: the strings that the codes 0, 1, … stand for."""
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    deviation: float | None = None
    """Population standard deviation of the values that are there."""
    words: WordCount | None = None
    """For a text column: how many words its training rows have; None if they were not
    counted."""
    varies: tuple[DatePart, ...] | None = None
    """For a date column: which parts differ among its training rows; None if nobody
    looked."""


class Part(Spec):
    """A named range of rows: ``train``, ``test``, ``validation``."""

    name: str
    start: int = Field(ge=0)
    stop: int = Field(ge=0)

    @property
    def rows(self) -> int:
        """Return how many rows the part has."""
        return self.stop - self.start


class Schema(Spec):
    """Everything about a data set but the values themselves."""

    format: Literal[1] = 1
    rows: int = Field(ge=1)
    parts: tuple[Part, ...]
    columns: tuple[Column, ...]
    target: str | None = None
    """The column that the upload itself names as the target (idx labels, class
    folders, npz ``y``), if any."""
    source: str = "table"
    """What was uploaded: table, idx, images, npz, builtin."""

    def column(self, name: str) -> Column | None:
        """Return the column of that name, if there is one."""
        return next((c for c in self.columns if c.name == name), None)

    def index(self, name: str) -> int:
        """Return the position of a column, which is also its file's name."""
        return next(i for i, c in enumerate(self.columns) if c.name == name)

    def part(self, name: str) -> Part | None:
        """Return the part of that name, if there is one."""
        return next((p for p in self.parts if p.name == name), None)
