"""``frostline train``: hand a spec in, and watch."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from frostline.cli.follow import follow, follow_as_json
from frostline.cli.output import Json, emit, emit_line, remark, say, shape, size, table
from frostline.client import Client
from frostline.errors import NotSucceeded
from frostline.specs import read_spec


def train(
    spec: Annotated[
        str, typer.Argument(help="A file with JSON or YAML, or - for the input.")
    ],
    follow_it: Annotated[
        bool, typer.Option("--follow", "-f", help="Stay, and show how it goes.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check it, and show the layers.")
    ] = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="Handing the same spec in twice makes one job."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a network: hand in a spec, get a job."""
    asked = read_spec(spec)
    with Client() as client:
        if dry_run:
            found = client.jobs.dry_run(asked)
            emit(found) if as_json else resolution(found)
            return
        job = client.jobs.submit(asked, idempotency_key)
        if not follow_it:
            emit(job.json_object()) if as_json else say(f"{job.id} is {job.status}")
            return
        if as_json:
            ended = follow_as_json(client, job)
            emit_line(ended.json_object())
        else:
            ended = follow(client, job)
    if ended.status != "succeeded":
        raise NotSucceeded(ended.id, ended.status, ended.reason, ended.error)
    if not as_json:
        say(f"{ended.id} succeeded: model {ended.model}")


def resolution(found: Mapping[str, Any]) -> None:
    """Print what a dry run answers: of the stages first, if there are any."""
    stages = found.get("stages") or []
    for stage in stages:
        say(f"{stage.get('name')}:")
        resolution(stage)
    if stages:
        say(f"{found.get('name')}:")
    table(
        ["layer", "kind", "output", ">parameters", "", "from"],
        [
            (
                layer.get("name"),
                layer.get("kind"),
                shape(layer.get("output_shape")),
                layer.get("parameters"),
                "frozen" if layer.get("frozen") else "",
                layer.get("source"),
            )
            for layer in found.get("layers") or []
        ],
    )
    memory = found.get("memory") or {}
    say(f"{found.get('parameters') or 0:,} parameters")
    if memory.get("bytes"):
        say(f"about {size(memory['bytes'])} of memory while training")
    for warning in found.get("warnings") or []:
        text = warning.get("detail") if isinstance(warning, Mapping) else warning
        remark(f"warning: {text}")
