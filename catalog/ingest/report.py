"""The preflight report: what is odd about a data set, before any training minute."""

from collections.abc import Iterator
from typing import Any

from catalog.ingest.columns import Draft
from catalog.ingest.duplicates import RowHashes
from catalog.ingest.order import Complaint, Order
from catalog.ingest.statistics import Summary
from trainer.spec.data.features import becomes
from trainer.spec.data.imbalance import is_rare, rarest_class
from trainer.spec.data.schema import Column

CLASSES = 100
"""Different values up to which a column may be one of classes."""
RARE = 10
"""Rows below which a class or category is too rare to split, learn and test."""
DIM = 64
"""Images without a value this high are stored on another scale than 0 to 255."""
PROBLEMS = 100
SHOWN = 5


def written(
    order: Order, draft: Draft, summaries: list[Summary], hashes: RowHashes
) -> dict[str, Any]:
    """Put the report together."""
    columns = [summary.column for summary in summaries]
    problems = [*draft.problems, *(c for s in summaries for c in s.complaints)]
    warnings = list(_warnings(draft, summaries, hashes))
    return {
        "rows": draft.rows,
        "options": draft.options,
        "files": [file.model_dump(exclude={"stored"}) for file in order.files],
        "problems": [_shown(problem) for problem in problems[:PROBLEMS]],
        "problem_count": len(problems),
        "warnings": [_shown(warning) for warning in warnings],
        "missing": {c.name: c.missing for c in columns if c.missing},
        "becomes": {
            column.name: what
            for column in columns
            if (what := becomes(column)) is not None
        },
        "classes": {
            column.name: [
                {
                    "value": value.value,
                    "count": value.count,
                    "share": round(value.count / draft.rows, 6),
                }
                for value in column.values
            ]
            for column in columns
            if _has_classes(column, draft.target)
        },
        "constant_columns": [c.name for c in columns if _is_constant(c)],
        "empty_columns": [c.name for c in columns if c.missing == draft.rows],
        "duplicate_rows": hashes.duplicates(),
        "shared_rows": _shared(draft, hashes),
        "non_finite": {s.column.name: s.non_finite for s in summaries if s.non_finite},
    }


def _shown(complaint: Complaint) -> dict[str, Any]:
    return complaint.model_dump(exclude_none=True)


def _has_classes(column: Column, target: str | None) -> bool:
    if column.kind == "number" and column.name != target:
        return False
    return 0 < len(column.values) <= CLASSES


def _is_constant(column: Column) -> bool:
    if column.shape:
        return column.minimum is not None and column.minimum == column.maximum
    return column.distinct == 1 and not column.missing


def _shared(draft: Draft, hashes: RowHashes) -> dict[str, int | None]:
    train, *others = draft.parts
    return {other.name: hashes.shared(train, other) for other in others}


def _warnings(
    draft: Draft, summaries: list[Summary], hashes: RowHashes
) -> Iterator[Complaint]:
    for summary in summaries:
        yield from _of_column(summary, draft)
    twice = hashes.duplicates()
    if twice:
        yield Complaint(
            code="duplicate_rows",
            detail=f"{twice:,} of {draft.rows:,} rows equal an earlier row",
            remedy="remove them if they are copies: they may fall into training and "
            "test rows at once",
        )
    for name, count in _shared(draft, hashes).items():
        if count:
            yield Complaint(
                code="shared_rows",
                detail=f"{count:,} rows of the part {name!r} are also training rows",
                remedy="remove them from one part: the measured quality is too good",
            )


def _of_column(summary: Summary, draft: Draft) -> Iterator[Complaint]:
    column, name = summary.column, summary.column.name
    if column.missing == draft.rows:
        yield Complaint(
            code="empty_column",
            detail=f"{name!r} has no value in any row",
            remedy="leave the column out",
            column=name,
        )
    elif _is_constant(column):
        yield Complaint(
            code="constant_column",
            detail=f"{name!r} has the same value in every row",
            remedy="leave the column out",
            column=name,
        )
    if name == draft.target and column.missing:
        yield Complaint(
            code="missing_target",
            detail=f"the target {name!r} is missing in {column.missing:,} rows",
            remedy="fill it in, or remove those rows",
            column=name,
        )
    if summary.non_finite:
        yield Complaint(
            code="non_finite",
            detail=f"{name!r} is infinite in {summary.non_finite:,} rows",
            remedy="replace the values, or leave them empty, which means missing",
            column=name,
        )
    if column.kind == "image" and 0 < (column.maximum or 0) < DIM:
        yield Complaint(
            code="dim_images",
            detail=f"the brightest value of {name!r} is {column.maximum:.0f}, and "
            "images are divided by 255",
            remedy="say standardize: true in a job's dataset, or store the images with "
            "values up to 255",
            column=name,
        )
    yield from _rare(column, draft)
    yield from _unbalanced(column, draft)


def _unbalanced(column: Column, draft: Draft) -> Iterator[Complaint]:
    """Warn of a target one of whose classes is easily left out by a network."""
    counted = column.kind in {"category", "boolean", "integer"}
    if column.name != draft.target or not counted or _is_constant(column):
        return
    if not 0 < len(column.values) <= CLASSES:
        return
    counts = {value.value: value.train or value.count for value in column.values}
    rarest, share = rarest_class(counts)
    if is_rare(share, len(counts)):
        yield Complaint(
            code="rare_target",
            detail=f"class {rarest!r} of {column.name!r} has {share:.1%} of the rows",
            remedy="set training.class_weights to 'balanced', or training.sampling, "
            "and judge by more than accuracy",
            column=column.name,
        )


def _rare(column: Column, draft: Draft) -> Iterator[Complaint]:
    """Warn of classes that are too rare."""
    counted = column.kind == "integer" and column.name == draft.target
    if column.kind not in {"category", "boolean"} and not counted:
        return
    if len(column.values) > CLASSES:
        return
    rare = [value for value in column.values if value.count < RARE]
    if rare:
        listed = ", ".join(f"{v.value} has {v.count}" for v in rare[:SHOWN])
        more = f", and {len(rare) - SHOWN} more" if len(rare) > SHOWN else ""
        yield Complaint(
            code="rare_class",
            detail=f"{column.name!r} has values with fewer than {RARE} rows: "
            f"{listed}{more}",
            remedy="collect more rows of them, join them with others, or leave them "
            "out by `where` if the column is the target",
            column=column.name,
        )
