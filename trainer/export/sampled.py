"""A second graph, in which dropout goes on: predictions drawn from a distribution.

Each run of it is one draw of the network that dropout leaves, so that the mean of many
runs is a prediction and their spread its uncertainty: Monte Carlo dropout, after Gal
and Ghahramani (2016), ICML. Whether the graph draws as the network would is a question
of statistics, and it is asked before the file counts.
"""

from __future__ import annotations

import copy
import secrets
from typing import TYPE_CHECKING, Any

import onnxruntime
import torch
from torch.nn.modules.dropout import _DropoutNd

from trainer.errors import DrawsWrong
from trainer.export import PROTOBUF_LIMIT
from trainer.export.graph import INPUT, OUTPUT, record
from trainer.export.operators import Unsupported
from trainer.modules.sampled import sampled
from trainer.saved.model_folder import sync

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from trainer.network import Network

ROWS = 4
"""Rows that are drawn for when graph and network are compared."""
DRAWS = 256
"""Draws for each of them, on either side."""
AT_ONCE = 128
"""Rows in one run of the network."""
DEVIATIONS = 6.0
"""Standard errors by which two means may differ: by chance once in 10⁹ comparisons."""
SPREAD = 1.5
"""Factor by which the spreads, over all outputs, may differ."""
TRACED_ROWS = 3
TOLERANCE = 1e-4


def export_sampled(network: Network, rows: Tensor, path: Path) -> bool:
    """Write the graph that draws, atomically; False if the network has nothing to draw.

    Dropout of layers and of their inputs is drawn; that of attention's weights, which
    is no layer, stays off.

    `rows` are real rows of input.

    Raises:
        DrawsWrong: the graph's outputs are not distributed as the network's.
        Unsupported: the network runs an operator that has no rule.
    """
    resting = copy.deepcopy(network).cpu().eval()
    drawing = copy.deepcopy(resting)
    if not sampled(drawing):
        return False
    traced = torch.rand(
        TRACED_ROWS, *network.shape, generator=torch.Generator().manual_seed(0)
    )
    with torch.random.fork_rng(devices=[]):
        model = record(drawing, traced)
        if model.ByteSize() > PROTOBUF_LIMIT:
            raise Unsupported("a graph of more than two gigabytes")
        unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            unfinished.write_bytes(model.SerializeToString())
            few = rows[:ROWS].detach().cpu().float()
            if not spreads_alike(resting, unfinished, few):
                return False
            sync(unfinished)
            unfinished.rename(path)
            sync(path.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    return True


def spreads_alike(network: Network, path: Path, rows: Tensor) -> bool:
    """Draw on either side, and set means and spreads side by side; False: no spread.

    Raises: DrawsWrong.
    """
    many = rows.repeat_interleave(DRAWS, dim=0)
    for module in network.modules():
        if isinstance(module, _DropoutNd):
            module.train()
    session = _session(path)
    ours, graphs = [], []
    with torch.inference_mode():
        for start in range(0, len(many), AT_ONCE):
            few = many[start : start + AT_ONCE]
            ours.append(network(few))
            (found,) = session.run([OUTPUT], {INPUT: few.numpy()})
            graphs.append(torch.from_numpy(found))
    left, right = (
        torch.cat(parts).double().reshape(len(rows), DRAWS, -1)
        for parts in (ours, graphs)
    )
    error = ((left.var(1) + right.var(1)) / DRAWS).sqrt()
    rounding = TOLERANCE * float(left.abs().amax().clamp_min(1))
    allowed = DEVIATIONS * error + rounding
    difference = (left.mean(1) - right.mean(1)).abs()
    spreads = float(left.var(1).sum().sqrt()), float(right.var(1).sum().sqrt())
    if not bool((difference <= allowed).all()):
        raise DrawsWrong(f"their means differ by up to {float(difference.max()):g}")
    if max(spreads) <= rounding:
        return False
    if not spreads[0] / SPREAD <= spreads[1] <= spreads[0] * SPREAD:
        raise DrawsWrong(f"their deviations are {spreads[0]:g} and {spreads[1]:g}")
    return True


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
