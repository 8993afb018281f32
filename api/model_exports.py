"""/v1/models/{id}/exports: a model in other forms, written by a worker."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Response
from pydantic import BaseModel, ConfigDict

from api.answers import json_answer
from api.bodies import Shaped, request_body
from api.deps import Reading, Writing
from api.errors import InvalidInput
from api.models import FOUND, Reference
from api.problems import Fault, problems
from catalog import exports, models
from catalog.errors import NotFound
from catalog.exports import ExportStatus
from catalog.tables import Model, ModelExport
from trainer.spec.exports import FILES, ExportFormat, ExportRequest, refusal
from worker.queue import send_export

router = APIRouter(prefix="/models", tags=["models"])


class ExportView(BaseModel):
    """A form of a model that was asked for."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    model: str
    """Id of the model."""
    format: ExportFormat
    """The form."""
    status: ExportStatus
    """Where it stands."""
    file: str
    """The name that the file has among the model's files, once it is there."""
    sha256: str | None
    """Its hash, once it is there."""
    bytes: int | None
    """Its size, once it is there."""
    error: str | None
    """Why there is none; asking again tries again."""
    report: dict[str, Any] | None
    """What the comparison with the model has said."""
    requested_at: datetime
    """When it was asked for."""
    ended_at: datetime | None
    """When it was written, or given up."""


class ExportsView(BaseModel):
    """The forms of a model that were asked for."""

    object: str = "list"
    data: list[ExportView]
    has_more: bool = False
    next_cursor: str | None = None


@router.post(
    "/{model}/exports",
    response_model=ExportView,
    status_code=202,
    responses=problems(400, 404, 413, 415, 422, 503)
    | {200: {"model": ExportView, "description": "It is written already."}},
    openapi_extra=request_body("ExportRequest"),
)
def export(
    model: Reference,
    asked: Annotated[ExportRequest, Depends(Shaped(ExportRequest))],
    session: Writing,
    after: BackgroundTasks,
) -> Response:
    """Have a model written in another form, by the next worker that is free."""
    row = models.get(session, model)
    kinds = [(layer.name, layer.kind) for layer in models.layers(session, row.id)]
    refused = refusal(asked.format, row.card, kinds)
    if refused is not None:
        fault = Fault(pointer="/format", code="cannot_export", detail=refused)
        raise InvalidInput([fault])
    found = exports.ask(session, row, asked.format)
    status = exports.status_of(found)
    if status == "queued":
        after.add_task(send_export, row.id)  # after the commit; the sweep sends again
    place = {"Location": f"/v1/models/{row.id}/exports/{asked.format}"}
    return json_answer(_view(row, found), 200 if status == "succeeded" else 202, place)


@router.get("/{model}/exports", response_model=ExportsView, responses=FOUND)
def list_exports(model: Reference, session: Reading) -> Any:
    """List the forms that a model was asked for in."""
    row = models.get(session, model)
    found = exports.of_model(session, row.id)
    return json_answer(ExportsView(data=[_view(row, each) for each in found]))


@router.get("/{model}/exports/{format}", response_model=ExportView, responses=FOUND)
def show_export(model: Reference, format: ExportFormat, session: Reading) -> Any:  # noqa: A002
    """Show where a form of a model stands."""
    row = models.get(session, model)
    found = exports.find(session, row.id, format)
    if found is None:
        raise NotFound(f"export of {row.name}@{row.version}", format)
    return json_answer(_view(row, found))


def _view(model: Model, export: ModelExport) -> ExportView:
    wanted: Any = export.format
    status = exports.status_of(export)
    name = FILES[export.format]  # type: ignore[index]
    file = model.files.get(name, {}) if status == "succeeded" else {}
    return ExportView(
        model=model.id,
        format=wanted,
        status=status,
        file=name,
        sha256=file.get("sha256"),
        bytes=file.get("bytes"),
        error=export.error,
        report=export.report,
        requested_at=export.requested_at,
        ended_at=export.ended_at,
    )
