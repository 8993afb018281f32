"""What the environment says: the only place of the package that reads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_URL = "http://127.0.0.1:8000"
"""Where ``frostline up`` listens unless told otherwise."""


@dataclass(frozen=True)
class Settings:
    """The address and the key of the server, as the environment gives them."""

    url: str = DEFAULT_URL
    """``FROSTLINE_URL``: where the server answers."""
    api_key: str | None = None
    """``FROSTLINE_API_KEY``: what the server wants to see, if it asks for a key."""
    folder: Path = Path("data")
    """``FROSTLINE_DATA``: the folder in which ``frostline up`` keeps everything."""
    redis_url: str | None = None
    """``FROSTLINE_REDIS_URL``: a broker for ``frostline up``, instead of its own."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The whole environment, for the processes that ``frostline up`` starts."""


def settings() -> Settings:
    """Read the environment of this process."""
    environment = dict(os.environ)
    return Settings(
        url=environment.get("FROSTLINE_URL") or DEFAULT_URL,
        api_key=environment.get("FROSTLINE_API_KEY") or None,
        folder=Path(environment.get("FROSTLINE_DATA") or "data"),
        redis_url=environment.get("FROSTLINE_REDIS_URL") or None,
        environment=environment,
    )
