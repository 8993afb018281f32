"""``frostline advise``: from a data set and wishes to a spec, and why."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from frostline.cli.output import Json, emit, lasting, remark, say, table
from frostline.client import Client

WISHES = (
    "small_training_set",
    "sparse_model",
    "very_fast_model",
    "slow_convergence",
    "no_good_learning_rate",
    "imbalance",
    "overfitting",
    "deterministic",
)
"""What the server understands; the vocabulary itself would take long to import."""
WIDEST = 60
"""Characters of a value that are shown."""


def advise(
    dataset: Annotated[str, typer.Argument(help="An id, a name, or name@version.")],
    wish: Annotated[
        list[str] | None,
        typer.Option("--wish", "-w", help=f"What matters: {', '.join(WISHES)}."),
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="The column to be predicted, or several.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the job and its model.")] = None,
    seconds: Annotated[
        float | None, typer.Option(help="How long the training should take at most.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where it will train: cpu or cuda.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the spec here, for frostline train."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a spec for a data set and wishes, with a reason for each choice."""
    several = target if target is None or len(target) > 1 else target[0]
    with Client() as client:
        found = client.advise(
            dataset,
            *(wish or ()),
            target=several,
            name=name,
            time_budget_seconds=seconds,
            device=device,
        )
    if out is not None:
        out.write_text(json.dumps(found["spec"], indent=2) + "\n")
    if as_json:
        emit(found)
        return
    reasons(found)
    if out is not None:
        remark(f"\nthe spec is in {out}; train it with: frostline train {out}")


def reasons(found: Mapping[str, Any]) -> None:
    """Print the choices with their reasons, then what else could be tried."""
    table(
        ["choice", "value", "because", "source"],
        [
            (one["pointer"], brief(one["value"]), one["reason"], one["source"])
            for one in found["choices"]
        ],
    )
    for warning in found["warnings"]:
        say(f"\nnote: {warning}")
    if found["alternatives"]:
        say("\nworth trying as well:")
        table(
            ["", "when", "source"],
            [
                (one["rule"], one["reason"], one["source"])
                for one in found["alternatives"]
            ],
        )
    estimate = found["estimate"]
    say(
        f"\n{estimate['parameters']:,} parameters; about "
        f"{lasting(estimate['seconds_per_epoch'])} per epoch on one CPU core, "
        f"{estimate['epochs']} epochs at most"
    )


def brief(value: object) -> str:
    """Return a value as JSON, cut where it gets long."""
    if isinstance(value, list) and all(isinstance(one, dict) for one in value):
        return ", ".join(str(one.get("kind")) for one in value)
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
