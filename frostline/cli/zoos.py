"""``frostline zoos``: what the server can import by name."""

from itertools import islice
from typing import Annotated

import typer

from frostline.cli.output import Json, emit, remark, size, table
from frostline.client import Client

app = typer.Typer(help="Collections of models to import from.", no_args_is_help=True)


@app.command("ls")
def ls(as_json: Json = False) -> None:
    """List the zoos, and what is missing where one cannot be used."""
    with Client() as client:
        found = client.zoos.list()
    if as_json:
        emit([one.json_object() for one in found])
        return
    table(
        ["zoo", "kind", "available", ""],
        [(one.name, one.kind, one.available, one.detail) for one in found],
    )


@app.command()
def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Words of the name, format, licence or description."),
    ] = None,
    zoo: Annotated[str, typer.Option(help="The zoo to search.")] = "folder",
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 50,
    as_json: Json = False,
) -> None:
    """List the models of a zoo that hold all the words."""
    with Client() as client:
        each = client.zoos.each(zoo, " ".join(words or ()) or None)
        found = list(islice(each, limit))
    if as_json:
        emit([one.json_object() for one in found])
        return
    table(
        ["model", "format", ">size", "licence", "description"],
        [
            (
                one.name,
                one.format,
                size(one.bytes or 0),
                one.license or "not stated",
                one.problem or one.description,
            )
            for one in found
        ],
    )
    if found:
        remark(f"import one: frostline models import --zoo {zoo} {found[0].name}")
