"""Data sets over HTTP: uploading, looking, removing.

The body of an upload is streamed to the disk; a child process reads it (see
`catalog.ingest`) while a thread waits. Nothing a person sent is parsed here.
"""

import re
import threading
from functools import partial
from pathlib import Path as FilePath
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Path, Query, Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from api.answers import json_answer
from api.bodies import decoded, read_within, shaped
from api.dataset_form import BuiltinForm, UploadForm, options_of, raw_form
from api.dataset_views import DatasetsView, DatasetView, listed, preview, show
from api.deps import Limits, Reading
from api.errors import InvalidInput, UnknownMediaType
from api.multipart import receive
from api.paging import Cursor, Limit, Word
from api.problems import Fault, problems
from api.settings import Settings
from api.upload_turns import Turns, carried_out, turns_of
from catalog import datasets
from catalog.ingest import child
from catalog.ingest.errors import SenderGone
from catalog.ingest.order import Limits as IngestLimits
from catalog.ingest.order import Options, Order
from catalog.tables import Dataset

router = APIRouter(prefix="/datasets", tags=["data sets"])

Reference = Annotated[str, Path(description="An id, `name` or `name@version`.")]
FOUND = problems(404, 422, 503)
MULTIPART = "multipart/form-data"
JSON = "application/json"
PREVIEW_ROWS = 100
BUILTIN = re.compile(r"sklearn:([A-Za-z0-9_]{1,50})")
BODY = {
    "required": True,
    "content": {
        MULTIPART: {"schema": {"$ref": "#/components/schemas/UploadBody"}},
        JSON: {"schema": {"$ref": "#/components/schemas/BuiltinForm"}},
    },
}


@router.post(
    "",
    status_code=201,
    response_model=DatasetView,
    responses=problems(400, 413, 415, 422, 503, 507),
    openapi_extra={"requestBody": BODY},
)
async def add_dataset(request: Request, limits: Limits) -> Any:
    """Add a data set: files as parts `file` of a form, or a name the server knows.

    When the answer is sent, all is read, checked and stored.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type not in {MULTIPART, JSON}:
        raise UnknownMediaType(media_type, (MULTIPART, JSON))
    turns = turns_of(request.app)
    stage = datasets.staging()
    folder = await to_thread.run_sync(stage.__enter__)
    try:
        if media_type == MULTIPART:
            name, order = await _uploaded(request, folder, limits, turns)
        else:
            name, order = await _named(request, limits)
        ingest = partial(_ingest, name, order, folder)
        row = await carried_out(request, ingest, turns)
    finally:
        # In a thread of its own: files of gigabytes take a while to go.
        await to_thread.run_sync(stage.__exit__, None, None, None)
    return json_answer(show(row), 201, {"Location": f"/v1/datasets/{row.id}"})


@router.get("", response_model=DatasetsView, responses=problems(422, 503))
def list_datasets(
    session: Reading, name: Word = None, limit: Limit = 100, cursor: Cursor = None
) -> Any:
    """List the data sets, newest first, without their schemas and reports."""
    found = datasets.page(session, limit, cursor, name)
    return json_answer(
        DatasetsView(
            data=[listed(row) for row in found.rows],
            has_more=found.has_more,
            next_cursor=found.next_cursor,
        )
    )


@router.get("/{dataset}", response_model=DatasetView, responses=FOUND)
def show_dataset(dataset: Reference, session: Reading) -> Any:
    """Show a data set: its parts, columns and statistics, and the report."""
    return json_answer(show(datasets.get(session, dataset)))


@router.get("/{dataset}/report", responses=FOUND)
def show_report(dataset: Reference, session: Reading) -> dict[str, Any]:
    """Show what is odd about a data set, and how it was read."""
    return datasets.get(session, dataset).report


@router.get("/{dataset}/preview", responses=FOUND)
def show_preview(
    dataset: Reference,
    session: Reading,
    limit: Annotated[int, Query(ge=1, le=PREVIEW_ROWS)] = 10,
) -> dict[str, Any]:
    """Show the first rows: small images as nested lists, larger ones as PNG."""
    return preview(datasets.get(session, dataset), limit)


@router.delete("/{dataset}", status_code=204, responses=problems(404, 409, 422, 503))
def remove_dataset(
    dataset: Reference,
    force: Annotated[
        bool, Query(description="Even where jobs or models depend on it.")
    ] = False,
) -> Response:
    """Take a data set out of the catalog and delete its files."""
    datasets.remove(dataset, force=force)
    return Response(status_code=204)


async def _uploaded(
    request: Request, folder: FilePath, limits: Settings, turns: Turns
) -> tuple[str, Order]:
    """Store the files of a form; return the name and what the child is to do."""
    received = await receive(
        request, folder / "files", limits.upload_bytes, turns.writers
    )
    form = shaped(UploadForm, raw_form(received.fields))
    if not received.files:
        fault = Fault(
            pointer="/file",
            code="missing",
            detail="the form has no part `file`; send the files as parts of that name",
        )
        raise InvalidInput([fault])
    name = form.name or name_of(received.files[0].name)
    return name, _order(limits, files=tuple(received.files), options=options_of(form))


async def _named(request: Request, limits: Settings) -> tuple[str, Order]:
    """Read which data set is wanted; return the name and what the child is to do."""
    try:
        body = await read_within(request, limits.spec_bytes)
    except ClientDisconnect:
        raise SenderGone from None
    form = shaped(BuiltinForm, decoded(request, body))
    known = BUILTIN.fullmatch(form.uri)
    if known is None:
        scheme = form.uri.partition(":")[0][:20]
        fault = Fault(
            pointer="/uri",
            code="uri_not_allowed",
            detail=f"addresses of the kind {scheme!r} are not fetched by this server; "
            "upload the file, or name a data set such as sklearn:digits",
            suggestion="sklearn:digits",
        )
        raise InvalidInput([fault])
    options = Options(target=form.target)
    return form.name or known[1], _order(limits, builtin=known[1], options=options)


def _order(limits: Settings, **wanted: Any) -> Order:
    bounds = IngestLimits(
        memory_bytes=limits.ingest_memory_bytes,
        seconds=limits.ingest_seconds,
        output_bytes=4 * limits.upload_bytes,
    )
    return Order(limits=bounds, **wanted)


def _ingest(
    name: str, order: Order, folder: FilePath, gone: threading.Event
) -> Dataset:
    """Have the upload read, and enter it; runs in a thread."""
    answer = child.ingest(order, folder, gone)
    return datasets.publish(name, folder, answer)


def name_of(file: str) -> str:
    """Return a name made of a file's: titanic of titanic.csv."""
    stem = file.lstrip(".").partition(".")[0]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:100]
    try:
        return UploadForm(name=plain).name or "dataset"
    except ValidationError:
        return "dataset"
