"""The table of layers' health: what a trainer measured of them at a step."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from catalog.clock import now
from catalog.columns import Base, Serial


class LayerSample(Base):
    """Figures of every layer at one step; gone when its attempt is rolled back."""

    __tablename__ = "layer_samples"

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    attempt: Mapped[int]
    step: Mapped[int] = mapped_column(Serial)
    epoch: Mapped[int]
    layers: Mapped[list[dict[str, Any]]]
    """One ``{layer, activation_mean, …}`` per layer that learns."""
    at: Mapped[datetime] = mapped_column(default=now())

    __table_args__ = (UniqueConstraint("job_id", "step"),)
