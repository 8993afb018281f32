"""How a job is shown: the whole object."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import chains, events, jobs
from catalog.tables import Attempt, Event, Job, Metric, Status
from trainer.spec.resolve.recipe import rises


class ProgressView(BaseModel):
    """How far a job is."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    phase: str | None = None
    """What it is doing: waiting, loading, training, …"""
    epoch: int | None = None
    """The epoch it is in, from 1."""
    step: int | None = None
    """Optimizer steps taken."""
    percent: float | None = None
    """Share of the most epochs that it may take, from 0 to 100."""
    steps_per_second: float | None = None
    """Optimizer steps per second lately."""
    examples_per_second: float | None = None
    """Examples per second lately."""
    eta_seconds: float | None = None
    """Seconds until the last epoch; early stopping may end it before."""
    queue_position: int | None = None
    """While it is queued: how many jobs stand before it, plus one."""
    best: dict[str, Any] | None = None
    """The best value of the monitored metric so far: name, value, step, epoch."""


class AttemptView(BaseModel):
    """One try at running a job."""

    model_config = ConfigDict(use_attribute_docstrings=True, from_attributes=True)

    attempt: int
    """Its number, from 1."""
    worker: str
    """Name of the worker that ran it."""
    host: str | None
    """The worker's machine."""
    device: str | None
    """The device it ran on."""
    started_at: datetime
    """When it began."""
    ended_at: datetime | None
    """When it ended."""
    outcome: str | None
    """How it ended: succeeded, failed, cancelled, paused, drained, out_of_memory,
    crashed or lost."""
    error: str | None
    """Why, in a sentence."""
    step: int | None
    """The last step it told of."""
    exit_code: int | None
    """Exit status of the trainer; negative for a signal."""
    resumed_step: int | None
    """The step of the checkpoint it went on from."""
    fingerprint: dict[str, Any] | None
    """What its numbers depend on: versions, device, threads."""
    exact: bool | None
    """Whether it went on bit for bit."""


class DiagnosticView(BaseModel):
    """A fault that the training doctor has named."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    code: str
    """The fault: vanishing_gradients, dying_relu, overfitting, …"""
    layer: str | None
    """The layer where it shows most, if it is one of a layer."""
    severity: str
    """info, warning or critical."""
    detail: str
    """A sentence that a person can act on."""
    evidence: dict[str, Any]
    """The numbers that it was seen in."""
    patch: dict[str, Any] | None
    """A JSON Merge Patch for ``clone`` that mends it; null where none would."""
    cause: str | None
    """The code of an earlier finding that explains this one."""
    step: int
    """The step it was seen at."""
    epoch: int | None
    """The epoch it was seen in."""
    at: datetime
    """When it was written down."""


class StageView(BaseModel):
    """A job that was made for another one, to be done before it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """The stage's job."""
    name: str
    """Its name, and the name of its model."""
    status: str
    """As of any job."""
    model: str | None
    """Id of the model it made."""


class JobView(BaseModel):
    """A job: what was asked, what became of it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """The job's id."""
    name: str
    """Its name, and the name of the model it makes."""
    status: str
    """queued, running, pausing, paused, cancelling, succeeded, failed or cancelled."""
    reason: str | None
    """Why it failed, for programs."""
    error: str | None
    """Why it failed, and what to change."""
    spec: dict[str, Any]
    """What was asked, exactly as written."""
    resolved_spec: dict[str, Any]
    """The same with every default filled in."""
    dataset: str
    """Id of the data set."""
    progress: ProgressView
    """How far it is."""
    reuse: list[dict[str, Any]]
    """The match table: each layer, where it comes from, whether it is frozen."""
    frozen: list[dict[str, Any]]
    """Each frozen tensor with its SHA-256 before and after."""
    cache: dict[str, Any] | None
    """What the cache of frozen outputs did and saved: `summary` says it in a sentence,
    `seconds_saved` of `seconds_without` are measured."""
    diagnostics: list[DiagnosticView]
    """What the training doctor found, root causes first, each fault once at its worst;
    left empty in lists."""
    model: str | None
    """Id of the model it made."""
    attempts: list[AttemptView]
    """Its tries, first to last."""
    attempt: int
    """Number of the newest attempt; 0 before the first."""
    worker: str | None
    """Who runs it."""
    tags: list[str]
    """Words to find it by."""
    priority: int
    """Jobs with a higher number start first."""
    parent: str | None
    """The job that this one retries or clones."""
    waits_for: list[str]
    """Jobs that must succeed before this one is taken; it is queued till then, without
    a place in the queue."""
    stages: list[StageView]
    """The jobs of its pretraining, first to last."""
    stage_of: list[str]
    """The jobs that this one is a stage of; left empty in lists."""
    created_at: datetime
    """When it was accepted."""
    started_at: datetime | None
    """When its first attempt began."""
    ended_at: datetime | None
    """When it ended."""


