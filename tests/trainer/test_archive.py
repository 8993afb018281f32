"""Archives of torch.export: torch alone loads them, for batches of any size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer import test_layers_everywhere as everywhere
from tests.trainer.exported_models import trained
from tests.trainer.layers import made
from trainer.export import archive
from trainer.export.opened import Opened
from trainer.export.requested import write
from trainer.network import Network

LOAD = """
import sys, numpy, torch
program = torch.export.load(sys.argv[1]).module()
x = torch.from_numpy(numpy.load(sys.argv[2]))
with torch.no_grad():
    numpy.save(sys.argv[3], program(x).numpy())
assert not {"trainer", "frostline"} & set(sys.modules)
"""


class Given(Opened):
    """A network in memory, in place of a model folder."""

    def __init__(self, network: Network, rows: Any) -> None:
        super().__init__(Path("toy"))
        vars(self).update(network=network, rows=rows)

    @property
    def batches(self) -> list[Any]:
        """Return a batch, and one of a single row."""
        return [vars(self)["rows"], vars(self)["rows"][:1]]


FAST = ("words", "tied")
SLOW = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in everywhere.NETWORKS
    if name not in FAST
]


@pytest.mark.timeout(200)  # torch's exporter imports torch's compiler
@pytest.mark.parametrize("case", [*FAST, *SLOW])
def test_every_network_is_traced_for_any_batch(case: str, tmp_path: Path) -> None:
    shape, layers = everywhere.NETWORKS[case]
    net = made(layers, shape).float()

    compared = archive.write(
        Given(net, everywhere.rows(shape)), tmp_path / "network.pt2"
    )

    assert compared.maximum_difference <= 1e-5
    assert compared.rows == 31


@pytest.mark.timeout(200)
def test_an_archive_is_loaded_without_us(tmp_path: Path) -> None:
    model, data, _ = trained(tmp_path, "images")
    written = write("torch_export", model, data)
    opened = Opened(model)
    x = opened.batches[0]
    np.save(tmp_path / "x.npy", x.numpy())

    files = [str(p) for p in (written.path, tmp_path / "x.npy", tmp_path / "y.npy")]
    subprocess.run([sys.executable, "-I", "-c", LOAD, *files], check=True, cwd=tmp_path)

    found = torch.from_numpy(np.load(tmp_path / "y.npy"))
    with torch.no_grad():
        torch.testing.assert_close(found, opened.network(x), rtol=0, atol=1e-5)
    assert written.report["real_rows"] == 44
