"""All tables, so that `Base.metadata` is complete for whoever imports this.

Those of the ledger (jobs and what belongs to them) are written in `catalog.ledger`,
those of the catalog (data sets, models) in `catalog.shelves`, the health of layers in
`catalog.vitals`.
"""

from catalog.columns import Base
from catalog.ledger import (
    TERMINAL,
    Attempt,
    Checkpoint,
    CheckpointKind,
    CheckpointState,
    Desired,
    Event,
    Idempotency,
    Job,
    JobSource,
    Metric,
    Outcome,
    Reason,
    Status,
    SweepState,
    Worker,
)
from catalog.prerequisites import JobPrerequisite
from catalog.search_rows import Search, SearchStatus, SearchTrial
from catalog.shelves import (
    Alias,
    Dataset,
    Model,
    ModelExport,
    ModelLayer,
    ModelSource,
)
from catalog.vitals import LayerSample

__all__ = [
    "TERMINAL",
    "Alias",
    "Attempt",
    "Base",
    "Checkpoint",
    "CheckpointKind",
    "CheckpointState",
    "Dataset",
    "Desired",
    "Event",
    "Idempotency",
    "Job",
    "JobPrerequisite",
    "JobSource",
    "LayerSample",
    "Metric",
    "Model",
    "ModelExport",
    "ModelLayer",
    "ModelSource",
    "Outcome",
    "Reason",
    "Search",
    "SearchStatus",
    "SearchTrial",
    "Status",
    "SweepState",
    "Worker",
]