class JobsView(BaseModel):
    """A page of jobs, newest first."""

    object: str = "list"
    data: list[JobView]
    has_more: bool
    next_cursor: str | None


def show(session: Session, job: Job) -> JobView:
    """Return a job with its best value so far."""
    view = show_all(session, [job])[0]
    view.progress.best = _best(session, job)
    view.diagnostics = _diagnostics(session, job)
    view.stage_of = list(chains.made_for(session, job.id))
    return view


def show_all(session: Session, rows: Sequence[Job]) -> list[JobView]:
    """Return many jobs; the best value, which takes a query for each, is left out."""
    attempts = _attempts(session, [row.id for row in rows if row.attempt])
    places = jobs.positions(session, rows)
    views = [_view(row, attempts.get(row.id, []), places.get(row.id)) for row in rows]
    by_id = {view.id: view for view in views}
    for link in chains.links(session, list(by_id)):
        view, first = by_id[link.job_id], link.prerequisite
        if link.is_stage:
            view.stages.append(
                StageView(
                    id=first.id,
                    name=first.name,
                    status=first.shown_status,
                    model=first.model_id,
                )
            )
        if first.status is not Status.SUCCEEDED and view.ended_at is None:
            view.waits_for.append(first.id)
    return views


def _view(job: Job, attempts: list[AttemptView], place: int | None) -> JobView:
    return JobView(
        id=job.id,
        name=job.name,
        status=job.shown_status,
        reason=job.reason,
        error=job.error,
        spec=job.spec,
        resolved_spec=job.resolved_spec,
        dataset=job.dataset_id,
        progress=_progress(job, place),
        reuse=job.reuse or [],
        frozen=job.frozen or [],
        cache=job.cache,
        diagnostics=[],
        model=job.model_id,
        attempts=attempts,
        attempt=job.attempt,
        worker=job.worker,
        tags=job.tags,
        priority=job.priority,
        parent=job.parent,
        waits_for=[],
        stages=[],
        stage_of=[],
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.finished_at,
    )


def _progress(job: Job, place: int | None) -> ProgressView:
    told = job.progress or {}
    known = {key: told[key] for key in ProgressView.model_fields if key in told}
    view = ProgressView.model_validate(known)
    view.queue_position = place
    if job.status is Status.QUEUED:
        view.phase, view.eta_seconds, view.steps_per_second = "waiting", None, None
    elif job.status is not Status.RUNNING and job.status is not Status.SUCCEEDED:
        view.phase, view.eta_seconds = job.status.value, None
    return view


def _attempts(session: Session, job_ids: list[str]) -> dict[str, list[AttemptView]]:
    found: dict[str, list[AttemptView]] = {job_id: [] for job_id in job_ids}
    if not job_ids:
        return found
    query = select(Attempt).where(Attempt.job_id.in_(job_ids)).order_by(Attempt.attempt)
    for row in session.scalars(query):
        found[row.job_id].append(AttemptView.model_validate(row))
    return found


def _diagnostics(session: Session, job: Job) -> list[DiagnosticView]:
    """Return the newest word on each fault, in the order of the first words."""
    if not job.attempt:
        return []
    newest: dict[str, Event] = {}
    for event in events.of_type(session, job.id, "diagnostic"):
        newest[str(event.data.get("code"))] = event
    return [
        DiagnosticView(
            code=code,
            layer=event.data.get("layer"),
            severity=event.data.get("severity", "info"),
            detail=event.data.get("detail", ""),
            evidence=event.data.get("evidence") or {},
            patch=event.data.get("patch"),
            cause=event.data.get("cause"),
            step=event.data.get("step") or 0,
            epoch=event.data.get("epoch"),
            at=event.at,
        )
        for code, event in newest.items()
    ]


def _best(session: Session, job: Job) -> dict[str, Any] | None:
    """Return the best value of what early stopping watches, or of the validation."""
    if not job.attempt:
        return None
    watched = job.resolved_spec.get("training", {}).get("early_stopping")
    name = watched.get("monitor") if isinstance(watched, dict) else None
    name = name or "validation_loss"
    order = Metric.value.desc() if rises(name) else Metric.value.asc()
    row = session.scalar(
        select(Metric)
        .where(
            Metric.job_id == job.id,
            ~Metric.archived,
            Metric.name == name,
            Metric.value.is_not(None),
        )
        .order_by(order, Metric.step)
        .limit(1)
    )
    if row is None:
        return None
    return {"name": name, "value": row.value, "step": row.step, "epoch": row.epoch}
