"""``frostline demo``: the story of the frost line, shown while it happens."""

from pathlib import Path
from typing import Annotated

import typer

from frostline import demo as told
from frostline.answers import Job
from frostline.cli.follow import follow
from frostline.cli.output import Json, emit, lasting, remark, say, table
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
        ["job", ">test accuracy", ">seconds", ">epochs", "frozen cache", "frozen"],
        [
            (
                chapter.title,
                None if chapter.accuracy is None else f"{chapter.accuracy:.1%}",
                None if chapter.seconds is None else f"{chapter.seconds:.1f}",
                epochs(chapter),
                cache(chapter),
                proof(chapter),
            )
            for chapter in chapters
        ],
    )
    say("")
    say(f"The models are in the catalog, and their files in {folder / 'models'}:")
    for chapter in chapters:
        say(f"  {chapter.model.name}@{chapter.model.version}  {chapter.model.id}")
    say(f"Look at them in a browser: .venv/bin/frostline up --data {folder}")


def epochs(chapter: told.Chapter) -> str:
    """Return how many epochs a job took."""
    progress = chapter.job.progress
    return f"{progress.epoch:g}" if progress and progress.epoch else ""


def cache(chapter: told.Chapter) -> str:
    """Say what keeping the outputs of frozen layers saved."""
    found = chapter.job.cache or {}
    saved = found.get("seconds_saved")
    return "" if saved is None else f"saved {lasting(float(saved))}"


def proof(chapter: told.Chapter) -> str:
    """Say how many frozen tensors are, by their SHA-256, exactly what they were."""
    same, count = chapter.unmoved
    return f"{same} of {count} tensors unmoved" if count else ""
