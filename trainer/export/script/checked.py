"""Whether a script does without us and answers what the model answers.

It runs in a Python of its own that sees no folder of ours and no environment.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trainer.errors import ExportWrong
from trainer.export.compared import compare
from trainer.export.errors import CannotExport
from trainer.export.script.rows import reads_rows
from trainer.export.written import written_rows
from trainer.saved.model_folder import PREPROCESSING, WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.export.compared import Compared
    from trainer.export.opened import Opened

SECONDS = 120
INPUT_TOLERANCE = 1e-6
"""Largest difference of a feature, relative to the largest where that is above one."""

RUN = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy, torch
from pathlib import Path
import network
folder = Path(sys.argv[1])
made = network.load(sys.argv[2])
given = numpy.load(folder / "given.npz")
with torch.no_grad():
    found = {name: made(torch.from_numpy(x)).numpy() for name, x in given.items()}
if (folder / "rows.json").exists():
    found["rows"] = network.preprocess(json.loads((folder / "rows.json").read_text()))
numpy.savez(folder / "found.npz", **found)
print(*{name.split(".")[0] for name in sys.modules}, file=sys.stderr)
"""


def checked(opened: Opened, script: Path) -> Compared:
    """Run the script on the model's rows and compare what comes out.

    Raises:
        CannotExport: the script does not run.
        ExportWrong: it answers something else.
    """
    rows = None
    if opened.real is not None and reads_rows(opened.preprocessing):
        rows = written_rows(opened.preprocessing.description, opened.real)
    found = ran(script, opened.folder, opened.batches, rows)
    answers = iter(found["answers"])
    compared = compare(opened, lambda _: next(answers))
    if rows is not None:
        assert opened.real is not None
        _compare_input(found["rows"], opened.real.input[: len(found["rows"])])
    return compared


def ran(
    script: Path, model: Path, batches: list[Tensor], rows: list[Any] | None = None
) -> dict[str, Any]:
    """Return what a script in a Python of its own says of batches, and makes of rows.

    Raises:
        CannotExport: it does not run.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(script, folder / "network.py")
        if (model / PREPROCESSING).exists():
            shutil.copy(model / PREPROCESSING, folder / PREPROCESSING)
        given = {f"batch{n}": batch.numpy() for n, batch in enumerate(batches)}
        np.savez(folder / "given.npz", **given)  # type: ignore[arg-type]
        if rows is not None:
            (folder / "rows.json").write_text(json.dumps(rows))
        done = subprocess.run(
            [sys.executable, "-I", "-c", RUN, name, str(model / WEIGHTS)],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            env={"OMP_NUM_THREADS": "1"},
            cwd=name,
        )
        if done.returncode:
            raise CannotExport("a script", "this network", done.stderr[-300:])
        with np.load(folder / "found.npz") as archive:
            found = {key: archive[key] for key in archive.files}
    return {
        "answers": [torch.from_numpy(found[key]) for key in given],
        "rows": found.get("rows"),
        "modules": set(done.stderr.split()),
    }


def _compare_input(found: Any, expected: Any) -> None:
    if found.shape != expected.shape:
        raise ExportWrong(difference=float("inf"), tolerance=INPUT_TOLERANCE)
    apart = float(np.abs(found.astype(np.float64) - expected).max(initial=0))
    tolerance = INPUT_TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0)))
    if not apart <= tolerance:
        raise ExportWrong(difference=apart, tolerance=tolerance)
