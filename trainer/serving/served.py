"""The graph that predictions run on, made fast as the job asked, and what that did."""

from __future__ import annotations

import copy
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnx
import torch

from trainer.export import TRACED_ROWS, export
from trainer.export.graph import record
from trainer.export.operators import Unsupported
from trainer.saved.model_folder import sync
from trainer.serving.folding import Folded, fold
from trainer.serving.latency import BATCH, answers, latency, opened
from trainer.serving.precision import UNABLE, halved, quantised

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from trainer.network import Network
    from trainer.serving.held import Held
    from trainer.spec.serving import Serving

TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "int8": 0.25}
"""Largest difference of an output by precision, relative to the largest output where
that is above one; what differs by more is not served."""
MEASURED_MS = 5_000
"""Time that a graph may take for the rows of one purpose; further ones are left out."""


@dataclass(frozen=True)
class Served:
    """What was written in the graph's place."""

    maximum_difference: float
    """Largest absolute difference of an output from the network's, on real rows."""
    report: dict[str, Any]
    """What the model's card says of it."""


class NotServed(Exception):
    """A step towards a fast graph that was not taken, and why."""


def serve(
    network: Network, rows: Tensor, path: Path, wish: Serving, held: Sequence[Held]
) -> Served:
    """Write the graph that was asked for, atomically, once it has been compared.

    What cannot be done, or would change the answers too much, is left out and told.

    Raises:
        ExportWrong: even the plain graph's outputs differ from the network's.
    """
    plain = path.with_name(f".{path.name}.{secrets.token_hex(4)}.plain")
    fast = plain.with_suffix(".fast")
    beside = plain.with_name(f"{plain.name}.data")
    try:
        exported = export(network, rows, plain)
        refused: dict[str, str] = {}
        if beside.exists():  # constants that do not fit into one file
            refused["serving"] = "the graph has more than two gigabytes"
            beside.unlink()
            exported = export(network, rows, path)
            return Served(exported.maximum_difference, {"refused": refused})
        before, real = opened(plain), rows.detach().cpu().float()
        expected = answers(before, real.numpy())
        folded, model = _folded(network, wish, plain)
        precision, difference = "float32", exported.maximum_difference
        for each in dict.fromkeys([wish.precision, "float32"]):
            try:
                difference = _written(model, each, fast, real, expected)
                precision = each
                break
            except NotServed as why:
                refused["precision" if each != "float32" else "fold"] = str(why)
        else:
            fast.write_bytes(plain.read_bytes())
            folded = Folded()
        report = _report(folded, precision, refused, difference)
        report |= _compared(plain, fast, real, held)
        sync(fast)
        fast.rename(path)
        sync(path.parent)
    finally:
        for unfinished in (plain, fast, beside):
            unfinished.unlink(missing_ok=True)
    return Served(difference, report)


def _folded(network: Network, wish: Serving, plain: Path) -> tuple[Folded, Any]:
    """Return what was folded, and the graph of what is left."""
    if wish.fold_normalization:
        resting = copy.deepcopy(network).cpu().eval()
        folded = fold(resting)
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(TRACED_ROWS, *network.shape, generator=generator)
        try:
            return folded, record(resting, x)
        except Unsupported as why:
            refused = dict.fromkeys(folded.layers, f"no graph without it: {why}")
            return Folded(refused=refused | folded.refused), onnx.load(plain)
    return Folded(), onnx.load(plain)


def _written(
    model: onnx.ModelProto, precision: str, path: Path, rows: Tensor, expected: Any
) -> float:
    """Write the graph in a precision; return how far its answers are from expected.

    Raises:
        NotServed: it has nothing to quantise, or answers too differently.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    try:
        path.write_bytes(_in_precision(changed, precision).SerializeToString())
        found = answers(opened(path), rows.numpy())
    except UNABLE as problem:
        raise NotServed(f"no graph in {precision}: {problem}") from problem
    difference = float(abs(found - expected).max())
    tolerance = TOLERANCE[precision] * max(1.0, float(abs(expected).max()))
    if not difference <= tolerance:  # true of a difference that is no number, too
        raise NotServed(
            f"in {precision} an output differs by {difference:.3g}, "
            f"more than {tolerance:.3g}"
        )
    return difference


def _in_precision(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """Return the graph in a precision; it is changed in place.

    Raises:
        NotServed: it has nothing that could be changed.
    """
    if precision == "float16" and not halved(model):
        raise NotServed("no tensor is large enough to be halved")
    if precision == "int8":
        model, count = quantised(model)
        if not count:
            raise NotServed("the graph has no dense product to quantise")
    return model


def _report(
    folded: Folded, precision: str, refused: dict[str, str], difference: float
) -> dict[str, Any]:
    report: dict[str, Any] = {
        "served_precision": precision,
        "maximum_difference": difference,
        "folded": folded.layers,
    }
    if folded.refused:
        report["not_folded"] = folded.refused
    if refused:
        report["refused"] = refused
    return report


def _compared(
    plain: Path, fast: Path, rows: Tensor, held: Sequence[Held]
) -> dict[str, Any]:
    """Return size, latency and metrics of the graph before and after."""
    graphs = {"before": opened(plain), "after": opened(fast)}
    sizes = {"before": plain.stat().st_size, "after": fast.stat().st_size}
    times = {name: latency(graph, rows.numpy()) for name, graph in graphs.items()}
    slowest = max(each["batch_ms"] for each in times.values())
    most = max(BATCH, int(BATCH * MEASURED_MS / max(slowest, 1e-3)))
    judged = [each.first(most) for each in held]
    return {
        "bytes": sizes,
        "latency": times,
        "rows": {each.purpose: len(each.inputs) for each in judged},
        "metrics": {
            each.purpose: {
                name: each.metrics(answers(graph, each.inputs.numpy()))
                for name, graph in graphs.items()
            }
            for each in judged
        },
    }
