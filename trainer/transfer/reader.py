"""The reader of a comparison, for the child of the API: order in, ranking out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.spec.errors import InvalidSpec
from trainer.spec.transfer import RecommendationAnswer, RecommendationOrder

if TYPE_CHECKING:
    from pathlib import Path

UNDER_WAY = "under-way"
"""Folder with an empty file for each model that is being tried, named by its id: if
this process is ended, its parent knows over what."""


def answered(text: str, folder: Path) -> str:
    """Compare what an order's JSON names; return the answer's JSON."""
    order = RecommendationOrder.model_validate_json(text)
    return _compared(order, folder).model_dump_json(by_alias=True)


def _compared(order: RecommendationOrder, folder: Path) -> RecommendationAnswer:
    from pathlib import Path  # noqa: PLC0415 - above it is only a type

    from trainer.data.dataset import open_stored  # noqa: PLC0415 - numpy takes memory
    from trainer.errors import TrainerError  # noqa: PLC0415
    from trainer.transfer.ranking import ranked  # noqa: PLC0415

    under_way = folder / UNDER_WAY
    under_way.mkdir(exist_ok=True)
    try:
        return ranked(order, open_stored(Path(order.dataset)), under_way)
    except (InvalidSpec, TrainerError) as error:
        return RecommendationAnswer(refused=str(error))
    except MemoryError:
        why = "the rows take more memory than is allowed: set `sample` to fewer"
        return RecommendationAnswer(refused=why)
