"""Foreign models: how their files become a catalogued model.

As with data sets: the files are staged, a child process with limits reads them (see
``trainer.importing``; it is started, never imported), what it made moves to ``models/``
in one rename, and counts once its row is committed.
"""

import secrets
import shutil
from pathlib import Path
from threading import Event

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import folders, models
from catalog.disk import sync
from catalog.ingest import child
from catalog.ingest.errors import ImportRefused, ImportTooLarge
from catalog.models import Registration
from catalog.session import reading, transaction
from catalog.tables import Model
from trainer.spec.imports import ImportAnswer, ImportForm, ImportOrder

READER = "trainer.importing.reader"
MADE = "model"


def read(order: ImportOrder, folder: Path, gone: Event) -> ImportAnswer:
    """Have the files in `folder` read by a child; return what it made of them.

    Raises:
        ImportRefused: the model is not what it must be, or takes too much.
        UploadFailed: the sender went away, the disk is full, the child crashed.
    """
    bounds = child.Bounds(
        order.limits.seconds,
        order.limits.memory_bytes,
        if_slow="send a smaller model",
        if_large="send a smaller model, or have the operator allow more memory",
    )
    asked = order.model_dump_json(exclude_none=True)
    text = child.run(READER, asked, folder, bounds, gone)
    answer = ImportAnswer.model_validate_json(text)
    if answer.refused:
        kind = ImportTooLarge if answer.reason == "too_large" else ImportRefused
        raise kind(*answer.refused)
    return answer


def publish(name: str, form: ImportForm, folder: Path, answer: ImportAnswer) -> str:
    """Enter what the child made in `folder` into the catalog; return the model's id."""
    relative = folders.imported(secrets.token_hex(16))
    place = folders.absolute(relative)
    place.parent.mkdir(parents=True, exist_ok=True)
    for file in (folder / MADE).iterdir():
        sync(file)
    (folder / MADE).rename(place)
    sync(place.parent)
    try:
        with transaction() as session:
            return _register(session, name, form, relative, answer).id
    except BaseException:
        if not _is_registered(relative):
            shutil.rmtree(place, ignore_errors=True)
        raise


def _register(
    session: Session, name: str, form: ImportForm, folder: str, answer: ImportAnswer
) -> Model:
    registration = Registration(
        folder=folder,
        description=answer.description,
        metrics=answer.metrics,
        files=answer.files,
    )
    model = models.register(
        session, registration, name=name, dataset_id=None, tags=form.tags
    )
    model.description = form.description
    if answer.graph is not None:
        models.exported(session, model.id, answer.graph, {})
    session.flush()
    return model


def _is_registered(folder: str) -> bool:
    with reading() as session:
        query = select(Model.id).where(Model.folder == folder)
        return session.scalar(query) is not None
