"""Measured values of a job, by step and name."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from catalog.claims import Claim, fence
from catalog.tables import Metric

_CHUNK = 500


def add(session: Session, claim: Claim, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows ``{step, epoch, name, value}`` of an attempt.

    A row that is there already is left alone: a supervisor that did not hear of its
    commit may send its rows again.

    Raises:
        Fenced: another attempt holds the job, or none does.
    """
    fence(session, claim)
    on = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    written = [
        {
            "job_id": claim.job_id,
            "attempt": claim.attempt,
            "step": row["step"],
            "epoch": row["epoch"],
            "name": row["name"],
            "value": _finite(row["value"]),
        }
        for row in rows
    ]
    for start in range(0, len(written), _CHUNK):
        session.execute(
            on.insert(Metric)
            .values(written[start : start + _CHUNK])
            .on_conflict_do_nothing()
        )


def history(
    session: Session,
    job_id: str,
    names: Sequence[str] = (),
    limit: int = 1000,
    downsample: int | None = None,
) -> Sequence[Metric]:
    """Return values in the order of steps, of some names or of all.

    With `downsample` at most that many rows per name are returned: the first, the last
    and evenly spread ones between, each as it was measured.
    """
    live = [Metric.job_id == job_id, ~Metric.archived]
    if names:
        live.append(Metric.name.in_(names))
    query = select(Metric).where(*live).order_by(Metric.step, Metric.name)
    if downsample is not None:
        query = query.where(Metric.id.in_(_spread(live, downsample)))
    return session.scalars(query.limit(limit)).all()


def archive(session: Session, job_id: str, beyond_step: int) -> None:
    """Set aside the values that a resume from a checkpoint will measure again."""
    session.execute(
        update(Metric)
        .where(Metric.job_id == job_id, ~Metric.archived, Metric.step > beyond_step)
        .values(archived=True)
        .execution_options(synchronize_session=False)
    )


def _spread(live: Sequence[ColumnElement[bool]], wanted: int) -> Select[int]:
    """Choose `wanted` evenly spread rows of each name: those that open a new bucket."""
    numbered = (
        select(
            Metric.id,
            (
                func.row_number().over(partition_by=Metric.name, order_by=Metric.step)
                - 1
            ).label("n"),
            (func.count().over(partition_by=Metric.name) - 1).label("last"),
        )
        .where(*live)
        .subquery()
    )
    n, last = numbered.c.n, numbered.c.last
    if wanted == 1:
        return select(numbered.c.id).where(n == last)
    buckets, some = wanted - 1, func.nullif(last, 0)
    opens = (n * buckets) // some != ((n - 1) * buckets) // some
    return select(numbered.c.id).where(or_(n == 0, last < wanted, opens))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
