"""What is said of the models of a zoo in files beside them.

``mnist.safetensors`` is described by ``mnist.json``, ``mnist.yaml`` or
``mnist.safetensors.json``, or in the ``zoo.yaml`` of its folder::

    defaults: {license: MIT}
    models:
      mnist.safetensors: {preprocessing: {divide_by: 255}, network: {...}}

The words are those of an import. What is nearer to the model wins, word by word.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from api import yaml_bodies
from api.bodies import check_values, decode_json, shaped
from api.errors import ApiError, Malformed
from api.zoo.folder import Member, ZooFolder, ZooModel, opened
from trainer.spec.base import Spec
from trainer.spec.imports import ImportForm

LARGEST = 256 * 1024
"""Most bytes of such a file."""
NESTING = 24
ENDINGS = (".json", ".yaml", ".yml")
FOLDERS_OWN = tuple(f"zoo{ending}" for ending in ENDINGS)

FileName = Annotated[
    str, StringConstraints(pattern=r"^[^/\\]+$", min_length=1, max_length=255)
]


class Declaration(ImportForm):
    """What is said of one model: the words of an import, and its other files."""

    files: Annotated[tuple[FileName, ...], Field(max_length=100)] = ()
    """Further files of the model that lie beside it, such as external data."""


class Declarations(Spec):
    """What a ``zoo.yaml`` says of the models in its folder."""

    defaults: dict[str, Any] = Field(default_factory=dict)
    """For every model of the folder."""
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Name of a file or folder → what is said of it."""


@dataclass(frozen=True)
class Declared:
    """What is known of a model before it is read."""

    words: dict[str, Any] = field(default_factory=dict)
    """Fields of an import, as they were written."""
    files: tuple[str, ...] = ()
    problem: str | None = None
    """Why what is written beside the model cannot be used."""


class Speaker:
    """Reads what lies beside models, each file once."""

    def __init__(self, folder: ZooFolder) -> None:
        self._folder = folder
        self._read = cache(self._written)

    def about(self, model: ZooModel) -> Declared:
        """Return what is said of a model."""
        place = model.parts
        words: dict[str, Any] = {}
        member: Member | None = None
        try:
            for member in self._folder.beside(place, FOLDERS_OWN)[:1]:
                said = shaped(Declarations, self._read(member))
                words |= said.defaults | said.models.get(place[-1], {})
            for member in self._folder.beside(place, _names(model))[:1]:
                words |= self._read(member)
            told = shaped(Declaration, words)
        except (ApiError, OSError) as error:
            name = member.name if member is not None else place[-1]
            return Declared(problem=_sentence(name, error))
        words.pop("files", None)
        return Declared(words, told.files)

    def _written(self, member: Member) -> dict[str, Any]:
        with opened(self._folder.root, member.parts) as file:
            raw = file.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise Malformed(f"the body is longer than {LARGEST:,} bytes")
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise Malformed("the body is not UTF-8") from None
        is_json = member.name.lower().endswith(".json")
        found = decode_json(text) if is_json else yaml_bodies.decode(text, NESTING)
        check_values(found, NESTING)
        if not isinstance(found, dict):
            raise Malformed("the body is not one object of fields")
        return found


def _names(model: ZooModel) -> list[str]:
    """Return how a file that describes the model may be called, the nearest first."""
    full = model.parts[-1]
    stem = full.rpartition(".")[0]
    names = [f"{full}{ending}" for ending in ENDINGS]
    return names + [f"{stem}{ending}" for ending in ENDINGS if stem not in {"", "zoo"}]


def _sentence(name: str, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{name}: {error.strerror or 'cannot be read'}"
    return f"{name}: {error}".replace("the body", "the file")
