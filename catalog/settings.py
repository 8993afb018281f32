"""What an operator can set about storage and the ledger.

The only file of this package that reads environment variables.
"""

from functools import lru_cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where things are stored, and how patient the ledger is."""

    model_config = SettingsConfigDict(
        env_prefix="FROSTLINE_", extra="ignore", use_attribute_docstrings=True
    )

    data: Path = Path("data")
    """Folder of all files; the rows hold folders relative to it."""
    database_url: str = ""
    """SQLAlchemy URL; empty means ``frostline.db`` in the data folder."""
    zoo: Path | None = None
    """Folder of model files to import from; ``zoo`` in the data folder unless given."""
    lease_seconds: float = Field(default=60.0, gt=0)
    """How long a claim lives without a heartbeat."""
    sweep_grace_seconds: float | None = Field(default=None, ge=0)
    """How long a sweep that starts after a silence expires nothing; one lease unless
    given."""
    retry_seconds: float = Field(default=10.0, ge=0)
    """Wait before the first retry of a crashed attempt; each further one doubles it."""
    retry_limit_seconds: float = Field(default=600.0, ge=0)
    """The longest wait before a retry."""
    restarts_per_day: int = Field(default=20, ge=0)
    """Infrastructure deaths within 24 hours after which a job fails."""
    hint_seconds: float = Field(default=30.0, gt=0)
    """How long a queued job waits before its hint is sent again."""

    @property
    def url(self) -> str:
        """Return the database's URL."""
        return self.database_url or f"sqlite:///{self.folder / 'frostline.db'}"

    @property
    def folder(self) -> Path:
        """Return the data folder as an absolute path."""
        return self.data.absolute()

    @property
    def zoo_folder(self) -> Path:
        """Return the folder of model files, which need not be there."""
        return self.folder / "zoo" if self.zoo is None else self.zoo.absolute()

    @property
    def grace_seconds(self) -> float:
        """Return how long a starting sweep expires nothing."""
        given = self.sweep_grace_seconds
        return self.lease_seconds if given is None else given


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process, read once."""
    return Settings()
