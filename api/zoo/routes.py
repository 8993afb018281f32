"""/v1/zoos: collections of models that an import may name instead of sending files."""

import base64
import binascii
import json
from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.answers import json_answer
from api.paging import Cursor, Limit
from api.problems import problems
from api.zoo.declarations import Declared, Speaker
from api.zoo.folder import ZooFolder, ZooModel
from api.zoo.shelves import shelves, zoo_folder
from api.zoo.views import ZooModelsView, ZooModelView, ZoosView
from catalog.errors import MalformedCursor

router = APIRouter(prefix="/zoos", tags=["models"])


@router.get("", response_model=ZoosView)
def list_zoos() -> Any:
    """List the zoos, and what to install or to set where one cannot be used."""
    return json_answer(ZoosView(data=shelves()))


@router.get(
    "/{zoo}/models", response_model=ZooModelsView, responses=problems(404, 422, 503)
)
def list_zoo_models(
    zoo: str,
    q: Annotated[
        str | None,
        Query(
            max_length=200,
            description="Words that the name, format, licence or description hold.",
        ),
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """List the models of a zoo, in the order of their names. No file is read."""
    after = None if cursor is None else _name_in(cursor)
    folder = zoo_folder("/zoo", zoo)
    speaker = Speaker(folder)
    words = (q or "").casefold().split()
    shown: list[ZooModelView] = []
    for model in folder.models():
        if after is not None and model.name <= after:
            continue
        view = _shown(zoo, folder, model, speaker.about(model))
        if not _has(view, words):
            continue
        if len(shown) == limit:
            return json_answer(
                ZooModelsView(
                    data=shown, has_more=True, next_cursor=_cursor(shown[-1].name)
                )
            )
        shown.append(view)
    return json_answer(ZooModelsView(data=shown))


def _shown(
    zoo: str, folder: ZooFolder, model: ZooModel, declared: Declared
) -> ZooModelView:
    members = [*model.members, *folder.beside(model.parts, declared.files)]
    words = declared.words
    return ZooModelView(
        zoo=zoo,
        name=model.name,
        format=words.get("format") or model.format,
        bytes=sum(member.bytes for member in members),
        files=[member.name for member in members],
        license=words.get("license"),
        description=words.get("description"),
        problem=declared.problem,
        import_request={"zoo": zoo, "model": model.name},
    )


def _has(view: ZooModelView, words: list[str]) -> bool:
    told = (view.name, view.format, view.license, view.description)
    text = "\n".join(filter(None, told)).casefold()
    return all(word in text for word in words)


def _cursor(name: str) -> str:
    text = json.dumps(["zoo", name])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _name_in(cursor: str) -> str:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        raw = base64.b64decode(padded.encode("ascii"), b"-_", validate=True)
        kind, name = json.loads(raw)
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise MalformedCursor(cursor) from error
    if kind != "zoo" or not isinstance(name, str):
        raise MalformedCursor(cursor)
    return name
