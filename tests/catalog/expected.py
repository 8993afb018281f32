"""What must be true of a job, as the state machine of its life keeps it."""

from dataclasses import dataclass, field
from typing import Any

from catalog.jobs import Claim


@dataclass
class Expected:
    """What must be true of a job."""

    status: str = "queued"
    desired: str = "run"
    waits: bool = False
    """A retry: its time has perhaps not come."""
    claims: list[Claim] = field(default_factory=list)
    worker: str = ""
    lease: float = 0
    step: int = 0
    saved: int = 0
    """Step of the newest checkpoint."""
    saved_by: int = 0
    """Attempt that wrote it."""
    death: tuple[int, int] = (-1, 0)
    """Where it died, and how often in a row."""
    memory_failures: int = 0
    kept: Any = None
    stages: tuple[str, ...] = ()
    """Jobs that it waits for, made for it."""
    """The row as it was when the job ended."""
