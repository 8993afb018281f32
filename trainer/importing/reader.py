"""The reader of one foreign model, for the child: order in, model or reasons out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.spec.imports import ImportAnswer, ImportOrder, ImportProblem

if TYPE_CHECKING:
    from pathlib import Path


def answered(text: str, folder: Path) -> str:
    """Import the files in `folder` as an order's JSON says; return the answer's."""
    order = ImportOrder.model_validate_json(text)
    return _read(order, folder).model_dump_json()


def _read(order: ImportOrder, folder: Path) -> ImportAnswer:
    from trainer.importing import reading  # noqa: PLC0415 - it may take too much memory

    try:
        return reading.answered(order, folder)
    except (MemoryError, RecursionError) as error:
        problem = ImportProblem(
            pointer="/file",
            code="too_much_memory",
            detail="reading the model takes more memory than "
            f"{order.limits.memory_bytes:,} bytes ({type(error).__name__})",
        )
        return ImportAnswer(refused=(problem,), reason="too_large")
