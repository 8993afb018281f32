"""``frostline up``: the whole service on this machine."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from frostline import up as stack
from frostline.settings import settings


def up(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 means any free one.")
    ] = 8000,
    data: Annotated[
        Path | None,
        typer.Option(help="The folder that keeps everything [default: ./data]."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="How many jobs train at a time.")
    ] = 1,
) -> None:
    """Run the whole service here until Ctrl-C: API, workers, broker, database."""
    found = settings()
    options = stack.Options(data or found.folder, host, port, workers)
    stack.up(options, found, say)


def say(text: str) -> None:
    """Print a line at once; a reader that has gone away stops nothing."""
    with suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
