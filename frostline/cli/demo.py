"""``frostline demo``: the story of the frost line, shown while it happens."""

from pathlib import Path
from typing import Annotated

import typer

from frostline import demo as told
from frostline.answers import Job
from frostline.cli.follow import follow
from frostline.cli.output import Json, emit, remark, say, table
from frostline.client import Client
from frostline.settings import settings


def demo(
    data: Annotated[
        Path, typer.Option(help="The folder that keeps everything.")
    ] = Path("data/demo"),
    as_json: Json = False,
) -> None:
    """Train, reuse the layers frozen, compare; on a stack of its own that it stops."""
    folder = data.resolve()
    remark(f"starting API, worker, broker and database in {folder}")
    chapters: list[told.Chapter] = []
    with told.embedded(folder, settings().environment) as url, Client(url) as client:
        remark(f"they answer at {url}")

        def watch(title: str, job: Job) -> Job:
            remark(f"\n{title}")
            return follow(client, job)

        chapters += told.story(client, watch)
        if as_json:
            emit([chapter.job.json_object() for chapter in chapters])
        else:
            results(chapters, folder)
    remark("\neverything is stopped; nothing of it is left running")


def results(chapters: list[told.Chapter], folder: Path) -> None:
    """Print what came of it."""
    say("")
    table(
        ["job", ">test accuracy", ">seconds", ">cache saved", "frozen tensors"],
        [
            (
                chapter.title,
                percent(chapter.accuracy),
                None if chapter.seconds is None else f"{chapter.seconds:.1f}",
                saved(chapter),
                proof(chapter),
            )
            for chapter in chapters
        ],
    )
    say("")
    say("A frozen tensor is unmoved if its SHA-256 in the new model is the one that")
    say("it has in the model it came from. The cache saved the time of computing the")
    say("frozen layers again in every epoch.")
    say("")
    say(f"The models are in the catalog, their files in {folder / 'models'}:")
    for chapter in chapters:
        model = chapter.model
        say(f"  {model.name}@{model.version}  {model.id}")
    say("Look around in a browser: .venv/bin/frostline up --data " + near(folder))


def near(folder: Path) -> str:
    """Return a folder as it is typed from here."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def percent(share: float | None) -> str:
    """Return a share as it is read."""
    return "" if share is None else f"{share:.1%}"


def saved(chapter: told.Chapter) -> str:
    """Say what keeping the outputs of frozen layers saved, where some are frozen."""
    found = (chapter.job.cache or {}).get("seconds_saved")
    return f"{found:.1f} s" if chapter.job.frozen and found is not None else ""


def proof(chapter: told.Chapter) -> str:
    """Say how many frozen tensors are exactly what they were."""
    same, count = chapter.unmoved
    return f"{same} of {count} unmoved" if count else ""
