"""Whether the service lives, whether it can work, who works, and what waits."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict
from sqlalchemy import and_, case, func, select
from starlette.responses import PlainTextResponse, Response

from api.answers import json_answer
from api.deps import Reading
from api.problems import Fault, answer, problems
from api.telemetry import Telemetry
from catalog import jobs, workers
from catalog.clock import now
from catalog.errors import CatalogError, DatabaseUnavailable
from catalog.prerequisites import is_ready
from catalog.session import reading
from catalog.tables import Job, Status, Worker
from worker.queue import reachable

probes = APIRouter(tags=["service"])
router = APIRouter(tags=["service"])


class HealthView(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class ReadyView(BaseModel):
    """Everything that a job needs is there."""

    status: Literal["ready"] = "ready"
    checks: dict[str, str]


class WorkerView(BaseModel):
    """A process that owns a device."""

    model_config = ConfigDict(use_attribute_docstrings=True, from_attributes=True)

    name: str
    """Its name, kept over restarts."""
    host: str
    """The machine it runs on."""
    pid: int
    """Its process id there."""
    device: str
    """cpu, cuda:0 and so on."""
    capacity: dict[str, Any]
    """What the device has."""
    status: str = "idle"
    """idle, busy, draining or silent."""
    job_id: str | None
    """The job it runs."""
    started_at: datetime
    """When it started."""
    heartbeat_at: datetime
    """When it was last heard of."""
    refused_writes: int
    """Writes of dead attempts that were turned away."""


class WorkersView(BaseModel):
    """The workers that did not take their leave."""

    object: str = "list"
    data: list[WorkerView]
    has_more: bool = False
    next_cursor: str | None = None


class QueueView(BaseModel):
    """The jobs that wait for one kind of device."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    device: str
    """cpu, cuda, or any."""
    queued: int
    """Jobs that could start now."""
    waiting: int
    """Jobs that wait for their next try."""
    oldest_at: datetime | None
    """When the oldest of them was accepted."""


class QueuesView(BaseModel):
    """The queue, by kind of device."""

    object: str = "list"
    data: list[QueueView]
    has_more: bool = False
    next_cursor: str | None = None


@probes.get("/healthz")
def healthz() -> HealthView:
    """Say that the process answers."""
    return HealthView()


@probes.get("/readyz", response_model=ReadyView, responses=problems(503))
def readyz(request: Request) -> Any:
    """Say whether the database, Redis and a worker are there."""
    checks: dict[str, Callable[[], str | None]] = {
        "database": _database,
        "redis": _redis,
        "worker": _worker,
    }
    found = {name: check() for name, check in checks.items()}
    missing = {name: why for name, why in found.items() if why is not None}
    if not missing:
        return ReadyView(checks=dict.fromkeys(found, "ok"))
    return answer(
        request,
        503,
        "not_ready",
        "; ".join(missing.values()),
        errors=[
            Fault(pointer=f"/checks/{name}", code="missing", detail=why)
            for name, why in missing.items()
        ],
        headers={"Retry-After": "1"},
    )


def _database() -> str | None:
    try:
        with reading() as session:
            session.execute(select(Job.id).limit(1))
    except CatalogError:
        return "the database does not answer, or has no tables yet"
    return None


def _redis() -> str | None:
    return None if reachable() else "Redis does not answer"


def _worker() -> str | None:
    try:
        with reading() as session:
            if workers.live(session):
                return None
    except CatalogError:
        return "no worker can be seen"
    return "no worker has been heard of lately"


@router.get("/workers", response_model=WorkersView, responses=problems(503))
def list_workers(session: Reading) -> Any:
    """List the workers: what each owns and runs."""
    alive = {worker.name for worker in workers.live(session)}
    rows = workers.every(session)
    views = [_shown(row, row.name in alive) for row in rows]
    return json_answer(WorkersView(data=views))


def _shown(worker: Worker, is_alive: bool) -> WorkerView:
    view = WorkerView.model_validate(worker)
    if not is_alive:
        view.status = "silent"
    elif worker.draining:
        view.status = "draining"
    elif worker.job_id is not None:
        view.status = "busy"
    return view


@router.get("/queues", response_model=QueuesView, responses=problems(503))
def list_queues(session: Reading) -> Any:
    """Tell how many jobs wait, by the kind of device they need."""
    due = func.sum(case((and_(Job.run_after <= now(), is_ready()), 1), else_=0))
    query = (
        select(Job.device, func.count(), due, func.min(Job.created_at))
        .where(Job.status == Status.QUEUED)
        .group_by(Job.device)
        .order_by(Job.device)
    )
    return json_answer(
        QueuesView(
            data=[
                QueueView(
                    device=device or "any",
                    queued=ready,
                    waiting=total - ready,
                    oldest_at=oldest,
                )
                for device, total, ready, oldest in session.execute(query)
            ]
        )
    )


@probes.get("/metrics", response_class=PlainTextResponse)
def show_telemetry(request: Request) -> Response:
    """Answer Prometheus."""
    telemetry: Telemetry = request.app.state.telemetry
    try:
        with reading() as session:
            counts = jobs.counts(session)
            alive = len(workers.live(session))
            refused = session.scalar(select(func.sum(Worker.refused_writes))) or 0
        telemetry.ledger(counts, alive, int(refused))
    except DatabaseUnavailable:
        telemetry.ledger_away()
    return Response(generate_latest(telemetry.registry), media_type=CONTENT_TYPE_LATEST)
