"""A model as a script of plain PyTorch that rebuilds and loads the network.

It needs torch, numpy and safetensors, and nothing of ours: layers that torch has are
written in its words, those that it lacks are copied with what they need. What is done
to rows is written out in numpy. The script is run without us before it counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.export.script.checked import checked
from trainer.export.script.program import script_of

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.export.compared import Compared
    from trainer.export.opened import Opened


def write(opened: Opened, path: Path) -> Compared:
    """Write the script and compare what it answers.

    Raises:
        CannotExport: a module cannot be written.
        ExportWrong: the script answers something else.
    """
    text = script_of(opened.network, opened.preprocessing, opened.description)
    path.write_text(text, encoding="utf-8")
    return checked(opened, path)
