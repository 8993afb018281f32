"""Foreign models over HTTP: their files in, a catalogued model with named layers out.

The body is streamed to the disk; a child process reads the files (see
`catalog.model_imports`) while a thread waits. Nothing a person sent is parsed here.
"""

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, BackgroundTasks, Request
from starlette.requests import ClientDisconnect

from api.answers import json_answer
from api.bodies import decoded, read_within, shaped
from api.datasets import JSON, MULTIPART, name_of
from api.deps import Limits
from api.errors import InvalidInput, UnknownMediaType
from api.model_import_form import SPEC, ImportUri, form_of
from api.model_views import ModelView, show
from api.multipart import receive
from api.problems import Fault, problems
from api.settings import Settings
from api.upload_turns import Turns, carried_out, turns_of
from api.zoo.imports import ZooImport, taken
from catalog import datasets, folders, model_imports, models
from catalog.errors import NotFound
from catalog.ingest.errors import SenderGone
from catalog.ingest.order import File
from catalog.session import reading
from trainer.spec.imports import (
    ImportFile,
    ImportForm,
    ImportLimits,
    ImportOrder,
    ZooOrigin,
)
from worker.queue import send_export

router = APIRouter(prefix="/models", tags=["models"])

BODY = {
    "required": True,
    "content": {
        MULTIPART: {"schema": {"$ref": "#/components/schemas/ImportBody"}},
        JSON: {
            "schema": {
                "anyOf": [
                    {"$ref": "#/components/schemas/ZooImport"},
                    {"$ref": "#/components/schemas/ImportUri"},
                ]
            }
        },
    },
}


@router.post(
    "/import",
    status_code=201,
    response_model=ModelView,
    responses=problems(400, 413, 415, 422, 503, 507),
    openapi_extra={"requestBody": BODY},
)
async def import_model(request: Request, limits: Limits, after: BackgroundTasks) -> Any:
    """Make a catalogued model of another framework's files.

    The files are parts `file` of a form; what is said about them is the part `spec`.
    Or a JSON body names a `zoo` and a `model` in it, and says the same things.
    When the answer is sent, the model is read, checked and stored, or refused with
    every reason. `card.import` tells which tensor came from where, and what the checks
    found.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type == JSON:
        said = await _named(request, limits)
    elif media_type != MULTIPART:
        raise UnknownMediaType(media_type, (MULTIPART, JSON))
    turns = turns_of(request.app)
    stage = datasets.staging()
    folder = await to_thread.run_sync(stage.__enter__)
    try:
        if media_type == JSON:
            work = partial(_import_named, said, limits, folder)
        else:
            order = await _ordered(request, folder, limits, turns)
            work = partial(_import, order, folder)
        identity, is_ready = await carried_out(request, work, turns)
    finally:
        await to_thread.run_sync(stage.__exit__, None, None, None)
    if not is_ready:
        after.add_task(send_export, identity)
    view = await to_thread.run_sync(_shown, identity)
    return json_answer(view, 201, {"Location": f"/v1/models/{identity}"})


async def _ordered(
    request: Request, folder: Path, limits: Settings, turns: Turns
) -> ImportOrder:
    """Store the files of a form; return what the child is to do."""
    received = await receive(
        request,
        folder / "files",
        limits.upload_bytes,
        turns.writers,
        documents=frozenset({SPEC}),
    )
    if not received.files:
        detail = "the form has no part `file`; send the model's files as such parts"
        raise InvalidInput([Fault(pointer="/file", code="missing", detail=detail)])
    form = await to_thread.run_sync(form_of, received.fields)
    return await to_thread.run_sync(_order, form, received.files, limits)


def _order(
    form: ImportForm,
    files: Sequence[File],
    limits: Settings,
    origin: ZooOrigin | None = None,
) -> ImportOrder:
    """Return what the child is to do with files that are stored."""
    if form.name is None:
        form = form.model_copy(update={"name": name_of(files[0].name)})
    bounds = ImportLimits(
        memory_bytes=limits.ingest_memory_bytes,
        seconds=limits.ingest_seconds,
        layers=limits.layers,
        parameters=limits.parameters,
        unpacked_bytes=4 * limits.upload_bytes,
    )
    return ImportOrder(
        form=form,
        files=tuple(ImportFile.model_validate(file.model_dump()) for file in files),
        dataset=_dataset_folder(form),
        zoo=origin,
        limits=bounds,
    )


def _dataset_folder(form: ImportForm) -> str | None:
    """Return where the data set lies that the accuracy is known on."""
    if form.expected is None or form.expected.dataset is None:
        return None
    try:
        with reading() as session:
            row = datasets.get(session, form.expected.dataset)
            return str(folders.absolute(row.folder))
    except NotFound as error:
        fault = Fault(
            pointer="/expected/dataset", code="unknown_dataset", detail=str(error)
        )
        raise InvalidInput([fault]) from error


def _import(
    order: ImportOrder, folder: Path, gone: threading.Event
) -> tuple[str, bool]:
    """Have the files read, and enter the model; runs in a thread."""
    answer = model_imports.read(order, folder, gone)
    assert order.form.name is not None
    identity = model_imports.publish(order.form.name, order.form, folder, answer)
    return identity, answer.graph is not None


def _import_named(
    said: Mapping[str, Any], limits: Settings, folder: Path, gone: threading.Event
) -> tuple[str, bool]:
    """Have a model of a zoo read, and enter it; runs in a thread."""
    form, files, origin = taken(said, folder / "files", limits.upload_bytes, gone)
    return _import(_order(form, files, limits, origin), folder, gone)


def _shown(identity: str) -> ModelView:
    with reading() as session:
        return show(session, models.get(session, identity))


async def _named(request: Request, limits: Settings) -> dict[str, Any]:
    """Return what a body says that names a model of a zoo.

    Raises:
        InvalidInput: it names an address; nothing is fetched, as for data sets.
    """
    try:
        body = await read_within(request, limits.spec_bytes)
    except ClientDisconnect:
        raise SenderGone from None
    said = await to_thread.run_sync(decoded, request, body)
    if isinstance(said, dict) and "zoo" in said:
        shaped(ZooImport, said)
        return said
    form = shaped(ImportUri, said)
    scheme = form.uri.partition(":")[0][:20]
    fault = Fault(
        pointer="/uri",
        code="uri_not_allowed",
        detail=f"addresses of the kind {scheme!r} are not fetched by this server; "
        "send the files as parts `file` of a form",
    )
    raise InvalidInput([fault])
