"""The catalog over HTTP: finding models, their layers and files, names and removal."""

import shutil
from typing import Annotated, Any, Literal

from fastapi import APIRouter, BackgroundTasks, Depends, Header, Path, Query, Request
from starlette.responses import FileResponse, Response

from api.answers import json_answer
from api.bodies import Shaped, request_body
from api.deps import Reading, Writing
from api.errors import InvalidInput, UnsatisfiableRange
from api.model_views import (
    AliasTarget,
    AliasView,
    LayersOfModelView,
    ModelPatch,
    ModelsView,
    ModelView,
    show,
    show_all,
    show_layer,
)
from api.paging import Cursor, Limit, Word
from api.problems import Fault, problems
from api.ranges import one_range
from catalog import folders, lineage, models
from catalog.errors import NotFound
from catalog.pages import Key, page
from catalog.tables import Model

router = APIRouter(prefix="/models", tags=["models"])

Reference = Annotated[
    str, Path(description="An id, `name`, `name@alias` or `name@version`.")
]
Sort = Literal[
    "created_at",
    "-created_at",
    "name",
    "-name",
    "accuracy",
    "-accuracy",
    "parameters",
    "-parameters",
]
COLUMNS = {
    "name": Model.name,
    "accuracy": Model.accuracy,
    "parameters": Model.parameters,
}
FOUND = problems(404, 422, 503)


def order(sort: str) -> list[Key]:
    """Return the keys of an order; ids break ties and follow the time."""
    descending = sort.startswith("-")
    column = COLUMNS.get(sort.removeprefix("-"))
    last = Key(Model.id, descending=descending)
    return [last] if column is None else [Key(column, descending=descending), last]


@router.get("", response_model=ModelsView, responses=problems(422, 503))
def list_models(
    session: Reading,
    task: Word = None,
    dataset: Word = None,
    tag: Word = None,
    name: Word = None,
    min_accuracy: Annotated[
        float | None, Query(ge=0, le=1, allow_inf_nan=False)
    ] = None,
    q: Annotated[
        str | None,
        Query(max_length=200, description="Text in the name, description or tags."),
    ] = None,
    sort: Annotated[Sort, Query(description="A minus turns the order.")] = (
        "-created_at"
    ),
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """List the models of the catalog, newest first."""
    query = models.filtered(
        name=name,
        task=task,
        dataset=dataset,
        tag=tag,
        min_accuracy=min_accuracy,
        text=q,
    )
    found = page(session, query, order(sort), limit, cursor)
    return json_answer(
        ModelsView(
            data=show_all(session, list(found.rows)),
            has_more=found.has_more,
            next_cursor=found.next_cursor,
        )
    )


@router.get("/{model}", response_model=ModelView, responses=FOUND)
def show_model(model: Reference, session: Reading) -> Any:
    """Show a model."""
    return json_answer(show(session, models.get(session, model)))


@router.get("/{model}/layers", response_model=LayersOfModelView, responses=FOUND)
def list_model_layers(model: Reference, session: Reading) -> Any:
    """List a model's layers in the network's order."""
    rows = models.layers(session, models.get(session, model).id)
    return json_answer(LayersOfModelView(data=[show_layer(row) for row in rows]))


@router.get("/{model}/lineage", responses=FOUND)
def show_lineage(model: Reference, session: Reading) -> dict[str, Any]:
    """Show what a model was made of, layer by layer, and who depends on it."""
    return lineage.trace(session, models.get(session, model))


@router.get(
    "/{model}/files/{name}",
    response_class=FileResponse,
    responses=problems(404, 416, 422, 503)
    | {206: {"description": "A part of the file."}},
)
def download(
    request: Request,
    model: Reference,
    name: str,
    session: Reading,
    range_: Annotated[str | None, Header(alias="Range")] = None,
) -> Any:
    """Download one of a model's files, or one range of its bytes."""
    row = models.get(session, model)
    file = row.files.get(name)
    if file is None:
        raise NotFound(f"file of {row.name}@{row.version}", name)
    path = folders.absolute(row.folder) / name
    if not path.is_file():
        raise NotFound(f"file of {row.name}@{row.version} on the disk", name)
    size = path.stat().st_size
    if range_ is not None and one_range(range_, size) == "outside":
        raise UnsatisfiableRange(size)
    if range_ is None or one_range(range_, size) == "ignored":
        request.scope["headers"] = [
            pair for pair in request.scope["headers"] if pair[0] != b"range"
        ]
    return FileResponse(
        path,
        filename=f"{row.name}-{row.version}-{name}",
        media_type="application/octet-stream",
        headers={"ETag": f'"{file["sha256"]}"', "Cache-Control": "private"},
    )


@router.patch(
    "/{model}",
    response_model=ModelView,
    responses=problems(400, 404, 413, 415, 422, 503),
    openapi_extra=request_body("ModelPatch"),
)
def change(
    model: Reference,
    patch: Annotated[ModelPatch, Depends(Shaped(ModelPatch))],
    session: Writing,
) -> Any:
    """Change a model's tags or description."""
    row = models.change(
        session,
        model,
        tags=patch.tags,
        description=patch.description,
        clear_description="description" in patch.model_fields_set,
    )
    return json_answer(show(session, row))


@router.delete("/{model}", status_code=204, responses=problems(404, 409, 422, 503))
def remove(
    model: Reference,
    session: Writing,
    after: BackgroundTasks,
    force: Annotated[
        bool, Query(description="Even where others depend on it.")
    ] = False,
) -> Response:
    """Take a model out of the catalog and delete its files."""
    folder = folders.absolute(models.remove(session, model, force=force))
    after.add_task(shutil.rmtree, folder, ignore_errors=True)
    return Response(status_code=204)


@router.put(
    "/{name}/aliases/{alias}",
    response_model=AliasView,
    responses=problems(400, 404, 409, 413, 415, 422, 503),
    openapi_extra=request_body("AliasTarget"),
)
def set_alias(
    name: str,
    alias: str,
    target: Annotated[AliasTarget, Depends(Shaped(AliasTarget))],
    session: Writing,
) -> Any:
    """Let an alias of your own point to one version of a name."""
    if models.ALIAS.fullmatch(alias) is None:
        detail = f"{alias[:100]!r} is no alias; use letters, digits and . _ -"
        fault = Fault(pointer="/path/alias", code="malformed_alias", detail=detail)
        raise InvalidInput([fault])
    row = models.set_alias(session, name, alias, target.model)
    return json_answer(
        AliasView(name=name, alias=alias, model=row.id, version=row.version)
    )


@router.delete(
    "/{name}/aliases/{alias}", status_code=204, responses=problems(404, 409, 422, 503)
)
def remove_alias(name: str, alias: str, session: Writing) -> Response:
    """Forget an alias of your own."""
    models.remove_alias(session, name, alias)
    return Response(status_code=204)
