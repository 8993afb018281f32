"""A network as an archive of `torch.export`, for batches of any size.

It holds the operators of the forward pass and the weights, but none of our code: torch
alone loads it, `torch.export.load("network.pt2").module()`. Input and output are those
of the network: float32 after preprocessing, and its raw outputs.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from trainer.export.compared import Compared, compare
from trainer.export.errors import CannotExport

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.export.opened import Opened

TRACED_ROWS = 3
"""Rows that are traced; the comparison uses other numbers of rows."""
FLAT_WEIGHTS = r"(?s)The tensor attributes .*_flat_weights"
"""A warning about torch's own recurrent layers, which keep a second list of weights."""


def write(opened: Opened, path: Path) -> Compared:
    """Write the archive, read it back and compare it.

    Raises:
        CannotExport: torch cannot trace the network for every batch size.
        ExportWrong: the archive answers something else.
    """
    network = opened.network
    x = network.drawn_rows(TRACED_ROWS, torch.Generator().manual_seed(0))
    batch = {0: torch.export.Dim("batch", min=1)}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", FLAT_WEIGHTS)
            program = torch.export.export(network, (x,), dynamic_shapes=(batch,))
    except Exception as error:
        first = str(error).strip().partition("\n")[0][:300]
        why = f"torch cannot trace it for every batch size: {first}"
        raise CannotExport("torch.export", "this network", why) from error
    torch.export.save(program, path)
    return compare(opened, torch.export.load(path).module())
