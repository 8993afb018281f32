"""What an operator may set about workers, the queue and the sweep.

The only place of this package that reads environment variables (``FROSTLINE_…``).
"""

import platform
import sys
from functools import cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

GIBIBYTE = 2**30


class WorkerSettings(BaseSettings):
    """Settings of the queue, of one worker and of the trainers it starts."""

    model_config = SettingsConfigDict(
        env_prefix="FROSTLINE_", extra="ignore", use_attribute_docstrings=True
    )

    redis_url: str = "redis://127.0.0.1:6379/0"
    """The broker; ``redis+socket:///path`` for a unix socket."""
    worker_name: str = Field(default_factory=lambda: f"{platform.node()}-1")
    """Unique among living workers; a restarted worker keeps its name."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """The device this worker owns: auto, cpu or cuda:N."""
    threads: int = Field(default=1, ge=1, le=1024)
    """CPU threads of a trainer; another number gives other last bits."""
    heartbeat_seconds: float = Field(default=10, gt=0)
    """Between two renewals of a lease, and of the worker's own row."""
    desired_seconds: float = Field(default=1, gt=0)
    """Between two looks at what people ask for: run, pause, cancel."""
    sweep_seconds: float = Field(default=5, gt=0)
    """Between two sweeps of the ledger."""
    checkpoint_seconds: float = Field(default=300, gt=0)
    """Between two checkpoints of a running attempt."""
    drain_seconds: float = Field(default=120, gt=0)
    """How long a draining worker waits for its trainer's checkpoint."""
    cancel_seconds: float = Field(default=10, gt=0)
    """How long a cancelled trainer may take to end before it is killed."""
    stall_seconds: float = Field(default=600, gt=0)
    """Without a step for so long (or 20 median steps) a trainer counts as hung."""
    export_seconds: float = Field(default=300, gt=0)
    """How long the export of a finished model may take."""
    frozen_cache_bytes: int = Field(default=10 * GIBIBYTE, ge=0)
    """Size of the cache of frozen layers' outputs, kept in the data folder."""
    log_bytes: int = Field(default=16 * 2**20, ge=2**16)
    """Size of one attempt's log; what exceeds it is dropped, but not its end."""
    spool_bytes: int = Field(default=GIBIBYTE, ge=2**20)
    """What an attempt may keep on disk while the database cannot be reached."""
    trainer_command: tuple[str, ...] = (sys.executable, "-m", "trainer", "--serve")
    """What starts a trainer, as a JSON list."""

    @property
    def template_command(self) -> tuple[str, ...] | None:
        """Return what starts a template of trainers, if there is one."""
        *program, mode = self.trainer_command
        return (*program, "--template") if mode == "--serve" else None


@cache
def settings() -> WorkerSettings:
    """Return the settings, read once per process."""
    return WorkerSettings()
