"""A trainer as a worker's child: ready, one order, events, the end.

Messages are newline-delimited JSON. The worker writes ``{"order": …}`` (or, for a model
without a graph, ``{"export": {"model": folder}}``, with a `format` for another form of
it than that) and commands
(``stop``, ``checkpoint``; after the result ``export`` or ``exit``) to standard input;
events leave by what was standard output. Whatever else prints goes to standard error.
Failures that the job's owner can mend are told as ``failed``; all others are left to
fly, and the worker finds the traceback in the log.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import DrawsWrong, TrainerError
from trainer.process.asked_export import AskedExport, write_as
from trainer.process.commands import Commands
from trainer.process.frames import Frames
from trainer.process.listening import Listening
from trainer.process.order import Order
from trainer.process.warm import warm_up
from trainer.run import Run
from trainer.saved.model_folder import GRAPH, SAMPLED_GRAPH
from trainer.saved.reopened import drawn_rows, network_of, serving_of
from trainer.serving.held import held_rows
from trainer.spec.errors import InvalidSpec

if TYPE_CHECKING:
    from types import FrameType

    from torch import Tensor

    from trainer.network import Network
    from trainer.serving.held import Held
    from trainer.spec.serving import Serving

PR_SET_PDEATHSIG = 1
COMPARED = 64
"""Rows that an exported graph is compared on."""


def serve() -> int:
    """Serve one order, then end; return the exit status."""
    parent = os.getppid()
    die_with_parent(parent)
    faulthandler.enable()  # on SIGABRT every thread's stack goes to the log
    frames = Frames(private_output())
    commands = Commands()

    def stop(_: int, __: FrameType | None) -> None:
        commands.stop.set()

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing to save before an order
    listening = Listening(sys.stdin.fileno(), commands)
    warm_up()
    frames.send({"event": "ready", "pid": os.getpid()})
    message = listening.next()
    if "format" in message.get("export", {}):
        write_as(AskedExport.model_validate(message["export"]), frames)
    elif "export" in message:
        _export_again(Path(message["export"]["model"]), frames)
    if "order" not in message:
        return 0
    signal.signal(signal.SIGTERM, stop)
    try:
        made = _carried_out(Order.model_validate(message["order"]), commands, frames)
        if made is not None and listening.next().get("command") == "export":
            _export(made, frames)
    except BrokenPipeError:  # the worker is gone, and with it everybody who would read
        return 0
    return 0


@dataclass(frozen=True)
class Made:
    """What is left of a run once its model is on disk: enough to export it."""

    folder: Path
    network: Network
    rows: Tensor
    """A few rows of the input."""
    serving: Serving
    """What is asked of the graph."""
    held: tuple[Held, ...] = ()
    """Rows with known answers; none where another process made the model."""


def _carried_out(order: Order, commands: Commands, frames: Frames) -> Made | None:
    """Run the order; return what was made, if it ended with a model."""
    run = Run(order, commands)
    try:
        for event in run.events():
            frames.send(event)
    except InvalidSpec as error:
        problems = [problem.as_dict() for problem in error.problems]
        frames.send(_failed("invalid_spec", str(error), {"problems": problems}))
        return None
    except TrainerError as error:
        frames.send(_failed(error.reason, str(error), error.facts))
        return None
    frames.flush()
    if run.stopped or run.assembly is None or order.model is None:
        return None
    rows = run.assembly.rows[:COMPARED].clone()
    assembly, wish = run.assembly, run.assembly.resolution.spec.serving
    held = held_rows(assembly) if wish.asked else ()
    return Made(order.model, assembly.network, rows, wish, tuple(held))


def _export_again(folder: Path, frames: Frames) -> None:
    """Write the graph of a model that another process made."""
    try:
        network, serving = network_of(folder), serving_of(folder)
    except TrainerError as error:
        frames.send(_failed(error.reason, str(error), error.facts))
        return
    _export(Made(folder, network, drawn_rows(network), serving), frames)


def _export(made: Made, frames: Frames) -> None:
    """Write the model as an ONNX graph beside its weights."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing is left to be saved
    from trainer.export import export  # noqa: PLC0415 - training needs no ONNX
    from trainer.serving.served import serve as serve_graph  # noqa: PLC0415

    _export_sampled(made)
    graph, report = made.folder / GRAPH, {}
    try:
        if made.serving.asked:
            served = serve_graph(
                made.network, made.rows, graph, made.serving, made.held
            )
            difference, report = served.maximum_difference, served.report
        else:
            difference = export(made.network, made.rows, graph).maximum_difference
    except TrainerError as error:
        frames.send(_failed(error.reason, str(error), error.facts))
        return
    told = {"maximum_difference": difference, "serving": report}
    frames.send({"event": "exported", **told})


def _export_sampled(made: Made) -> None:
    """Write the graph that draws, first: once `model.onnx` is there, all are.

    A network for which there can be none predicts without it; the log says why.
    """
    from trainer.export.operators import Unsupported  # noqa: PLC0415
    from trainer.export.sampled import export_sampled  # noqa: PLC0415

    try:
        export_sampled(made.network, made.rows, made.folder / SAMPLED_GRAPH)
    except (DrawsWrong, Unsupported) as error:
        print(f"no graph with dropout is written: {error}", file=sys.stderr)  # noqa: T201


def _failed(reason: str, error: str, facts: dict[str, Any]) -> dict[str, Any]:
    return {"event": "failed", "reason": reason, "error": error, "data": facts}


def private_output() -> int:
    """Return a descriptor of standard output that only we have; prints go to the log.

    Libraries and printing extensions would otherwise write between our lines.
    """
    private = os.dup(sys.stdout.fileno())
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return private


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the one that started it dies."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        sys.exit(0)
