"""``frostline jobs``: list, look at, steer."""

from itertools import islice
from typing import Annotated

import typer

from frostline.answers import Job
from frostline.cli.output import Json, ago, emit, facts, lasting, say, table
from frostline.client import Client

app = typer.Typer(help="What was asked for, and how it goes.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(help="The id of a job.")]


@app.command("ls")
def ls(
    status: Annotated[str | None, typer.Option(help="As running, failed.")] = None,
    name: Annotated[str | None, typer.Option(help="The jobs of one name.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
    as_json: Json = False,
) -> None:
    """List the jobs, newest first."""
    with Client() as client:
        found = list(islice(client.jobs.each(status=status, name=name), limit))
    if as_json:
        emit([one.json_object() for one in found])
        return
    table(
        ["id", "name", "status", "progress", "made"],
        [
            (
                one.id,
                one.name,
                one.status,
                progress(one),
                ago(one.created_at),
            )
            for one in found
        ],
    )


@app.command()
def show(job: Which, as_json: Json = False) -> None:
    """Show what became of a job."""
    with Client() as client:
        found = client.jobs.get(job)
    if as_json:
        emit(found.json_object())
        return
    facts(
        {
            "job": found.id,
            "name": found.name,
            "status": found.status,
            "reason": found.reason,
            "error": found.error,
            "progress": progress(found) or None,
            "model": found.model,
            "stages": stages(found),
            "made": found.created_at,
            "started": found.started_at,
            "ended": found.ended_at,
            "attempts": len(found.attempts or ()),
            "frozen tensors unmoved": unmoved(found),
            "frozen cache": cache(found),
        }
    )


@app.command()
def cancel(job: Which, as_json: Json = False) -> None:
    """Stop a job for good."""
    with Client() as client:
        told(client.jobs.cancel(job), as_json=as_json)


@app.command()
def pause(job: Which, as_json: Json = False) -> None:
    """Stop a job, keeping what it needs to go on."""
    with Client() as client:
        told(client.jobs.pause(job), as_json=as_json)


@app.command()
def resume(job: Which, as_json: Json = False) -> None:
    """Let a paused job go on."""
    with Client() as client:
        told(client.jobs.resume(job), as_json=as_json)


@app.command()
def logs(job: Which, as_json: Json = False) -> None:
    """Print what the training process wrote."""
    with Client() as client:
        written = client.jobs.logs(job)
    if as_json:
        emit(written.splitlines())
        return
    typer.echo(written, nl=False)


def told(job: Job, *, as_json: bool) -> None:
    """Print the status that a wish led to."""
    if as_json:
        emit(job.json_object())
    else:
        say(f"{job.id} is {job.status}")


def progress(job: Job) -> str:
    """Say in a few words how far a job is."""
    found = job.progress
    if found is None or job.ended:
        return ""
    if job.status == "queued" and found.queue_position is not None:
        return f"number {found.queue_position} in the queue"
    if job.status == "queued" and job.waits_for:
        return f"waits for {len(job.waits_for)} jobs"
    words = []
    if found.percent is not None:
        words.append(f"{found.percent:.0f} %")
    if found.epoch is not None:
        words.append(f"epoch {found.epoch:g}")
    if found.eta_seconds is not None:
        words.append(f"{lasting(found.eta_seconds)} to go")
    return ", ".join(words)


def cache(job: Job) -> str | None:
    """Say what keeping the outputs of frozen layers did, where some are frozen."""
    found = job.cache or {}
    if not job.frozen or found.get("result") is None:
        return None
    if found.get("summary"):
        return f"{found['result']}: {found['summary']}"
    return f"{found['result']}, saved {found.get('seconds_saved') or 0:.1f} s"


def stages(job: Job) -> str | None:
    """Say how far the jobs of its pretraining are."""
    told = [f"{one.get('name')} {one.get('status')}" for one in job.stages]
    return ", ".join(told) or None


def unmoved(job: Job) -> str | None:
    """Count the frozen tensors whose hash is the same before and after."""
    if not job.frozen:
        return None
    same = sum(one.get("before") == one.get("after") for one in job.frozen)
    return f"{same} of {len(job.frozen)}"
