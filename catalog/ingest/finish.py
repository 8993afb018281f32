"""From an order to a finished folder, named by its content."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from catalog.disk import sync
from catalog.ingest import formats, preview, report, statistics
from catalog.ingest.columns import Draft
from catalog.ingest.duplicates import RowHashes
from catalog.ingest.order import Answer, Order
from catalog.ingest.statistics import Summary
from trainer.spec.data.schema import Schema


def ingest(order: Order, folder: Path) -> Answer:
    """Read an upload into ``dataset/`` and return its address.

    Raises:
        Refused: the upload is not what it must be.
    """
    target = folder / "dataset"
    target.mkdir()
    draft = Draft(target, order.limits)
    formats.read(order, folder / "files", draft)
    shutil.rmtree(folder / "files", ignore_errors=True)  # make room early
    hashes = RowHashes(draft.rows)
    summaries = statistics.summarise(draft, hashes)
    schema = Schema(
        rows=draft.rows,
        parts=draft.parts,
        columns=tuple(summary.column for summary in summaries),
        target=draft.target,
        source=draft.source,
    )
    (target / "dataset.json").write_text(schema.model_dump_json(exclude_defaults=True))
    (target / "preview.json").write_text(json.dumps(preview.rows_of(draft)))
    written = report.written(order, draft, summaries, hashes)
    return Answer(
        sha256=_address(schema, summaries), bytes=_settle(target), report=written
    )


def _address(schema: Schema, summaries: list[Summary]) -> str:
    """Hash what the data set is; statistics follow from it, and do not count."""
    content: dict[str, Any] = {
        "format": schema.format,
        "parts": [part.model_dump() for part in schema.parts],
        "target": schema.target,
        "source": schema.source,
        "columns": [
            {
                "name": summary.column.name,
                "kind": summary.column.kind,
                "shape": summary.column.shape,
                "categories": summary.column.categories,
                "sha256": summary.sha256,
            }
            for summary in summaries
        ],
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _settle(folder: Path) -> int:
    """Bring every file to the disk, make it read-only, and return their size."""
    size = 0
    for path in sorted(folder.rglob("*"), reverse=True):
        sync(path)
        if path.is_file():
            size += path.stat().st_size
            path.chmod(0o444)
    sync(folder)
    return size
