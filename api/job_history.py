"""What a job leaves behind while it runs: metrics, layers, checkpoints, logs."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, ConfigDict
from starlette.responses import PlainTextResponse, Response

from api.answers import json_answer
from api.deps import Reading
from api.limits import METRICS
from api.problems import problems
from catalog import attempts, checkpoints, folders, jobs, metrics, samples
from catalog.errors import NotFound
from catalog.tables import Metric

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"])

CSV = "text/csv"
LOG_BYTES = 4 * 1024 * 1024
"""How much of the end of a log is read at most."""


class MetricView(BaseModel):
    """One measured value."""

    model_config = ConfigDict(use_attribute_docstrings=True, from_attributes=True)

    step: int
    """Optimizer steps taken before it was measured."""
    epoch: int
    """The epoch, from 1."""
    name: str
    """What was measured."""
    value: float | None
    """The value; null where it was not finite."""
    at: datetime
    """When it was written down."""


class MetricsView(BaseModel):
    """Measured values in the order of their steps."""

    object: str = "list"
    data: list[MetricView]
    has_more: bool
    next_cursor: str | None = None


class LayerHealthView(BaseModel):
    """What was measured of a layer at one step."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="ignore")

    step: int
    """Optimizer steps taken, this one included."""
    epoch: int
    """The epoch, from 1."""
    activation_mean: float | None = None
    """Mean of the outputs of the activation, over rows and units."""
    activation_deviation: float | None = None
    """Their standard deviation."""
    dead: float | None = None
    """Share of units that answered the same for every row and pass no gradient; null
    where the activation cannot die."""
    saturated: float | None = None
    """Share of outputs on a flat end of the activation: a slope below a tenth of its
    steepest; null where it has no two flat ends."""
    gradient_norm: float | None = None
    """Euclidean norm of the gradient of all numbers of the layer, before clipping."""
    gradient_ratio: float | None = None
    """The same over that of the learning layer below."""
    update_ratio: float | None = None
    """Norm of the step of the weights over the norm of the weights; about 0.001 is
    right."""
    weight_norm: float | None = None
    """Euclidean norm of the weights before the step."""


class WatchedLayerView(BaseModel):
    """A layer: the line of the layer table, and its health."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="allow")

    name: str
    """Its name."""
    kind: str
    """Its kind."""
    health: LayerHealthView | None = None
    """What was measured of it last; null where nothing is: before the first step, in
    frozen layers, and without the doctor."""
    history: list[LayerHealthView] | None = None
    """What was measured before, oldest first; only on request."""


class LayersView(BaseModel):
    """The layer table of a job's network."""

    object: str = "list"
    data: list[WatchedLayerView]
    has_more: bool = False
    next_cursor: str | None = None


class CheckpointView(BaseModel):
    """Everything needed to go on bit for bit from a step."""

    model_config = ConfigDict(use_attribute_docstrings=True, from_attributes=True)

    step: int
    """The step it was written after."""
    epoch: int
    """The epoch it was written in."""
    attempt: int
    """The attempt that wrote it."""
    kind: str
    """Why it is kept: last, best or final."""
    bytes: int
    """Its size."""
    manifest_sha256: str
    """Hash of the list of its files and their hashes."""
    at: datetime
    """When it was complete."""


class CheckpointsView(BaseModel):
    """The checkpoints of a job, newest first."""

    object: str = "list"
    data: list[CheckpointView]
    has_more: bool = False
    next_cursor: str | None = None


