"""Data sets: how an upload becomes a version of a name, how it is found and removed.

An upload is staged in a folder of its own below ``uploads/``, which its process locks
and always removes. What the child made of it moves to ``datasets/<sha256>`` in one
rename, and counts once its row is committed. The same content has one folder, however
many names and versions it has; the folder goes with the last of them. One file lock
keeps publishing and removing apart.
"""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog import folders, ids
from catalog.clock import now
from catalog.disk import sync
from catalog.errors import InUse, NotFound
from catalog.ingest.order import Answer
from catalog.pages import Key, Page
from catalog.pages import page as keyset_page
from catalog.session import reading, transaction
from catalog.settings import settings
from catalog.tables import TERMINAL, Dataset, Job, Model
from trainer.spec.data.schema import Schema

LARGEST_VERSION = 2**31 - 1
ORPHAN_SECONDS = 86_400
"""Age at which content that no row refers to is removed."""


@contextmanager
def staging() -> Iterator[Path]:
    """Give a folder for one upload, with ``files`` in it; it is gone at the end."""
    uploads = settings().folder / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    folder = uploads / secrets.token_hex(16)
    lock = uploads / f"{folder.name}.lock"
    with _locked(lock):
        try:
            (folder / "files").mkdir(parents=True)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


def publish(name: str, folder: Path, answer: Answer) -> Dataset:
    """Enter what was ingested in `folder` as the next version of a name."""
    assert answer.sha256 is not None
    relative = folders.dataset(answer.sha256)
    place = folders.absolute(relative)
    staged = folder / "dataset"
    schema = Schema.model_validate_json((staged / "dataset.json").read_bytes())
    with _publishing():
        fresh = not place.exists()
        if fresh:
            staged.rename(place)
            sync(place.parent)
        try:
            with transaction() as session:
                return _add(session, name, answer, schema)
        except BaseException:
            if fresh and not _is_referred_to(relative):
                shutil.rmtree(place, ignore_errors=True)
            raise


def get(session: Session, reference: str) -> Dataset:
    """Return the data set of that id, ``name`` (its newest) or ``name@version``.

    Raises:
        NotFound: there is none, or it was deleted.
    """
    name, at, version = reference.partition("@")
    query = select(Dataset).where(Dataset.deleted_at.is_(None))
    if not at:
        found = session.scalar(query.where(Dataset.id == reference))
        if found is not None:
            return found
        newest = Dataset.version.desc()
        query = query.where(Dataset.name == name).order_by(newest).limit(1)
    elif version.isascii() and version.isdecimal():
        number = min(int(version[:20]), LARGEST_VERSION)
        query = query.where(Dataset.name == name, Dataset.version == number)
    else:
        raise NotFound("data set", reference)
    found = session.scalar(query)
    if found is None:
        raise NotFound("data set", reference)
    return found


def page(
    session: Session, limit: int, cursor: str | None = None, name: str | None = None
) -> Page[Dataset]:
    """Return a page of data sets, newest first.

    Raises:
        MalformedCursor: the cursor was not made by this list.
    """
    query = select(Dataset).where(Dataset.deleted_at.is_(None))
    if name is not None:
        query = query.where(Dataset.name == name)
    return keyset_page(
        session, query, [Key(Dataset.id, descending=True)], limit, cursor
    )


def remove(reference: str, *, force: bool = False) -> None:
    """Take a data set out of the catalog, and its files if no other version has them.

    Raises:
        NotFound: there is none.
        InUse: jobs or models depend on it, and not `force`.
    """
    with _publishing():
        with transaction() as session:
            row = get(session, reference)
            users = dependants(session, row.id)
            if users and not force:
                raise InUse("data set", f"{row.name}@{row.version}", users)
            row.deleted_at = session.scalar(select(now()))
        if not _is_referred_to(row.folder):
            _remove_folder(folders.absolute(row.folder))


def dependants(session: Session, dataset_id: str) -> list[str]:
    """Return the ids of unfinished jobs and of models that need a data set."""
    jobs = select(Job.id).where(
        Job.dataset_id == dataset_id, Job.status.not_in(TERMINAL)
    )
    models = select(Model.id).where(
        Model.dataset_id == dataset_id, Model.deleted_at.is_(None)
    )
    return [
        *session.scalars(jobs.order_by(Job.id)),
        *session.scalars(models.order_by(Model.id)),
    ]


def preview_file(row: Dataset) -> Path:
    """Return the file that holds the first rows as JSON."""
    return folders.absolute(row.folder) / "preview.json"


def remove_leftovers() -> None:
    """Remove what killed processes left: uploads, and old content without a row."""
    uploads = settings().folder / "uploads"
    for lock in uploads.glob("*.lock"):
        with suppress(BlockingIOError), _locked(lock, wait=False):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
    with _publishing():
        for place in (settings().folder / "datasets").glob("*/"):
            old = place.stat().st_mtime < time.time() - ORPHAN_SECONDS
            if old and not _is_referred_to(folders.dataset(place.name)):
                _remove_folder(place)


def _add(session: Session, name: str, answer: Answer, schema: Schema) -> Dataset:
    versions = select(func.max(Dataset.version)).where(Dataset.name == name)
    row = Dataset(
        id=ids.new_id("ds"),
        name=name,
        version=(session.scalar(versions) or 0) + 1,
        sha256=answer.sha256,
        folder=folders.dataset(str(answer.sha256)),
        rows=schema.rows,
        bytes=answer.bytes,
        schema=schema.model_dump(mode="json"),
        report=answer.report,
        options=answer.report.get("options", {}),
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    return row


def _is_referred_to(folder: str) -> bool:
    with reading() as session:
        query = select(Dataset.id).where(
            Dataset.folder == folder, Dataset.deleted_at.is_(None)
        )
        return session.scalar(query.limit(1)) is not None


def _remove_folder(place: Path) -> None:
    """Remove a folder so that nobody sees half of it."""
    gone = settings().folder / "uploads" / f"{place.name}.{secrets.token_hex(8)}"
    gone.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        place.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


@contextmanager
def _publishing() -> Iterator[None]:
    """Keep all other publishing and removing out, in any process."""
    datasets = settings().folder / "datasets"
    datasets.mkdir(parents=True, exist_ok=True)
    with _locked(datasets / ".lock"):
        yield


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
