"""How zoos and their models are shown."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class ZooView(BaseModel):
    """A collection of models that this server may import from."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["zoo"] = "zoo"
    name: str
    """The word by which it is asked for."""
    kind: Literal["folder", "library"]
    """A folder of the operator's, or the collection of a Python library."""
    title: str
    """What it is, for people."""
    available: bool
    """Whether its models can be listed and imported now."""
    detail: str | None
    """What to install or to set where it is not; else what is worth knowing."""


class ZoosView(BaseModel):
    """The zoos of this server."""

    object: Literal["list"] = "list"
    data: list[ZooView]
    has_more: bool = False
    next_cursor: str | None = None


class ZooModelView(BaseModel):
    """A model of a zoo, as far as it is known without reading it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["zoo_model"] = "zoo_model"
    zoo: str
    """The zoo it belongs to."""
    name: str
    """Its name there; for a folder the path below it."""
    format: str | None
    """What its files are likely to be, told from their names."""
    bytes: int
    """Size of its files together."""
    files: list[str]
    """Their names."""
    license: str | None
    """Under which terms it may be used; null where nobody states it."""
    description: str | None
    """For people."""
    problem: str | None
    """Why it cannot be imported as it is; null where nothing speaks against it."""
    import_request: dict[str, Any]
    """The body of the `POST /v1/models/import` that loads it. What the zoo does not
    say of it, such as the preprocessing, is to be added."""


class ZooModelsView(BaseModel):
    """A page of the models of a zoo, in the order of their names."""

    object: Literal["list"] = "list"
    data: list[ZooModelView]
    has_more: bool = False
    next_cursor: str | None = None
