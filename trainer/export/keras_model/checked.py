"""Whether a Keras archive holds what it must, without Keras, which is not installed.

Frostline's own importer reads it back as it reads anybody's; where it knows all the
layers, the outputs are compared, else every array is.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trainer.errors import ExportWrong
from trainer.export.compared import Compared, compare
from trainer.importing import keras_file
from trainer.importing.errors import NotImportable
from trainer.importing.found import Weights
from trainer.importing.keras_weights import KerasFile
from trainer.network import Network
from trainer.spec.imports import ImportLimits
from trainer.spec.network import NetworkSpec, filled

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.export.keras_model.drawing import Drawing
    from trainer.export.opened import Opened

LIMITS = ImportLimits()


def checked(
    opened: Opened, path: Path, drawing: Drawing, *, raw_pixels: bool
) -> Compared:
    """Read the archive back and compare it.

    Raises:
        ExportWrong: outputs or arrays differ.
    """
    takes = "pixels from 0 to 255" if raw_pixels else "what preprocessing makes of rows"
    axes = "channels last" if len(opened.network.shape) == 3 else "as it is"  # noqa: PLR2004
    more = {"input": takes, "axes": axes}
    try:
        answer = read_back(path)
    except NotImportable as beyond:
        count = _compare_arrays(path, drawing)
        why = beyond.problems[0].detail
        return Compared(
            0.0, 0, 0, more | {"compared": "arrays", "arrays": count, "why": why}
        )
    found = compare(opened, answer)
    told = {"compared": "outputs, read back by Frostline's importer"}
    return Compared(found.maximum_difference, found.rows, found.real_rows, more | told)


def read_back(path: Path) -> Any:
    """Return the way from a batch to outputs that the importer finds in an archive.

    A scaling of raw pixels is left to the caller.

    Raises:
        NotImportable: the importer does not know all of its layers.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = keras_file.read(path, Path(folder), LIMITS, None, keeps_ending=True)
    assert not isinstance(found, Weights)
    layers = NetworkSpec.model_validate({"layers": found.layers})
    network = Network(filled(layers, None), found.input_shape)
    tensors = {f"layers.{n}": torch.from_numpy(a) for n, a in found.tensors.items()}
    network.load_state_dict(tensors, strict=False)
    network.eval()

    def answer(x: Tensor) -> Tensor:
        outputs: Tensor = network(x)
        return outputs

    return answer


def _compare_arrays(path: Path, drawing: Drawing) -> int:
    """Compare every array of the archive with the one that was drawn; count them."""
    with tempfile.TemporaryDirectory() as folder:
        held = KerasFile(path, Path(folder), LIMITS).every()
    drawn = [a for layer in drawing.layers for p in layer.arrays.values() for a in p]
    left = dict(held)
    for array in drawn:
        same = (n for n, a in left.items() if a.shape == array.shape)
        match = next((n for n in same if np.array_equal(left[n], array)), None)
        if match is None:
            raise ExportWrong(difference=float("nan"), tolerance=0.0)
        del left[match]
    return len(drawn)
