"""Which zoos there are, and whether they can be used here."""

from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Literal

from api.errors import InvalidInput
from api.problems import Fault
from api.zoo.folder import MOST_FILES, ZooFolder, looked_into
from api.zoo.views import ZooView
from catalog.errors import NotFound
from catalog.settings import settings

FOLDER = "folder"


@dataclass(frozen=True)
class Library:
    """The collection of models of a Python library."""

    title: str
    package: str
    instead: str
    """How its models come here all the same."""


SAVED = (
    "where the library runs, save the weights with "
    "safetensors.torch.save_file(model.state_dict(), path), and put the file into "
    "the zoo 'folder' or send it"
)
LIBRARIES = {
    "huggingface": Library(
        "Hugging Face Hub",
        "huggingface_hub",
        "download the repository's model.safetensors with `hf download`, and put it "
        "into the zoo 'folder' or send it",
    ),
    "timm": Library("PyTorch Image Models", "timm", SAVED),
    "torchvision": Library("torchvision.models", "torchvision", SAVED),
}
"""They are named, and not yet read: see `_library`."""


def shelves() -> list[ZooView]:
    """Return every zoo that this server has heard of."""
    return [_folder(), *map(_library, LIBRARIES)]


def zoo_folder(pointer: str, zoo: str = FOLDER) -> ZooFolder:
    """Return what lies in a zoo.

    Raises:
        NotFound: there is no such zoo.
        InvalidInput: it cannot be used here; it says what to install or to set.
    """
    found = {view.name: view for view in shelves()}.get(zoo)
    if found is None:
        raise NotFound("zoo", zoo)
    if found.available:
        try:
            return looked_into(settings().zoo_folder)
        except OSError:  # it went away since
            found = _folder()
    fault = Fault(
        pointer=pointer,
        code="zoo_unavailable",
        detail=f"the zoo {zoo!r} cannot be used here: {found.detail}",
    )
    raise InvalidInput([fault])


def unknown_model(folder: ZooFolder, name: str, pointer: str) -> InvalidInput:
    """Return the refusal of a model that the zoo does not have."""
    names = [model.name for model in folder.models()]
    near = get_close_matches(name, names, 1, 0.5)
    fault = Fault(
        pointer=pointer,
        code="unknown_zoo_model",
        detail=f"the zoo 'folder' has no model {name[:200]!r}",
        suggestion=near[0] if near else None,
    )
    return InvalidInput([fault])


def _folder() -> ZooView:
    place = settings().zoo_folder
    there = place.is_dir()
    detail = (
        f"of many files the first {MOST_FILES:,} are looked at"
        if there
        else f"there is no folder {str(place)!r}; make it and put model files there, "
        "or set FROSTLINE_ZOO to the folder that has them"
    )
    return _view(FOLDER, "folder", "The operator's folder", there, detail)


def _library(name: str) -> ZooView:
    """Return what is known of a library without importing it.

    Its models are not loaded: their names, licences and weights come over the network
    from places that this server does not ask, and nothing here would notice if the
    library's form of them changed.
    """
    library = LIBRARIES[name]
    installed = find_spec(library.package) is not None
    state = "is installed, but" if installed else "is not installed, and"
    detail = (
        f"the library {library.package} {state} this server does not load from it; "
        f"{library.instead}"
    )
    return _view(name, "library", library.title, available=False, detail=detail)


def _view(
    name: str,
    kind: Literal["folder", "library"],
    title: str,
    available: bool,
    detail: str,
) -> ZooView:
    return ZooView(
        name=name, kind=kind, title=title, available=available, detail=detail
    )
