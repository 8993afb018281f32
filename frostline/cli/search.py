"""``frostline search``: many trials of one spec."""

import json
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any

import typer

from frostline.answers import Search
from frostline.cli.output import Json, ago, emit, facts, lasting, say, table
from frostline.client import Client
from frostline.errors import NotSucceeded
from frostline.specs import read_spec

app = typer.Typer(help="Try many values of a spec's fields.", no_args_is_help=True)

REUSED = ("candidate", "epochs")
"""What is shown of a trial in a search for the depth of reuse."""

Which = Annotated[str, typer.Argument(help="The id of a search.")]


@app.command()
def start(
    search: Annotated[
        str, typer.Argument(help="A file with JSON or YAML, or - for the input.")
    ],
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="Stay until all trials have ended.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check it.")] = False,
    as_json: Json = False,
) -> None:
    """Begin a search."""
    asked = read_spec(search)
    with Client() as client:
        if dry_run:
            emit(client.searches.dry_run(asked))
            return
        found = client.searches.submit(asked)
        if wait:
            found = client.searches.wait(found.id)
        _show(client, found, as_json=as_json)
    if wait and found.status != "succeeded":
        raise NotSucceeded(found.id, found.status, None, found.error)


@app.command("ls")
def ls(
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
    as_json: Json = False,
) -> None:
    """List the searches, newest first."""
    with Client() as client:
        found = list(islice(client.searches.page(limit=limit).data, limit))
    if as_json:
        emit([one.json_object() for one in found])
        return
    table(
        ["id", "name", "status", "trials", ">best", "made"],
        [
            (
                one.id,
                one.name,
                one.status,
                counts(one.counts),
                figure((one.best or {}).get("value")),
                ago(one.created_at),
            )
            for one in found
        ],
    )


@app.command()
def show(search: Which, as_json: Json = False) -> None:
    """Show a search and its trials, the best first."""
    with Client() as client:
        _show(client, client.searches.get(search), as_json=as_json)


@app.command()
def cancel(search: Which, as_json: Json = False) -> None:
    """Propose no more trials and cancel those that have not ended."""
    with Client() as client:
        found = client.searches.cancel(search)
    emit(found.json_object()) if as_json else say(f"{found.id} is {found.status}")


def _show(client: Client, found: Search, *, as_json: bool) -> None:
    trials = client.searches.trials(found.id)["data"]
    if as_json:
        emit({**found.json_object(), "trials": trials})
        return
    facts(
        {
            "id": found.id,
            "status": found.status,
            "error": found.error,
            "monitor": found.monitor,
            "trials": counts(found.counts),
        }
    )
    sign = -1 if found.mode == "max" else 1
    trials.sort(key=lambda one: _place(one, sign))
    places = list(found.request.get("space", REUSED))
    table(
        [">trial", "status", ">value", ">epoch", ">time", *places, "job"],
        [
            (
                one["number"],
                one["status"],
                figure(one["value"]),
                one["best_epoch"],
                "" if one["seconds"] is None else lasting(one["seconds"]),
                *(spelled(one["parameters"].get(place)) for place in places),
                one["job"],
            )
            for one in trials
        ],
    )
    if found.result is not None:
        say(found.result["explanation"])


def _place(one: Mapping[str, Any], sign: int) -> tuple[bool, float]:
    value = one["value"]
    return value is None, 0.0 if value is None else sign * value


def counts(found: Mapping[str, int]) -> str:
    """Return how many trials have each status, in words.

    >>> counts({"succeeded": 3, "pruned": 1})
    '3 succeeded, 1 pruned'
    """
    return ", ".join(f"{number} {status}" for status, number in found.items())


def figure(value: float | None) -> str:
    """Return a number of four digits; nothing where there is none."""
    return "" if value is None else f"{value:.4g}"


def spelled(value: object) -> str:
    """Return a value of a place: a number short, all else as JSON."""
    if isinstance(value, str):
        return value
    return figure(value) if isinstance(value, float) else json.dumps(value)
