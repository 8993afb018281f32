"""How a model is shown, and what may be changed of it."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.orm import Session

from catalog import lineage, models
from catalog.tables import Model, ModelLayer

Tag = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class LayerView(BaseModel):
    """A named layer of a model."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """The layer's name: how a reuse selects it."""
    kind: str
    """What it is."""
    inputs: list[str]
    """The layers it takes its input from."""
    output_shape: list[Any] | None
    """Shape of what comes out of it, for one example."""
    parameters: int
    """How many of its numbers can learn."""
    frozen: bool
    """Whether its values are exactly those of its source."""
    source: str | None
    """Where its values came from; null for a layer that began anew."""
    zero_fraction: float | None
    """Share of zeros among its weights, biases not counted; null: it has none."""
    tensors: list[dict[str, Any]]
    """Its tensors: name, shape, type and SHA-256."""


class LayersOfModelView(BaseModel):
    """The layers of a model in the network's order."""

    object: str = "list"
    data: list[LayerView]
    has_more: bool = False
    next_cursor: str | None = None


class ModelView(BaseModel):
    """A catalogued network."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    """The model's id."""
    name: str
    """Its name, shared by all its versions."""
    version: int
    """Its version, from 1."""
    aliases: list[str]
    """The aliases that point to it: latest, best, or a person's own."""
    task: str
    """What it learned to do."""
    dataset: str | None
    """Id of the data set it was trained on."""
    job: str | None
    """Id of the job that made it."""
    metrics: dict[str, float | None]
    """Name and final value of each metric, with the kept weights."""
    accuracy: float | None
    """The accuracy that lists sort by: of the test rows, else of the validation."""
    monitored: dict[str, Any] | None
    """The metric that chose the kept weights: name, value, mode."""
    parameters: int
    """How many numbers can learn."""
    bytes: int
    """Size of its files."""
    files: dict[str, dict[str, Any]]
    """Its files: name, SHA-256 and size."""
    layers: list[LayerView] | None = None
    """Its layers; left out in lists."""
    lineage: dict[str, Any] | None = None
    """What it was made of; left out in lists."""
    card: dict[str, Any]
    """Everything else that is known of it: classes, input, training, preprocessing."""
    tags: list[str]
    """Words to find it by."""
    description: str | None
    """For people."""
    is_ready: bool
    """Whether it can predict."""
    created_at: datetime
    """When it was registered."""


class ModelsView(BaseModel):
    """A page of models."""

    object: str = "list"
    data: list[ModelView]
    has_more: bool
    next_cursor: str | None


class ModelPatch(BaseModel):
    """What to change of a model; what is left out stays."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    tags: list[Tag] | None = Field(default=None, max_length=100)
    """Words to find it by; they replace the old ones."""
    description: str | None = Field(default=None, max_length=10_000)
    """For people; null removes it."""


class AliasTarget(BaseModel):
    """Which version an alias shall point to."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    model: str = Field(min_length=1, max_length=200)
    """A model of that name: an id, `name@version` or `name@alias`."""


class AliasView(BaseModel):
    """An alias and what it points to."""

    name: str
    alias: str
    model: str
    version: int


def show(session: Session, model: Model) -> ModelView:
    """Return a model with its layers and its lineage."""
    view = show_all(session, [model])[0]
    view.layers = [show_layer(row) for row in models.layers(session, model.id)]
    view.lineage = lineage.origin(session, model)
    return view


def show_all(session: Session, rows: list[Model]) -> list[ModelView]:
    """Return many models, without what takes a query for each."""
    aliases = models.aliases(session, [row.id for row in rows])
    return [_view(row, aliases[row.id]) for row in rows]


def show_layer(row: ModelLayer) -> LayerView:
    """Return a layer."""
    return LayerView(
        name=row.name,
        kind=row.kind,
        inputs=row.detail.get("inputs") or [],
        output_shape=row.detail.get("output_shape"),
        parameters=row.parameters,
        frozen=row.frozen,
        source=row.source,
        zero_fraction=row.detail.get("zero_fraction"),
        tensors=row.detail.get("tensors") or [],
    )


def _view(model: Model, aliases: list[str]) -> ModelView:
    return ModelView(
        id=model.id,
        name=model.name,
        version=model.version,
        aliases=aliases,
        task=model.task,
        dataset=model.dataset_id,
        job=model.job_id,
        metrics=model.metrics,
        accuracy=model.accuracy,
        monitored=model.monitored,
        parameters=model.parameters,
        bytes=model.bytes,
        files=model.files,
        card=model.card,
        tags=model.tags,
        description=model.description,
        is_ready=model.exported_at is not None,
        created_at=model.created_at,
    )
