"""From an exception to the problem document that tells of it."""

import errno
import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path

from api.errors import STATUSES, ApiError, status_of
from api.problems import Fault, answer, request_id_of
from catalog.errors import CatalogError, Conflict, DatabaseUnavailable
from catalog.ingest.errors import ImportRefused, Refused
from catalog.ingest.order import Complaint
from trainer.spec.errors import InvalidSpec, Problem, pointer

log = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT)


def install(app: FastAPI) -> None:
    """Make every exception of the application a problem document."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(CatalogError, _catalog_error)
    app.add_exception_handler(InvalidSpec, _invalid_spec)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(OSError, _file_error)


def faults_of(problems: tuple[Problem, ...] | list[Problem]) -> list[Fault]:
    """Return what is wrong with a spec in the form that is sent."""
    return [Fault(**problem.as_dict()) for problem in problems]


def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return answer(
        request,
        status_of(error),
        error.code,
        str(error),
        errors=error.faults,
        headers=error.headers,
    )


def _catalog_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, CatalogError)
    if isinstance(error, DatabaseUnavailable):
        return _database_error(request, error)
    faults = []
    if isinstance(error, Conflict) and error.status is not None:
        faults = [Fault(pointer="/status", code=error.status, detail=str(error))]
    if isinstance(error, ImportRefused):
        faults = [Fault(**problem.model_dump()) for problem in error.problems]
    if isinstance(error, Refused):
        faults = [_upload_fault(complaint) for complaint in error.complaints]
    return answer(request, status_of(error), error.code, str(error), errors=faults)


def _upload_fault(complaint: Complaint) -> Fault:
    """Return what is wrong with an upload, with the row as a number of its own."""
    place = complaint.model_dump(include={"row", "line", "column"}, exclude_none=True)
    parts: list[str | int] = ["file"]
    if complaint.row is not None:
        parts += ["rows", complaint.row]
    if complaint.column is not None:
        parts.append(complaint.column)
    return Fault(
        pointer=pointer(*parts),
        code=complaint.code,
        detail=complaint.detail,
        suggestion=complaint.remedy,
        **place,
    )


def _database_error(request: Request, error: DatabaseUnavailable) -> Response:
    log.warning("%s: %s", request_id_of(request), error)
    retry = {"Retry-After": str(error.retry_after_seconds)}
    if "full" in str(error) or "No space left" in str(error):
        detail = "the disk of the database is full; free some space and try again"
        return answer(request, 507, "disk_full", detail, headers=retry)
    detail = "the database does not answer; try again in a moment"
    return answer(request, STATUSES[type(error)], error.code, detail, headers=retry)


def _invalid_spec(request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidSpec)
    faults = faults_of(error.problems)
    return answer(request, 422, "invalid_spec", str(error), errors=faults)


def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [
        Fault(
            pointer="/" + "/".join(str(part) for part in found["loc"]),
            code=found["type"],
            detail=found["msg"][0].lower() + found["msg"][1:],
        )
        for found in error.errors()
    ]
    first = faults[0]
    detail = f"{first.pointer}: {first.detail}"
    return answer(request, 422, "invalid_parameter", detail, errors=faults)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.scope["path"]
    headers = dict(error.headers or {})
    code, detail = "refused", str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND:
        code, detail = "unknown_route", f"there is nothing at {path}"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(_methods(request, headers.get("Allow", "")))
        headers["Allow"] = allowed
        code, detail = "method_not_allowed", f"{path} takes {allowed} only"
    elif error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        code = "body_too_large"
    return answer(request, error.status_code, code, detail, headers=headers)


def _methods(request: Request, told: str) -> list[str]:
    """Return what may be asked of this path; each of its routes knows its own only."""
    found = {word.strip() for word in told.split(",") if word}
    for template, verbs in request.app.openapi()["paths"].items():
        if compile_path(template)[0].match(request.scope["path"]):
            found |= {verb.upper() for verb in verbs}
    return sorted(found)


def _file_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    if error.errno in FULL:
        detail = "the disk of the service is full; free some space and try again"
        return answer(request, 507, "disk_full", detail, headers={"Retry-After": "60"})
    return our_mistake(request, error)


def our_mistake(request: Request, error: Exception) -> Response:
    """Return what is said when the fault is ours; the log has the traceback."""
    asked = f"{request_id_of(request)}: {request.method} {request.scope['path']!r}"
    log.error("%s failed", asked, exc_info=error)
    detail = "the service made a mistake; its log tells more under this request_id"
    return answer(request, 500, "internal_error", detail)
