"""A trained network as an ONNX file that computes what the network computes.

The graph takes `input`, float32 (batch, *shape) after preprocessing, and answers
`output`, the network's raw outputs. It is run beside the network before it counts.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import secrets
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnx
import onnxruntime
import torch
from torch import nn

from trainer.errors import ExportWrong
from trainer.export.graph import INPUT, OUTPUT, record, tell_layers
from trainer.export.operators import Unsupported
from trainer.saved.model_folder import File, described, sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import Tensor
    from torch.nn import Module

    from trainer.network import Network

TOLERANCE = 1e-4
"""Largest difference of an output, relative to the largest output where that is above
one."""
DRAWN_TOLERANCE = 5e-3
"""The same for rows that are drawn. They show that the graph is this network for every
batch, and lie where no data do: on all zeros, say, a normalisation blows up the last
bits, in which no two libraries agree."""
ROUNDINGS = 10
"""Where a rounding moves a network's outputs further, the graph may be so many times as
far off: normalising numbers that are nearly equal does that."""
LAST_BIT = 2.0**-23
"""How far a kernel of either library may be off, in numbers of size one. One that makes
exp(x) - 1 of a small x is off by as much, however small the x."""
REAL_ROWS = 64
"""Rows of the job's own data that are compared at most."""
TRACED_ROWS = 3
"""Rows that are recorded; the comparison uses other numbers of rows."""
PROTOBUF_LIMIT = 2**31 - 2**24
"""Bytes of constants beyond which they are written beside the graph."""
NOISE = r"`isinstance\(treespec, LeafSpec\)` is deprecated"
"""A warning of torch's own exporter about itself."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how near it is to the network."""

    maximum_difference: float
    """Largest absolute difference of an output, over all rows compared."""
    rows: int
    """Rows compared, real and random."""
    route: str
    """`recorded`, or `torch` where torch's own exporter had to be asked."""
    seconds: float
    file: File


def export(network: Network, rows: Tensor, path: Path) -> Exported:
    """Write the network as ONNX, atomically, once it has been compared.

    `rows` are real rows of input, of which the first few are compared.

    Raises:
        ExportWrong: the graph's outputs differ from the network's.
    """
    started = time.perf_counter()
    resting = copy.deepcopy(network).cpu().eval()
    model, route = _model(resting, network.shape)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    beside = path.with_name(f"{path.name}.data")
    try:
        if model.ByteSize() > PROTOBUF_LIMIT:
            onnx.save(
                model, unfinished, save_as_external_data=True, location=beside.name
            )
            sync(beside)
        else:
            unfinished.write_bytes(model.SerializeToString())
        sync(unfinished)
        real, drawn = rows[:REAL_ROWS].detach().cpu().float(), _random(network)
        compared = [(real, TOLERANCE), *((x, DRAWN_TOLERANCE) for x in drawn)]
        difference = _difference(resting, unfinished, compared)
        unfinished.rename(path)
        sync(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)
        if not path.exists():
            beside.unlink(missing_ok=True)
    return Exported(
        maximum_difference=difference,
        rows=sum(len(x) for x, _ in compared),
        route=route,
        seconds=time.perf_counter() - started,
        file=described(path.parent, path.name),
    )


def _model(network: Network, shape: tuple[int, ...]) -> tuple[Any, str]:
    x = torch.rand(TRACED_ROWS, *shape, generator=torch.Generator().manual_seed(0))
    try:
        return record(network, x), "recorded"
    except Unsupported:
        return _by_torch(network, x), "torch"


class _Values(nn.Module):
    """A network that gives its output, then what each of its layers gives."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the output and all values."""
        values = self.network.values(x)
        return values[self.network.output], *values.values()


def _by_torch(network: Network, x: Tensor) -> Any:
    """Return the graph that torch's own exporter makes: slower, but it knows more."""
    batch = torch.export.Dim("batch")
    values = {layer: f"layer:{layer}" for layer in network.inputs}
    with _quiet():
        program = torch.onnx.export(
            _Values(network).eval(),
            (x,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT, *values.values()],
            dynamic_shapes=({0: batch},),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    del model.graph.output[1:]  # the values stay, and are found by their names
    tell_layers(model, values)
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch's exporter says about itself, and nothing else."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)  # it misses torchvision, which is not ours
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", NOISE)
            yield
    finally:
        registration.setLevel(level)


def _random(network: Network) -> list[Tensor]:
    """Return a few random batches, one of them of a single row."""
    generator = torch.Generator().manual_seed(1)
    return [
        torch.rand(1, *network.shape, generator=generator),
        network.drawn_rows(TRACED_ROWS + 4, generator),
    ]


def _difference(
    network: Network, path: Path, batches: Sequence[tuple[Tensor, float]]
) -> float:
    """Return the largest difference of an output between the graph and the network.

    Each batch comes with what is tolerated on it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    largest = 0.0
    for x, tolerated in batches:
        (found,) = session.run([OUTPUT], {INPUT: x.numpy()})
        with torch.inference_mode():
            expected = network(x)
        difference = float((torch.from_numpy(found) - expected).abs().max())
        tolerance = tolerated * max(1.0, float(expected.abs().max()))
        if difference > tolerance:
            tolerance = max(tolerance, ROUNDINGS * _rounding(network, x, expected))
        if not difference <= tolerance:  # true of a difference that is no number, too
            raise ExportWrong(difference=difference, tolerance=tolerance)
        largest = max(largest, difference)
    return largest


def _rounding(network: Network, x: Tensor, outputs: Tensor) -> float:
    """Return how far roundings move a network's outputs.

    That is: their distance from those that float64 gives, and how far these move when
    every layer's output is off in its last bit.
    """
    exact_network = copy.deepcopy(network).double()
    generator = torch.Generator().manual_seed(2)

    def off(_: Module, __: object, value: Tensor) -> Tensor:
        size = value.abs().clamp(min=1) * LAST_BIT
        way = torch.rand(value.shape, generator=generator, dtype=value.dtype)
        return value + size * (2 * way - 1).sign()

    with torch.inference_mode():
        exact = exact_network(x.double())
        for layer in exact_network.layers.values():
            layer.register_forward_hook(off)
        moved = exact_network(x.double())
    found = (outputs.double() - exact).abs().max(), (moved - exact).abs().max()
    return float(torch.stack(found).max())
