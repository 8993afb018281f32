"""The document that every refusal carries (RFC 9457), and how OpenAPI tells of it."""

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


class Fault(BaseModel):
    """One thing that is wrong, and where; for an upload also row, line and column."""

    model_config = ConfigDict(extra="allow")

    pointer: str
    """JSON Pointer into the body, or the name of the parameter."""
    code: str
    """What is wrong, for programs."""
    detail: str
    """What is wrong, for people."""
    suggestion: str | None = None
    """What to write instead, where that is known."""


class ProblemDocument(BaseModel):
    """Why a request was refused, and what to change."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str
    """URI that names the kind of problem."""
    title: str
    """The kind of problem in words; the same for every occurrence."""
    status: int
    """The HTTP status again."""
    detail: str
    """What happened this time."""
    code: str
    """The kind of problem, for programs."""
    request_id: str
    """The id under which the log knows this request; also in X-Request-Id."""
    errors: list[Fault] = []
    """Each thing that is wrong with the input."""


def answer(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    errors: list[Fault] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Return the problem document as a response."""
    request_id = request_id_of(request)
    document = ProblemDocument(
        type=f"urn:frostline:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        request_id=request_id,
        errors=errors or [],
    )
    return JSONResponse(
        document.model_dump(),
        status_code=status,
        headers={"X-Request-Id": request_id} | (headers or {}),
        media_type=MEDIA_TYPE,
    )


def request_id_of(request: Request) -> str:
    """Return the id that the gate gave to this request."""
    return str(request.scope.get("state", {}).get("request_id", ""))


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of these refusals."""
    reference = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: reference},
        }
        for status in statuses
    }
