"""The OpenAPI document: what FastAPI finds, and the shapes that it does not see."""

from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.problems import ProblemDocument

TEMPLATE = "#/components/schemas/{model}"


def install(app: FastAPI, bodies: tuple[type[BaseModel], ...]) -> None:
    """Make the application describe the bodies that it decodes itself, too."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, bodies)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI, bodies: tuple[type[BaseModel], ...]) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    shapes = [_as_input(body) for body in bodies]
    _, definitions = models_json_schema(
        [*shapes, _as_input(ProblemDocument)], ref_template=TEMPLATE
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in definitions["$defs"].items():
        schemas.setdefault(name, schema)
    return document


def _as_input(body: type[BaseModel]) -> tuple[type[BaseModel], Literal["validation"]]:
    return body, "validation"
