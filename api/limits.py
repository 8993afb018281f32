"""GET /v1/limits: what is refused however well it is written."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from api import yaml_bodies
from api.deps import Limits

router = APIRouter(prefix="/limits", tags=["service"])


class LimitsView(BaseModel):
    """The largest things that are accepted; an operator can change them."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    spec_bytes: int
    """Largest spec, and largest JSON body in general, in bytes."""
    yaml_characters: int
    """Longest YAML body, in characters."""
    spec_depth: int
    """Deepest nesting of objects and lists in a body."""
    layers: int
    """Most layers in a network."""
    epochs: int
    """Most epochs of a job."""
    parameters: int
    """Most parameters in a network."""
    upload_bytes: int
    """Largest upload of a data set, in bytes over all its files."""
    ingest_memory_bytes: int
    """Most memory that reading one upload may take, in bytes."""
    ingest_seconds: float
    """Longest time that reading one upload may take, in seconds."""
    predict_bytes: int
    """Largest body of a prediction, in bytes."""
    predict_rows: int
    """Most rows in one prediction."""
    recommend_models: int
    """Most models that one recommendation compares."""
    recommend_seconds: float
    """Longest time that comparing them may take, in seconds."""
    event_streams: int
    """Most event streams open at once."""
    page: int
    """Most rows in one page of a list."""
    metrics: int
    """Most rows in one answer of metrics."""


PAGE = 1_000
METRICS = 100_000


@router.get("")
def show_limits(limits: Limits) -> LimitsView:
    """List the limits of this service."""
    own = LimitsView.model_fields.keys() - {"page", "metrics", "yaml_characters"}
    return LimitsView(
        **limits.model_dump(include=set(own)),
        page=PAGE,
        metrics=METRICS,
        yaml_characters=min(yaml_bodies.LARGEST_TEXT, limits.spec_bytes),
    )
