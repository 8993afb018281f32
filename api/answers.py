"""Answers that are written once: pydantic to bytes, without a second validation."""

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api.job_views import JobView


def json_answer(
    view: BaseModel,
    status: int = 200,
    headers: dict[str, str] | None = None,
    *,
    exclude_none: bool = False,
) -> Response:
    """Return a view as a JSON response."""
    return Response(
        view.model_dump_json(exclude_none=exclude_none),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


def accepted(request: Request, view: JobView) -> Response:
    """Return the answer of a request that a job will fulfil."""
    place = request.url_for("show_job", job_id=view.id).path
    return json_answer(view, 202, {"Location": place})
