"""How a comparison of sources is shown."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from api.recommendation_benchmark import BENCHMARK
from catalog.tables import Dataset
from trainer.spec.transfer import (
    Baseline,
    LeftOut,
    RecommendationAnswer,
    RecommendationOrder,
    Score,
    SourceScores,
)


class RankedView(SourceScores):
    """One model, its place, and where it is best cut."""

    rank: int
    """From 1, the best."""


class RecommendationView(BaseModel):
    """Models to take layers from, best first, each with a job that does so."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["recommendation"] = "recommendation"
    dataset: str
    """Id of the data set."""
    reference: str
    """What the specs call it: name@version."""
    task: str
    """What is predicted: classification, regression or multi_label."""
    metric: Literal["accuracy", "r2"]
    """What `probe` and `ridge` are."""
    score: Score
    """What the sources are ordered by."""
    rows: Mapping[str, int]
    """Rows that were looked at: train, validation."""
    sources: list[RankedView]
    """The best of those that were compared."""
    compared: int
    """How many models were compared."""
    baseline: Baseline | None
    """A linear model of the inputs themselves, without any source."""
    no_baseline: str | None
    """Why there is none."""
    left_out: list[LeftOut]
    """Models that could not be compared, each with the reason."""
    not_tried: int
    """Older models, beyond the number that one request may compare."""
    warnings: list[str]
    """What is worth a word."""
    seconds: float
    """What it took, with the start of the process that computed it."""
    benchmark: Mapping[str, Any]
    """How such rankings agreed with the truth when that was measured."""


def shown(
    row: Dataset,
    order: RecommendationOrder,
    answer: RecommendationAnswer,
    beyond: int,
    seconds: float,
) -> RecommendationView:
    """Return the view of what the child answered."""
    return RecommendationView(
        dataset=row.id,
        reference=f"{row.name}@{row.version}",
        task=answer.task,
        metric="r2" if answer.task == "regression" else "accuracy",
        score=order.score,
        rows=answer.rows,
        sources=[
            RankedView(rank=rank, **dict(source))
            for rank, source in enumerate(answer.sources, start=1)
        ],
        compared=answer.compared,
        baseline=answer.baseline,
        no_baseline=answer.no_baseline,
        left_out=list(answer.left_out),
        not_tried=beyond,
        warnings=list(_warnings(answer, beyond)),
        seconds=round(seconds, 3),
        benchmark=BENCHMARK,
    )


def _warnings(answer: RecommendationAnswer, beyond: int) -> list[str]:
    told = []
    better = [source.better_than_baseline for source in answer.sources]
    if not better:
        told.append("no model of the catalog could be compared on this data set")
    elif answer.baseline is not None and not any(better):
        told.append(
            "no source is clearly better than a linear model of the inputs "
            "themselves: training from scratch may do as well"
        )
    if beyond:
        told.append(
            f"{beyond} older models were not tried: narrow them down with `models`"
        )
    return told
