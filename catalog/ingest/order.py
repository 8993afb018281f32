"""What passes between the API and the child that reads an upload."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from trainer.spec.base import Spec

GIB = 1024**3
OUT_OF_SPACE = 28
"""Exit code of a child that met a full disk."""

TableKind = Literal["number", "integer", "boolean", "category", "text", "date"]
"""The kinds that a column of a table can be given."""


def _one_character(value: str) -> str:
    spelled = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
    value = spelled.get(value, value)
    if len(value) != 1 or not value.isascii() or value in "\r\n\0":
        raise ValueError("must be one ASCII character, or the word tab")
    return value


Character = Annotated[str, AfterValidator(_one_character)]


class Resize(Spec):
    """One size for all images, in pixels."""

    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)


class Options(Spec):
    """How to read an upload; what is left out is found by looking at it."""

    delimiter: Character | None = None
    """What stands between two fields of a CSV file: one character, or ``tab``."""
    quote: Character | None = None
    """What encloses a field of a CSV file that contains the delimiter."""
    header: Literal["row", "none"] | tuple[str, ...] | None = None
    """Whether the first row of a CSV file names the columns; a list of names for a
    file that has no such row."""
    missing: tuple[str, ...] | None = None
    """The strings that mean that a value is missing."""
    kinds: dict[str, TableKind] = Field(default_factory=dict)
    """Kinds of columns by name, where the found ones are not wanted."""
    target: str | None = None
    """The column to predict, unless a job says otherwise."""
    resize: Resize | None = None
    """Size that all images of class folders are brought to."""


class Limits(Spec):
    """How much reading one upload may cost."""

    memory_bytes: int = Field(default=4 * GIB, ge=256 * 1024**2)
    """Most memory of the child."""
    seconds: float = Field(default=1_800, gt=0)
    """Longest time of the child, by the clock on the wall."""
    output_bytes: int = Field(default=256 * GIB, ge=1)
    """Most bytes that the finished columns, or one unpacked file, may take."""
    ratio: int = Field(default=100, ge=1)
    """Most bytes that one byte of a compressed upload may unpack to."""
    files: int = Field(default=100_000, ge=1)
    """Most files in an archive."""
    columns: int = Field(default=20_000, ge=1)
    """Most columns of a table."""
    pixels: int = Field(default=64 * 1024**2, ge=1)
    """Most pixels of one image."""


class File(Spec):
    """One file of an upload, stored under a name of our own."""

    stored: str
    """Its name below ``files/``."""
    name: str
    """What the sender calls it: shown, and used to pair idx files, never a path."""
    bytes: int
    sha256: str


class Order(Spec):
    """What the child is to read."""

    files: tuple[File, ...] = ()
    builtin: str | None = None
    """The name of a data set that scikit-learn carries, instead of files."""
    options: Options = Options()
    limits: Limits = Limits()


class Complaint(Spec):
    """One reason why an upload is refused, or one problem of a good one."""

    code: str
    detail: str
    """What was found, and where."""
    remedy: str | None = None
    """What to change."""
    row: int | None = None
    """The row, counted from 1; the header is not one."""
    line: int | None = None
    """The line of the text file, counted from 1."""
    column: str | None = None
    file: str | None = None


class Answer(Spec):
    """What came of it: the content's address and report, or the complaints."""

    sha256: str | None = None
    bytes: int = 0
    """Size of the finished data set."""
    report: dict[str, Any] = Field(default_factory=dict)
    refused: tuple[Complaint, ...] = ()
    reason: Literal["invalid", "too_large"] = "invalid"