@router.get(
    "/metrics",
    response_model=MetricsView,
    responses=problems(404, 422, 503)
    | {200: {"content": {CSV: {"schema": {"type": "string"}}}}},
)
def list_metrics(
    job_id: str,
    session: Reading,
    name: Annotated[
        list[str] | None,
        Query(max_length=100, description="Only these metrics; may be repeated."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=METRICS)] = METRICS,
    downsample: Annotated[
        int | None,
        Query(ge=2, le=METRICS, description="Most values per metric, evenly spread."),
    ] = None,
    form: Annotated[Literal["json", "csv"] | None, Query(alias="format")] = None,
    accept: Annotated[str, Header()] = "",
) -> Any:
    """Return what was measured, in the order of steps, as JSON or CSV."""
    job = jobs.get(session, job_id)
    rows = metrics.history(session, job.id, name or (), limit + 1, downsample)
    kept = rows[:limit]
    if form == "csv" or (form is None and CSV in accept):
        return Response(_csv(kept), media_type=CSV)
    data = [MetricView.model_validate(row) for row in kept]
    return json_answer(MetricsView(data=data, has_more=len(rows) > limit))


def _csv(rows: Sequence[Metric]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["step", "epoch", "name", "value", "at"])
    for row in rows:
        value = "" if row.value is None else repr(row.value)
        at = f"{row.at:%Y-%m-%dT%H:%M:%S.%f}Z"
        writer.writerow([row.step, row.epoch, row.name, value, at])
    return text.getvalue()


@router.get("/layers", response_model=LayersView, responses=problems(404, 422, 503))
def list_layers(
    job_id: str,
    session: Reading,
    history: Annotated[
        int,
        Query(
            ge=0,
            le=1000,
            description="How many of the last samples of each layer's health to add.",
        ),
    ] = 0,
) -> Any:
    """Return the layer table of the job's network, with the health of each layer."""
    job = jobs.get(session, job_id)
    found = samples.newest(session, job.id, max(1, history))
    health: dict[str, list[LayerHealthView]] = {}
    for sample in reversed(found):
        for figures in sample.layers:
            view = LayerHealthView(
                step=sample.step, epoch=sample.epoch, **_known(figures)
            )
            health.setdefault(str(figures.get("layer")), []).append(view)
    data = [
        WatchedLayerView(
            **row,
            health=health.get(row["name"], [None])[-1],
            history=health.get(row["name"], []) if history else None,
        )
        for row in job.layers or []
    ]
    return json_answer(LayersView(data=data))


def _known(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures that have a name here; a newer trainer may know more."""
    known = LayerHealthView.model_fields.keys() - {"step", "epoch"}
    return {name: value for name, value in figures.items() if name in known}


@router.get(
    "/checkpoints", response_model=CheckpointsView, responses=problems(404, 422, 503)
)
def list_checkpoints(job_id: str, session: Reading) -> Any:
    """Return the checkpoints that the job could go on from, newest first."""
    job = jobs.get(session, job_id)
    rows = checkpoints.of_job(session, job.id)
    data = [CheckpointView.model_validate(row) for row in rows]
    return json_answer(CheckpointsView(data=data))


@router.get(
    "/logs", response_class=PlainTextResponse, responses=problems(404, 422, 503)
)
def show_logs(
    job_id: str,
    session: Reading,
    attempt: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="Absent: the newest.")
    ] = None,
    tail: Annotated[
        int | None, Query(ge=1, le=100_000, description="Only the last lines.")
    ] = None,
) -> Any:
    """Return what an attempt wrote to its log, as text."""
    job = jobs.get(session, job_id)
    known = {row.attempt for row in attempts.of_job(session, job.id)}
    if attempt is not None and attempt not in known:
        raise NotFound("attempt", f"{attempt} of job {job.id}")
    if not known:
        return PlainTextResponse("")
    file = folders.absolute(folders.log(job.id, attempt or max(known)))
    return PlainTextResponse(_end_of(file, tail))


def _end_of(file: Path, tail: int | None) -> str:
    try:
        with file.open("rb") as log:
            size = log.seek(0, io.SEEK_END)
            log.seek(max(0, size - LOG_BYTES))
            text = log.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    lines = text.splitlines(keepends=True)
    return "".join(lines if tail is None else lines[-tail:])
