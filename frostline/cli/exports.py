"""``frostline models export``: take a model home in another form."""

from pathlib import Path
from typing import Annotated, Any

import typer

from frostline.cli.output import Json, emit, say
from frostline.client import Client
from trainer.spec.exports import FORMATS

BESIDE = {"pytorch_script": ("weights.safetensors", "preprocessing.safetensors")}
"""Files that a form needs beside its own."""


def export(
    model: Annotated[
        str, typer.Argument(help="An id, name, name@best or name@version.")
    ],
    form: Annotated[
        str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")
    ],
    into: Annotated[
        Path | None,
        typer.Option("--into", help="The folder to save it in; absent: not saved."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Have a model written in another form, checked, and saved if a folder is named."""
    with Client() as client:
        found = client.models.export(model, form)
        saved: list[Path] = []
        if into is not None:
            names = (str(found["file"]), *BESIDE.get(form, ()))
            saved = client.models.download(model, into, names=names)
    if as_json:
        told: dict[str, Any] = dict(found)
        emit(told | {"saved": [str(path) for path in saved]})
        return
    report = found.get("report") or {}
    say(
        f"{found['file']}  {found['bytes']} bytes  compared on {report.get('rows')} "
        f"rows, {report.get('real_rows')} of the data: "
        f"differs by {report.get('maximum_difference', 0):.2g} at most"
    )
    for path in saved:
        say(str(path))
