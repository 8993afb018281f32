"""What people do with a job: stop it, set it aside, let it go on, do it again."""

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Request

from api.acceptance import examine, request_of
from api.answers import accepted, json_answer
from api.bodies import SmallBody, decoded, request_body
from api.deps import Limits, Writing
from api.errors import InvalidInput
from api.job_views import JobView, show
from api.jobs import DryRun, DryRunView, Hinting, Key, dry
from api.problems import Fault, problems
from catalog import jobs, wishes
from catalog.session import reading, transaction

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"])

REFUSALS = problems(404, 409, 422, 503)


@router.post("/cancel", status_code=202, response_model=JobView, responses=REFUSALS)
def cancel(request: Request, job_id: str, session: Writing) -> Any:
    """Stop a job: at once if nobody runs it, else at its next step."""
    return accepted(request, show(session, jobs.cancel(session, job_id)))


@router.post("/pause", status_code=202, response_model=JobView, responses=REFUSALS)
def pause(request: Request, job_id: str, session: Writing) -> Any:
    """Set a job aside after a checkpoint; the device is free for others."""
    return accepted(request, show(session, jobs.pause(session, job_id)))


@router.post("/resume", status_code=202, response_model=JobView, responses=REFUSALS)
def resume(
    request: Request,
    job_id: str,
    session: Writing,
    hints: Hinting,
    after: BackgroundTasks,
) -> Any:
    """Let a paused job go on, bit for bit, from its newest checkpoint."""
    job = jobs.resume(session, job_id)
    after.add_task(hints.put, job.id)
    return accepted(request, show(session, job))


@router.post("/checkpoint", status_code=202, response_model=JobView, responses=REFUSALS)
def checkpoint(request: Request, job_id: str, session: Writing) -> Any:
    """Ask a running job for a checkpoint now."""
    return accepted(request, show(session, wishes.ask_for_checkpoint(session, job_id)))


@router.post("/retry", status_code=202, response_model=JobView, responses=REFUSALS)
def retry(
    request: Request,
    job_id: str,
    session: Writing,
    hints: Hinting,
    after: BackgroundTasks,
    key: Key = None,
) -> Any:
    """Make a new job of a job that ended, with the same spec."""
    job = jobs.again(session, job_id, request_of(key, b"", "retry", job_id))
    after.add_task(hints.put, job.id)
    return accepted(request, show(session, job))


def _patch(request: Request, body: SmallBody) -> dict[str, Any]:
    """Return the merge patch; no body is an empty one."""
    value = decoded(request, body) if body.strip() else {}
    if not isinstance(value, dict):
        detail = "a merge patch is an object; fields set to null are removed"
        fault = Fault(pointer="", code="not_an_object", detail=detail)
        raise InvalidInput([fault])
    return value


@router.post(
    "/clone",
    status_code=202,
    response_model=JobView,
    responses=problems(400, 404, 413, 415, 422, 503)
    | {200: {"model": DryRunView, "description": "The dry run."}},
    openapi_extra=request_body("MergePatch", required=False),
)
def clone(
    request: Request,
    job_id: str,
    patch: Annotated[dict[str, Any], Depends(_patch)],
    body: SmallBody,
    limits: Limits,
    hints: Hinting,
    after: BackgroundTasks,
    key: Key = None,
    dry_run: DryRun = False,
) -> Any:
    """Make a new job of a job's spec with a JSON Merge Patch (RFC 7396) applied."""
    asked = request_of(key, body, "clone", job_id)
    with reading() as looking:
        parent = jobs.get(looking, job_id)
        earlier = asked and not dry_run and jobs.repeated(looking, asked)
        if earlier:
            return accepted(request, show(looking, earlier))
        found = examine(looking, merged(parent.spec, patch), limits)
    if dry_run:
        return json_answer(dry(found))
    with transaction() as session:
        submission = found.submission(parent=parent.id, request=asked)
        job = jobs.add(session, submission)
        answer = accepted(request, show(session, job))
    after.add_task(hints.put, job.id)
    return answer


def merged(target: Any, patch: Any) -> Any:
    """Apply a JSON Merge Patch: objects merge, null removes, all else replaces.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": None}, "d": 3})
    {'a': {'c': 2}, 'd': 3}
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
