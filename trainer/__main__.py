"""The trainer as a program: ``python -m trainer SPEC DATA``, or ``--serve``.

Stand-alone it trains one spec on one data set and prints what happens; with
``--serve`` it waits for a worker's order on its standard input, with ``--template`` it
is copied into processes that do.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainer.errors import TrainerError
from trainer.process.commands import Commands
from trainer.process.order import Order, OrderedSource
from trainer.run import Run
from trainer.spec.errors import InvalidSpec, Problem, problems_of
from trainer.spec.job import JobSpec

SHOWN = ("train_loss", "validation_loss", "validation_accuracy", "validation_r2")
"""Figures in the line that is printed for each evaluation."""


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        prog="python -m trainer",
        description="Train the network that SPEC describes on DATA.",
    )
    parser.add_argument(
        "spec", type=Path, help="a spec as JSON; its dataset.id is free"
    )
    parser.add_argument(
        "data", type=Path, help="an .npz, a folder of idx files or a stored data set"
    )
    parser.add_argument("--out", type=Path, help="write the model into this new folder")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="the model folder that the spec's reuse calls NAME",
    )
    parser.add_argument("--cache", type=Path, help="keep outputs of frozen layers here")
    parser.add_argument("--device", default="cpu", help="cpu, cuda:N or auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, help="instead of the spec's training.seed")
    return parser.parse_args(arguments)


def ordered(options: argparse.Namespace) -> Order:
    """Return the order that the options stand for.

    Raises: InvalidSpec.
    """
    raw = json.loads(options.spec.read_bytes())
    if options.seed is not None:
        raw.setdefault("training", {})["seed"] = options.seed
    try:
        spec = JobSpec.model_validate(raw)
    except ValidationError as error:
        raise InvalidSpec(problems_of(error, raw, JobSpec)) from error
    folders = dict(source.split("=", 1) for source in options.source)
    missing = [e.from_ for e in spec.reuse if e.from_ not in folders]
    if missing:
        detail = f"say where {missing[0]!r} lies: --source {missing[0]}=FOLDER"
        raise InvalidSpec([Problem("/reuse", "unknown_model", detail)])
    return Order(
        spec=raw,
        dataset=options.data,
        sources=tuple(
            OrderedSource(id=entry.from_, folder=Path(folders[entry.from_]))
            for entry in spec.reuse
        ),
        model=options.out,
        frozen_cache=options.cache,
        frozen_cache_bytes=10 * 2**30,
        device=options.device,
        threads=options.threads,
    )


def shown(event: dict[str, Any]) -> str | None:
    """Return the line that is printed for an event, if any."""
    if event["event"] == "log":
        return f"{event['level']}: {event['message']}"
    if event["event"] == "started":
        rows = event["rows"]
        return (
            f"{event['parameters']:,} parameters; {rows['train']:,} rows to train on, "
            f"{rows['validation']:,} to validate, {rows['test']:,} to test"
        )
    if event["event"] == "diagnostic":
        return f"{event['severity']}: {event['detail']}"
    if event["event"] == "metrics":
        first = event["rows"][0]
        figures = {row["name"]: row["value"] for row in event["rows"]}
        wanted = [name for name in figures if name in SHOWN or name[:5] == "test_"]
        if not wanted:
            return None
        words = "  ".join(f"{name} {figures[name]:.4f}" for name in wanted)
        return f"epoch {first['epoch']:>4}  step {first['step']:>7}  {words}"
    return None


def train(options: argparse.Namespace) -> int:
    """Carry the order out and print what happens; return the exit status."""
    result: dict[str, Any] = {}
    try:
        for event in Run(ordered(options), Commands()).events():
            if (line := shown(event)) is not None:
                print(line, flush=True)
            if event["event"] == "result":
                result = event
    except InvalidSpec as error:
        for problem in error.problems:
            print(f"{problem.pointer or '/'}: {problem.detail}", file=sys.stderr)
        return 2
    except TrainerError as error:
        print(f"{error.reason}: {error}", file=sys.stderr)
        return 1
    told = ("metrics", "best_step", "frozen", "cache", "folder", "seconds")
    print(json.dumps({key: result[key] for key in told}, indent=1))
    return 0


def main(arguments: list[str]) -> int:
    """Serve a worker, or train stand-alone."""
    if arguments == ["--serve"]:
        from trainer.process.serve import serve  # noqa: PLC0415 - it takes over the streams

        return serve()
    if arguments == ["--template"]:
        from trainer.process.template import template  # noqa: PLC0415 - see above

        return template()
    return train(parsed(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
