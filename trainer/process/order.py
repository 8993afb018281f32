"""What a trainer is told to do: one job's spec, and where everything lies."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from trainer.spec.base import Spec


class OrderedSource(Spec):
    """A model that a reuse entry takes layers from."""

    model_config = ConfigDict(extra="ignore")

    id: str
    folder: Path


class Order(Spec):
    """One attempt at one job; every path is absolute."""

    model_config = ConfigDict(extra="ignore")

    job: str = ""
    attempt: int = 0
    spec: dict[str, Any]
    """The resolved spec."""
    written: dict[str, Any] | None = None
    """The spec as it was submitted, which patches are made for; None: `spec` itself."""
    dataset: Path
    """A stored data set, an ``.npz`` file or a folder of idx files."""
    dataset_id: str = ""
    sources: tuple[OrderedSource, ...] = ()
    """One model per reuse entry, in the spec's order."""
    checkpoint: Path | None = None
    """Where to go on from; None: from the beginning."""
    checkpoints: Path | None = None
    """Where checkpoints are written; None: nowhere."""
    model: Path | None = None
    """The folder that the model becomes; None: it is not written."""
    frozen_cache: Path | None = None
    """Where outputs of frozen layers are kept for later jobs."""
    frozen_cache_bytes: int = Field(default=0, ge=0)
    micro_batch: Annotated[int, Field(ge=1)] | None = None
    """Most rows that go through the network at once; None: the batch."""
    device: str = "cpu"
    threads: int = Field(default=1, ge=1)
    checkpoint_seconds: float = Field(default=300.0, ge=0)
    """Seconds between checkpoints."""
