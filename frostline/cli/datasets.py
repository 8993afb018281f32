"""``frostline datasets``: add, list, look at."""

from itertools import islice
from typing import Annotated, Any

import typer

from frostline.answers import Dataset
from frostline.cli import recommend
from frostline.cli.output import Json, ago, emit, say, shape, table
from frostline.client import Client
from frostline.datasets import is_uri

app = typer.Typer(help="What networks are trained on.", no_args_is_help=True)
app.command()(recommend.recommend)

Which = Annotated[str, typer.Argument(help="An id, a name, or name@version.")]


@app.command()
def add(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Files of one data set, or a name that the server knows, "
            "as sklearn:digits."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="The name to keep it under.")] = None,
    target: Annotated[
        str | None, typer.Option(help="The column to be predicted.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="What separates the columns of a table.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Upload files, or let the server fetch a data set it knows."""
    options = {"name": name, "target": target, "delimiter": delimiter}
    with Client() as client:
        if is_uri(files):
            added = client.datasets.add_from(files[0], **options)
        else:
            added = client.datasets.add(*files, **options)
    if as_json:
        emit(added.json_object())
        return
    say(f"{label(added)}  {added.id}  {added.rows:,} rows")
    findings(added.report)


@app.command("ls")
def ls(
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 50,
    as_json: Json = False,
) -> None:
    """List the data sets, newest first."""
    with Client() as client:
        found = list(islice(client.datasets.each(), limit))
    if as_json:
        emit([one.json_object() for one in found])
        return
    table(
        ["name", "id", ">rows", "parts", "added"],
        [
            (
                label(one),
                one.id,
                one.rows,
                ", ".join(str(part.get("name")) for part in one.parts),
                ago(one.created_at),
            )
            for one in found
        ],
    )


@app.command()
def report(dataset: Which, as_json: Json = False) -> None:
    """Show the columns of a data set and what is wrong with its rows."""
    with Client() as client:
        found = client.datasets.get(dataset)
        checked = client.datasets.report(dataset)
    if as_json:
        emit(checked)
        return
    say(f"{label(found)}  {found.id}  {found.rows:,} rows")
    columns(found)
    findings(checked)


def label(dataset: Dataset) -> str:
    """Return ``name@version``."""
    return f"{dataset.name}@{dataset.version}" if dataset.name else dataset.id


def columns(dataset: Dataset) -> None:
    """Print one line per column."""
    described: list[dict[str, Any]] = list(dataset.schema_.get("columns") or [])
    target = dataset.schema_.get("target")
    table(
        ["column", "kind", "shape", ">missing", ">distinct", ">least", ">most", ""],
        [
            (
                one.get("name"),
                one.get("kind"),
                shape(one.get("shape")),
                one.get("missing"),
                one.get("distinct"),
                one.get("minimum"),
                one.get("maximum"),
                "target" if one.get("name") == target else "",
            )
            for one in described
        ],
    )


def findings(checked: Any) -> None:
    """Print what the preflight found, if it found anything."""
    for level in ("problems", "warnings"):
        for one in (checked or {}).get(level) or []:
            place = f"row {one['row']}: " if one.get("row") is not None else ""
            remedy = f"; {one['remedy']}" if one.get("remedy") else ""
            say(f"  {level[:-1]}: {place}{one.get('detail')}{remedy}")
