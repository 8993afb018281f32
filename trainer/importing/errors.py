"""Why a foreign model is not imported.

TrainerError
└── NotImportable     with its place, a code and what to change
    └── Oversized     it takes more memory, time or space than one model may
"""

from __future__ import annotations

from trainer.errors import TrainerError
from trainer.spec.imports import ImportProblem

FILE = "/file"


class NotImportable(TrainerError):
    """The files are not what they must be, or say what has no words here."""

    def __init__(self, *problems: ImportProblem) -> None:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        super().__init__(f"{problems[0].detail}{more}")
        self.problems = problems


class Oversized(NotImportable):
    """It takes more memory, time or space than one model may."""


def unfit(
    code: str, detail: str, suggestion: str | None = None, pointer: str = FILE
) -> NotImportable:
    """Make the refusal for one reason."""
    return NotImportable(
        ImportProblem(
            pointer=pointer, code=code, detail=detail[:2_000], suggestion=suggestion
        )
    )


def oversized(code: str, detail: str, suggestion: str | None = None) -> Oversized:
    """Make the refusal of something that takes too much."""
    return Oversized(*unfit(code, detail, suggestion).problems)


def damaged(what: str, detail: str) -> NotImportable:
    """Make the refusal of a file that is cut off or not of its format."""
    return unfit(
        "damaged_file",
        f"{what} cannot be read: {detail}",
        "check the file against its source, or send it in another format",
    )


def unknown_node(kind: str, name: str, why: str = "") -> NotImportable:
    """Make the refusal of a layer that has no counterpart here."""
    return unfit(
        "unsupported_layer",
        f"the layer {name!r} is a {kind}, which {why or 'has no counterpart here'}",
        "name the last layer to import in `output`: everything below it is taken",
        pointer="/output",
    )


def missing_library(format_: str, library: str) -> NotImportable:
    """Make the refusal for want of an optional library."""
    return unfit(
        "missing_library",
        f"reading {format_} needs the library {library}, which this server lacks",
        f"ask its operator for: pip install 'frostline[import]' (or {library})",
    )
