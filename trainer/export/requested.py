"""A catalogued model in a form that was asked for: written, compared, put in its place.

Add a form: its name in `trainer.spec.exports`, its writer in `WRITERS` here.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trainer.export import archive, keras_model, pipeline, script
from trainer.export.opened import Opened
from trainer.saved.model_folder import sync
from trainer.spec.exports import FILES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trainer.export.compared import Compared
    from trainer.spec.exports import ExportFormat


@dataclass(frozen=True)
class Written:
    """What was written, and how near it is to the model."""

    path: Path
    maximum_difference: float
    report: dict[str, Any] = field(default_factory=dict)


WRITERS: dict[ExportFormat, Callable[[Opened, Path], Compared]] = {
    "torch_export": archive.write,
    "keras": keras_model.write,
    "pytorch_script": script.write,
    "onnx_pipeline": pipeline.write,
}


def write(wanted: ExportFormat, folder: Path, dataset: Path | None = None) -> Written:
    """Write the model of a folder in a form, into that folder.

    The file appears under its name once it has been compared with the model.

    Raises:
        CannotExport: the form has no words for something in the model.
        ExportWrong: what was written answers something else.
    """
    path = folder / FILES[wanted]
    unfinished = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        compared = WRITERS[wanted](Opened(folder, dataset), unfinished)
        sync(unfinished)
        unfinished.rename(path)
        sync(folder)
    finally:
        unfinished.unlink(missing_ok=True)
    report = {"rows": compared.rows, "real_rows": compared.real_rows, **compared.more}
    return Written(path, compared.maximum_difference, report)
