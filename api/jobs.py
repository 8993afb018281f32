"""Submitting jobs, trying a spec dry, and finding jobs."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, BackgroundTasks, Depends, Header, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy.orm import Session

from api.acceptance import Accepted, examine, request_of
from api.answers import accepted, json_answer
from api.bodies import Document, SmallBody, request_body
from api.deps import Limits, Reading
from api.hints import Hints
from api.job_views import JobsView, JobView, show, show_all
from api.paging import Cursor, Limit, Word
from api.problems import problems
from catalog import datasets, jobs, models
from catalog.errors import NotFound
from catalog.session import reading, transaction

router = APIRouter(prefix="/jobs", tags=["jobs"])

ShownStatus = Literal[
    "queued",
    "running",
    "pausing",
    "paused",
    "cancelling",
    "succeeded",
    "failed",
    "cancelled",
]

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="The same key with the same body makes one job only.",
    ),
]
"""A client's word that two requests are the same one."""


class DryRunView(BaseModel):
    """What would become of a spec."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """Name of the job that would be made."""
    resolved_spec: dict[str, Any]
    """The spec with every default filled in."""
    task: str
    """What is learned."""
    classes: list[Any]
    """The classes, for classification."""
    inputs: list[dict[str, Any]]
    """What each column becomes: `column`, its `kind`, its `encoding`, and in words;
    empty where the preprocessing of a reused model is taken over."""
    layers: list[dict[str, Any]]
    """The layer table: shapes, parameters, where each layer comes from."""
    parameters: int
    """How many numbers can learn, over all layers."""
    memory: dict[str, Any]
    """What a trainer process will need, in bytes."""
    time: dict[str, Any]
    """What an epoch and the longest run will take on one CPU core, in seconds."""
    reuse: list[dict[str, Any]]
    """The match table."""
    warnings: list[str]
    """What is allowed but probably not meant."""
    stages: list["DryRunView"] = []
    """The same of each job of its pretraining, first to last."""


async def hints_of(request: Request) -> Hints:
    """Return the application's sender of hints."""
    hints: Hints = request.app.state.hints
    return hints


Hinting = Annotated[Hints, Depends(hints_of)]
DryRun = Annotated[
    bool, Query(description="Only tell what would happen; nothing is stored.")
]


@router.post(
    "",
    status_code=202,
    response_model=JobView,
    responses=problems(400, 413, 415, 422, 503)
    | {
        200: {
            "model": DryRunView | JobView,
            "description": "The dry run.",
        },
        202: {
            "description": "The job is accepted and will not be lost.",
            "headers": {"Location": {"schema": {"type": "string"}}},
        },
    },
    openapi_extra=request_body("JobSpec"),
)
def submit(
    request: Request,
    written: Document,
    body: SmallBody,
    limits: Limits,
    hints: Hinting,
    after: BackgroundTasks,
    key: Key = None,
    dry_run: DryRun = False,
) -> Any:
    """Queue a training job; it starts when a worker is free."""
    if dry_run:
        with reading() as looking:
            return json_answer(dry(examine(looking, written, limits)))
    asked = request_of(key, body)
    with reading() as looking:
        earlier = asked and jobs.repeated(looking, asked)
        if earlier:
            return accepted(request, show(looking, earlier))
        found = examine(looking, written, limits)
    with transaction() as session:
        job = jobs.add(session, found.submission(request=asked))
        answer = accepted(request, show(session, job))
    after.add_task(hints.put, job.id)
    return answer


@router.get("", response_model=JobsView, responses=problems(422, 503))
def list_jobs(
    session: Reading,
    status: Annotated[ShownStatus | None, Query()] = None,
    name: Word = None,
    model: Word = None,
    tag: Word = None,
    dataset: Word = None,
    search: Word = None,
    created_after: Annotated[AwareDatetime | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """List jobs, newest first."""
    filters = jobs.Filters(
        status=status,
        name=name,
        model=None if model is None else _model_id(session, model),
        tag=tag,
        dataset=None if dataset is None else _dataset_id(session, dataset),
        created_after=created_after,
        search=search,
    )
    page = jobs.page(session, filters, limit, cursor)
    return json_answer(
        JobsView(
            data=show_all(session, page.rows),
            has_more=page.has_more,
            next_cursor=page.next_cursor,
        )
    )


@router.get("/{job_id}", response_model=JobView, responses=problems(404, 422, 503))
def show_job(job_id: str, session: Reading) -> Any:
    """Show a job."""
    return json_answer(show(session, jobs.get(session, job_id)))


def dry(found: Accepted) -> DryRunView:
    """Return what would become of a spec."""
    resolution = found.resolution
    epochs = resolution.epochs
    seconds = resolution.estimate.seconds_per_epoch
    memory = resolution.estimate.as_dict()
    memory.pop("seconds_per_epoch")
    return DryRunView(
        name=resolution.spec.name,
        resolved_spec=found.resolved_spec,
        task=resolution.task,
        classes=list(resolution.classes),
        inputs=resolution.input_table(),
        layers=resolution.layer_table(),
        parameters=resolution.parameters,
        memory=memory,
        time={
            "seconds_per_epoch": seconds,
            "epochs": epochs,
            "seconds": round(seconds * epochs, 3),
        },
        reuse=resolution.match_table(),
        warnings=list(resolution.warnings),
        stages=[dry(stage) for stage in found.stages],
    )


def _model_id(session: Session, reference: str) -> str:
    try:
        return models.get(session, reference).id
    except NotFound:
        return reference


def _dataset_id(session: Session, reference: str) -> str:
    try:
        return datasets.get(session, reference).id
    except NotFound:
        return reference
