"""A job while it trains: a bar on a terminal, lines in a log, JSON for a script."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from frostline.answers import Event, Job
from frostline.cli.output import emit_line, lasting, remark, remarks
from frostline.client import Client
from frostline.errors import FrostlineError

LOOK_SECONDS = 0.5
"""How often the bar asks how far the job is."""
LINE_SECONDS = 2.0
"""How often a log gets a line."""


class View:
    """What is known of a job, and how it is shown."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.values: dict[str, float] = {}
        training = job.resolved_spec.get("training") or {}
        self.epochs: int | None = training.get("epochs")

    def take(self, event: Event) -> None:
        """Note what an event says."""
        for row in rows(event):
            if isinstance(row.get("value"), int | float):
                self.values[str(row.get("name"))] = row["value"]

    def line(self) -> str:
        """Return status, epoch, loss, accuracy and the time to go, those known."""
        words = [self.job.status]
        found = self.job.progress
        if found and found.phase and found.phase != self.job.status:
            words.append(found.phase)
        if found and self.job.status == "queued" and found.queue_position:
            words.append(f"number {found.queue_position} in the queue")
        if found and found.epoch:
            of = f"/{self.epochs}" if self.epochs else ""
            words.append(f"epoch {found.epoch:g}{of}")
        words += [
            f"{name} {value:.4f}"
            for name in ("loss", "accuracy")
            if (value := self.value(name)) is not None
        ]
        if found and found.eta_seconds and not self.job.ended:
            words.append(f"{lasting(found.eta_seconds)} to go")
        return "  ".join(words)

    def value(self, suffix: str) -> float | None:
        """Return the newest value of a metric, of the validation rows if measured."""
        for part in ("validation", "train"):
            if (value := self.values.get(f"{part}_{suffix}")) is not None:
                return value
        return None


def rows(event: Event) -> list[Mapping[str, Any]]:
    """Return the metric rows that an event carries."""
    if event.type != "metrics":
        return []
    found = event.data.get("rows", event.data)
    return list(found) if isinstance(found, list) else [found]


def follow(client: Client, job: Job) -> Job:
    """Show a job, and its stages before it, until it has ended.

    Ctrl-C leaves it alone.
    """
    for stage in job.stages:
        _follow_one(client, client.jobs.get(str(stage["id"])))
    return _follow_one(client, job)


def _follow_one(client: Client, job: Job) -> Job:
    view = View(job)
    showing = bar if remarks.is_terminal else lines
    try:
        with showing(view, client):
            for event in client.jobs.follow(job.id):
                view.take(event)
            view.job = client.jobs.get(job.id)
    except KeyboardInterrupt:
        remark(f"\n{job.id} goes on; stop it with: frostline jobs cancel {job.id}")
        raise
    return view.job


def follow_as_json(client: Client, job: Job) -> Job:
    """Print each event of a job as one line of JSON, until it has ended.

    Its stages come first; then a line of theirs says which job it is of.
    """
    for stage in job.stages:
        for event in client.jobs.follow(str(stage["id"])):
            emit_line({**event.json_object(), "job": stage["id"]})
    for event in client.jobs.follow(job.id):
        emit_line(event.json_object())
    return client.jobs.get(job.id)


@contextmanager
def looking(view: View, client: Client, show: "Show") -> Iterator[None]:
    """Ask again and again how far the job is, beside the stream of its events."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            try:
                view.job = client.jobs.get(view.job.id)
            except FrostlineError:
                continue  # the stream of events has the say on what is too long
            show.update()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        show.update()


class Show:
    """Something that displays a view again when it has changed."""

    def update(self) -> None:
        """Display the view as it is now."""


class _Bar(Show):
    def __init__(self, view: View, progress: Progress, task: TaskID) -> None:
        self._view, self._progress, self._task = view, progress, task

    def update(self) -> None:
        found = self._view.job.progress
        done = 100.0 if self._view.job.status == "succeeded" else None
        if done is None and found is not None:
            done = found.percent
        self._progress.update(
            self._task, completed=done, total=100.0, state=self._view.line()
        )


@contextmanager
def bar(view: View, client: Client) -> Iterator[None]:
    """Show a bar that moves."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[state]}", markup=False),
        TimeElapsedColumn(),
        console=remarks,
    ) as progress:
        name = view.job.name or view.job.id
        task = progress.add_task(name, total=None, state=view.line())
        with looking(view, client, _Bar(view, progress, task)):
            yield


class _Lines(Show):
    def __init__(self, view: View) -> None:
        self._view = view
        self._said = ""
        self._said_at = 0.0

    def update(self) -> None:
        line = self._view.line()
        ended = self._view.job.ended
        now = time.monotonic()
        if line != self._said and (ended or now - self._said_at >= LINE_SECONDS):
            self._said, self._said_at = line, now
            remark(f"{self._view.job.name or self._view.job.id}: {line}")


@contextmanager
def lines(view: View, client: Client) -> Iterator[None]:
    """Print a line now and then."""
    with looking(view, client, _Lines(view)):
        yield
