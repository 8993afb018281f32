"""A model of a zoo on its way into the catalog: its files, as if they had been sent.

They are copied while they are hashed, so that what is read is what the card names,
whatever happens to the zoo meanwhile.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from pydantic import Field

from api.bodies import shaped
from api.errors import InvalidInput
from api.problems import Fault
from api.zoo.declarations import Speaker
from api.zoo.folder import Member, ZooFolder, opened
from api.zoo.shelves import unknown_model, zoo_folder
from catalog.errors import NotFound
from catalog.ingest.errors import ImportTooLarge, SenderGone
from catalog.ingest.order import File
from trainer.spec.imports import ImportForm, ImportProblem, ZooOrigin

BLOCK = 1024**2


class ZooImport(ImportForm):
    """A model that the server takes from a zoo; what is said here wins over the zoo."""

    zoo: str = Field(min_length=1, max_length=100)
    """The zoo, as `GET /v1/zoos` names it."""
    model: str = Field(min_length=1, max_length=1_000)
    """The model, as `GET /v1/zoos/{zoo}/models` names it."""


class Taken(NamedTuple):
    """What an import is made of."""

    form: ImportForm
    files: list[File]
    origin: ZooOrigin


def taken(said: Mapping[str, Any], folder: Path, most_bytes: int, gone: Event) -> Taken:
    """Copy a model's files into `folder`; return them with all that is said of it.

    `said` is a `ZooImport` as it was written.

    Raises:
        InvalidInput: there is no such model, or what is said of it cannot be used.
        ImportTooLarge: its files have more than `most_bytes` together.
        SenderGone: `gone` was set meanwhile.
    """
    asked = shaped(ZooImport, said)
    zoo = _zoo(asked.zoo)
    model = next((one for one in zoo.models() if one.name == asked.model), None)
    if model is None:
        raise unknown_model(zoo, asked.model, "/model")
    declared = Speaker(zoo).about(model)
    if declared.problem is not None:
        raise _fault("invalid_declaration", declared.problem)
    members = [*model.members, *zoo.beside(model.parts, declared.files)]
    missing = set(declared.files) - {member.name for member in members}
    if missing:
        names = ", ".join(sorted(missing))
        raise _fault("missing_file", f"the zoo says of it: and {names}; not there")
    if sum(member.bytes for member in members) > most_bytes:
        raise _too_large(most_bytes)
    own = {name: value for name, value in said.items() if name not in {"zoo", "model"}}
    form = shaped(ImportForm, declared.words | own)
    files: list[File] = []
    for number, member in enumerate(members):
        left = most_bytes - sum(file.bytes for file in files)
        try:
            files.append(_copied(zoo, member, folder / str(number), left, gone))
        except _Longer:
            raise _too_large(most_bytes) from None
    return Taken(form, files, ZooOrigin(zoo=asked.zoo, model=asked.model))


def _zoo(name: str) -> ZooFolder:
    try:
        return zoo_folder("/zoo", name)
    except NotFound as error:
        fault = Fault(pointer="/zoo", code="unknown_zoo", detail=str(error))
        raise InvalidInput([fault]) from error


def _copied(
    zoo: ZooFolder, member: Member, place: Path, most_bytes: int, gone: Event
) -> File:
    """Copy one file, which may be another one by now, within a bound."""
    digest, size = hashlib.sha256(), 0
    try:
        source = opened(zoo.root, member.parts)
    except OSError as error:
        detail = f"{member.name!r} cannot be read: {error.strerror or 'it has gone'}"
        raise _fault("zoo_changed", detail) from error
    with source, place.open("wb") as file:
        while block := source.read(BLOCK):
            if gone.is_set():
                raise SenderGone
            size += len(block)
            if size > most_bytes:  # it grew
                raise _Longer
            digest.update(block)
            file.write(block)
    return File(
        stored=place.name, name=member.name, bytes=size, sha256=digest.hexdigest()
    )


class _Longer(Exception):
    """A file has more bytes than are left."""


def _too_large(most_bytes: int) -> ImportTooLarge:
    detail = f"its files have more than the {most_bytes:,} bytes allowed here"
    problem = ImportProblem(pointer="/model", code="too_many_bytes", detail=detail)
    return ImportTooLarge(problem)


def _fault(code: str, detail: str) -> InvalidInput:
    return InvalidInput([Fault(pointer="/model", code=code, detail=detail)])
