"""How a search is shown: itself, its trials, and the lines between its axes."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from api.reuse_views import ReuseResultView, result_of
from api.search_steps import best_of
from catalog import searches
from catalog.search_rows import Search
from catalog.searches import Trial
from trainer.spec.resolve.recipe import rises


class TrialView(BaseModel):
    """One trial."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    number: int
    """Its number, from 0."""
    job: str | None
    """Its job; null where its values made no valid spec."""
    status: str
    """As the job's; pruned where it was stopped early."""
    parameters: dict[str, Any]
    """The values by JSON Pointer into the spec; of a search for the depth of reuse what
    the candidate is."""
    value: float | None
    """The monitored metric: of the kept weights, or the best so far without any."""
    best_epoch: int | None
    """The epoch with the best value."""
    pruned_epoch: int | None
    """The epoch whose value stopped it early."""
    seconds: float | None
    """From its first start to its end."""
    model: str | None
    """Id of the model that it made."""
    error: str | None
    """Why it failed."""


class AxisView(BaseModel):
    """One axis of the parallel coordinates."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """JSON Pointer into the spec, or a number of layers or epochs; of the last axis the
    metric."""
    kind: str
    """choice, integer, uniform, log_uniform or metric."""
    values: list[Any] | None = None
    """Of a choice its values; a line has the place in this list."""
    low: float | None = None
    """The lower end."""
    high: float | None = None
    """The upper end."""


class LineView(BaseModel):
    """One trial's line through the axes."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    trial: int
    """The trial's number."""
    status: str
    """The trial's status."""
    at: list[float | None]
    """Where it crosses each axis."""


class CoordinatesView(BaseModel):
    """What to draw parallel coordinates from."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    axes: list[AxisView]
    """From left to right, the metric last."""
    lines: list[LineView]
    """A line for each trial that has a value."""


class SearchView(BaseModel):
    """A search: what was asked, how far it is, what was found."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """The search's id."""
    name: str
    """Its name."""
    kind: str
    """hyperparameters or reuse_depth."""
    status: str
    """running, cancelling, succeeded, failed or cancelled."""
    error: str | None
    """Why it failed."""
    request: dict[str, Any]
    """What was asked, exactly as written."""
    dataset: str
    """Id of the data set."""
    monitor: str
    """The metric that is made good."""
    mode: str
    """min or max."""
    counts: dict[str, int]
    """How many trials have each status."""
    best: TrialView | None
    """The best trial that has a model, so far."""
    result: ReuseResultView | None
    """Of a search for the depth of reuse what it has found; null in lists and for other
    kinds."""
    created_at: datetime
    """When it was accepted."""
    finished_at: datetime | None
    """When it ended."""


class SearchesView(BaseModel):
    """A page of searches."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    data: list[SearchView]
    """The searches, newest first."""
    has_more: bool
    """Whether more follow."""
    next_cursor: str | None
    """Where the next page begins."""


class TrialsView(BaseModel):
    """All trials of a search."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    data: list[TrialView]
    """The trials, in the order in which they were proposed."""
    coordinates: CoordinatesView
    """The same as lines."""


def show(session: Session, search: Search, *, listed: bool = False) -> SearchView:
    """Return a search as it is now; in a list without its result."""
    trials = searches.trials(session, search)
    best = best_of(search, trials)
    return SearchView(
        id=search.id,
        name=search.name,
        kind=search.kind,
        status=search.status.value,
        error=search.error,
        request=search.request,
        dataset=search.dataset_id,
        monitor=search.monitor,
        mode="max" if rises(search.monitor) else "min",
        counts=dict(Counter(trial.status for trial in trials)),
        best=None if best is None else _trial(best, search.monitor),
        result=None if listed else result_of(search, trials, best),
        created_at=search.created_at,
        finished_at=search.finished_at,
    )


def show_trials(session: Session, search: Search) -> TrialsView:
    """Return the trials of a search as they are now."""
    trials = searches.trials(session, search)
    return TrialsView(
        data=[_trial(trial, search.monitor) for trial in trials],
        coordinates=CoordinatesView(
            axes=_axes(search, trials), lines=_lines(search, trials)
        ),
    )


def _trial(trial: Trial, monitor: str) -> TrialView:
    best = trial.best(rises=rises(monitor))
    error = trial.row.error
    if error is None and trial.job is not None:
        error = trial.job.error
    return TrialView(
        number=trial.row.number,
        job=trial.row.job_id,
        status=trial.status,
        parameters=trial.row.parameters,
        value=trial.value(monitor, rises=rises(monitor)),
        best_epoch=None if best is None else best[0],
        pruned_epoch=trial.row.pruned_epoch,
        seconds=trial.seconds,
        model=trial.model.id if trial.model else None,
        error=error,
    )


def _axes(search: Search, trials: Sequence[Trial]) -> list[AxisView]:
    axes = []
    for place, axis in search.request.get("space", {}).items():
        axes.append(AxisView(name=place, **_ends(axis)))
    for place in _counted(search):
        counts = [trial.row.parameters[place] for trial in trials]
        ends = {"low": min(counts, default=None), "high": max(counts, default=None)}
        axes.append(AxisView(name=place, kind="integer", **ends))
    up = rises(search.monitor)
    values = [v for t in trials if (v := t.value(search.monitor, rises=up)) is not None]
    low, high = min(values, default=None), max(values, default=None)
    return [*axes, AxisView(name=search.monitor, kind="metric", low=low, high=high)]


def _counted(search: Search) -> tuple[str, ...]:
    """Return the axes of a search for the depth of reuse."""
    return ("reused", "frozen", "epochs") if search.kind == "reuse_depth" else ()


def _ends(axis: dict[str, Any]) -> dict[str, Any]:
    if axis.get("kind") == "choice":
        last = len(axis["values"]) - 1
        return {"kind": "choice", "values": axis["values"], "low": 0, "high": last}
    return {"kind": axis["kind"], "low": axis["low"], "high": axis["high"]}


def _lines(search: Search, trials: Sequence[Trial]) -> list[LineView]:
    up = rises(search.monitor)
    return [
        LineView(
            trial=trial.row.number,
            status=trial.status,
            at=[
                *(trial.row.draws.get(p) for p in search.request.get("space", {})),
                *(trial.row.parameters[place] for place in _counted(search)),
                value,
            ],
        )
        for trial in trials
        if (value := trial.value(search.monitor, rises=up)) is not None
    ]
