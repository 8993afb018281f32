"""What an operator can change about the HTTP interface, read from the environment."""

from functools import cache

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


class Settings(BaseSettings):
    """The limits and the key of the HTTP interface."""

    model_config = SettingsConfigDict(
        env_prefix="FROSTLINE_",
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    api_key: SecretStr | None = None
    """Key that every call under /v1 must carry as a bearer token; none is asked when
    it is not set."""
    spec_bytes: int = Field(default=4 * MIB, ge=1)
    """Largest spec, and largest JSON or YAML body in general, in bytes."""
    spec_depth: int = Field(default=64, ge=8, le=200)
    """Deepest nesting of objects and lists in a body."""
    layers: int = Field(default=1_000, ge=1)
    """Most layers in a network."""
    epochs: int = Field(default=1_000_000, ge=1)
    """Most epochs of a job."""
    parameters: int = Field(default=1_000_000_000, ge=1)
    """Most parameters in a network."""
    upload_bytes: int = Field(default=64 * GIB, ge=1)
    """Largest upload of a data set, in bytes over all its files."""
    ingest_memory_bytes: int = Field(default=4 * GIB, ge=256 * MIB)
    """Most memory that reading one upload may take, in bytes."""
    ingest_seconds: float = Field(default=1_800, gt=0)
    """Longest time that reading one upload may take, in seconds."""
    predict_bytes: int = Field(default=64 * MIB, ge=1)
    """Largest body of a prediction, in bytes."""
    predict_rows: int = Field(default=10_000, ge=1)
    """Most rows in one prediction."""
    predict_sessions: int = Field(default=16, ge=1)
    """Most models that stay loaded for predictions; the least recently used goes."""
    recommend_models: int = Field(default=200, ge=1)
    """Most models that one recommendation compares; the newest are taken."""
    recommend_seconds: float = Field(default=60, gt=0)
    """Longest time that comparing them may take, in seconds; what is not compared by
    then is left out."""
    sweep_seconds: float = Field(default=5, gt=0)
    """How often it is looked whether there are running searches, in seconds."""
    search_seconds: float = Field(default=0.5, gt=0)
    """How often running searches are looked at, in seconds."""
    event_streams: int = Field(default=1_000, ge=1)
    """Most event streams open at once in one process."""
    keepalive_seconds: float = Field(default=15, gt=0)
    """Longest silence in an event stream, in seconds, before a comment is sent."""


@cache
def settings() -> Settings:
    """Return the settings of this process, read from the environment once."""
    return Settings()
