"""The order that a trainer is given: absolute paths, the spec, nothing secret."""

from typing import Any

from catalog import folders
from catalog.claims import Claim
from worker.device import Device
from worker.settings import WorkerSettings


def order_for(
    claim: Claim,
    checkpoint: str | None,
    settings: WorkerSettings,
    device: Device,
) -> dict[str, Any]:
    """Return the one line that tells a trainer what to do."""
    attempt = (claim.job_id, claim.attempt)
    return {
        "order": {
            "job": claim.job_id,
            "attempt": claim.attempt,
            "spec": claim.spec,
            "written": claim.written,
            "dataset": str(folders.absolute(claim.dataset_folder)),
            "dataset_id": claim.dataset_id,
            "sources": [
                {"id": s["id"], "folder": str(folders.absolute(s["folder"]))}
                for s in claim.sources
            ],
            "checkpoint": checkpoint and str(folders.absolute(checkpoint)),
            "checkpoints": str(folders.absolute(folders.checkpoints(*attempt))),
            "model": str(folders.absolute(folders.model(*attempt))),
            "frozen_cache": str(folders.absolute("frozen_cache")),
            "frozen_cache_bytes": settings.frozen_cache_bytes,
            "micro_batch": claim.micro_batch,
            "device": device.trainer_device,
            "threads": settings.threads,
            "checkpoint_seconds": settings.checkpoint_seconds,
        }
    }
