"""One form of a model that a person asked for, written by a trainer that does that."""

from __future__ import annotations

import signal
from pathlib import Path  # noqa: TC003 - pydantic reads it
from typing import TYPE_CHECKING

from trainer.errors import TrainerError
from trainer.spec.base import Spec
from trainer.spec.exports import ExportFormat  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from trainer.process.frames import Frames


class AskedExport(Spec):
    """Which model, in which form."""

    model: Path
    """The model's folder, which gets the file."""
    format: ExportFormat
    dataset: Path | None = None
    """The data it learned from, if they are there: rows to compare on."""


def write_as(asked: AskedExport, frames: Frames) -> None:
    """Write the form, and tell how near it is to the model, or why there is none."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing is left to be saved
    from trainer.export.requested import write  # noqa: PLC0415 - training needs none

    try:
        written = write(asked.format, asked.model, asked.dataset)
    except TrainerError as error:
        told = {"reason": error.reason, "error": str(error), "data": error.facts}
        frames.send({"event": "failed", **told})
        return
    frames.send(
        {
            "event": "exported",
            "maximum_difference": written.maximum_difference,
            "report": written.report,
        }
    )
