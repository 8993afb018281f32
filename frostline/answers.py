"""What the server answers, as types: the fields that clients rely on.

A field that a newer server adds is kept and never an error, so an old client goes on
working.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

ENDED = frozenset({"succeeded", "failed", "cancelled"})
"""The statuses after which a job never changes."""


class Answer(BaseModel):
    """An object of the server."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def json_object(self) -> dict[str, Any]:
        """Return the whole answer as plain JSON values, for scripts."""
        return self.model_dump(mode="json", exclude_unset=True)


class Dataset(Answer):
    """One immutable version of uploaded rows."""

    id: str
    name: str | None = None
    version: int | None = None
    rows: int = 0
    parts: Sequence[Mapping[str, Any]] = ()
    schema_: Mapping[str, Any] = Field(default_factory=dict, alias="schema")
    report: Mapping[str, Any] | None = None
    created_at: datetime | None = None

    def json_object(self) -> dict[str, Any]:
        """Return the whole answer as plain JSON values, under the server's names."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)


class Progress(Answer):
    """How far a job is."""

    phase: str | None = None
    epoch: float | None = None
    step: int | None = None
    percent: float | None = None
    steps_per_second: float | None = None
    eta_seconds: float | None = None
    queue_position: int | None = None


class Job(Answer):
    """One accepted spec and its life."""

    id: str
    name: str | None = None
    status: str
    dataset: str | None = None
    reason: str | None = None
    error: str | None = None
    spec: Mapping[str, Any] = Field(default_factory=dict)
    resolved_spec: Mapping[str, Any] = Field(default_factory=dict)
    progress: Progress | None = None
    reuse: Any = None
    frozen: Sequence[Mapping[str, Any]] | None = None
    cache: Mapping[str, Any] | None = None
    diagnostics: Sequence[Mapping[str, Any]] = ()
    """What the training doctor found; left empty in lists."""
    model: str | None = None
    waits_for: Sequence[str] = ()
    """Jobs that must succeed before this one is taken."""
    stages: Sequence[Mapping[str, Any]] = ()
    """The jobs of its pretraining, each with id, name, status and model."""
    attempts: Sequence[Mapping[str, Any]] | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Return whether the job will never change again."""
        return self.status in ENDED


class Search(Answer):
    """One accepted search, and its best trial so far."""

    id: str
    name: str | None = None
    kind: str | None = None
    status: str
    error: str | None = None
    request: Mapping[str, Any] = Field(default_factory=dict)
    dataset: str | None = None
    monitor: str | None = None
    mode: str | None = None
    counts: Mapping[str, int] = Field(default_factory=dict)
    """How many trials have each status."""
    best: Mapping[str, Any] | None = None
    """Its ``number``, ``parameters``, ``value``, ``model`` and so on."""
    result: Mapping[str, Any] | None = None
    """Of a search for the depth of reuse: ``table``, ``explanation`` and so on."""
    created_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Say whether the search will never change again."""
        return self.status in ENDED


class Event(Answer):
    """One line of a job's history."""

    id: int | str | None = None
    type: str
    at: datetime | None = None
    attempt: int | None = None
    data: Mapping[str, Any] = Field(default_factory=dict)


class Model(Answer):
    """One catalogued network: named layers, metrics, lineage and files."""

    id: str
    name: str | None = None
    version: int | None = None
    task: str | None = None
    metrics: Mapping[str, float | None] = Field(default_factory=dict)
    layers: Sequence[Mapping[str, Any]] | None = None
    """Left out in lists."""
    aliases: Sequence[str] = ()
    files: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """By name, each with its size and SHA-256."""
    lineage: Any = None
    card: Any = None
    created_at: datetime | None = None


class Zoo(Answer):
    """A collection of models that the server may import from."""

    name: str
    kind: str | None = None
    available: bool = False
    detail: str | None = None


class ZooModel(Answer):
    """A model of a zoo, not yet read."""

    name: str
    format: str | None = None
    bytes: int | None = None
    license: str | None = None
    description: str | None = None
    problem: str | None = None
    """Why it cannot be imported as it is."""
    import_request: Mapping[str, Any] = Field(default_factory=dict)


Kind = TypeVar("Kind", bound=Answer)


class Page(BaseModel, Generic[Kind]):
    """Some of a list, and where it goes on."""

    data: list[Kind]
    has_more: bool = False
    next_cursor: str | None = None
