"""How a data set is shown."""

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from catalog import datasets
from catalog.errors import NotFound
from catalog.tables import Dataset


class PartView(BaseModel):
    """A named range of rows."""

    name: str
    rows: int
    start: int
    stop: int


class DatasetRow(BaseModel):
    """A data set in a list."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: str = "dataset"
    id: str
    """The data set's id."""
    name: str
    """Its name, shared by all its versions."""
    version: int
    """Its version, from 1."""
    rows: int
    """How many rows it has in all parts."""
    parts: list[PartView]
    """Its parts in the order of the rows, ``train`` first."""
    target: str | None
    """The column to predict, where the upload says it."""
    bytes: int
    """How much it takes on the disk."""
    sha256: str
    """Hash of its content: equal for equal content under any name."""
    created_at: datetime
    """When it was added."""


class DatasetView(DatasetRow):
    """An immutable version of uploaded data."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, populate_by_name=True, serialize_by_alias=True
    )

    schema_: dict[str, Any] = Field(alias="schema")
    """Its columns with their kinds and statistics."""
    report: dict[str, Any]
    """What is odd about it, and how it was read."""


class DatasetsView(BaseModel):
    """A page of the list of data sets."""

    object: str = "list"
    data: list[DatasetRow]
    has_more: bool
    next_cursor: str | None


def show(row: Dataset) -> DatasetView:
    """Return the whole data set."""
    return DatasetView(**listed(row).model_dump(), schema=row.schema, report=row.report)


def listed(row: Dataset) -> DatasetRow:
    """Return what a list shows of a data set."""
    parts = [
        PartView(rows=part["stop"] - part["start"], **part)
        for part in row.schema.get("parts", [])
    ]
    return DatasetRow(
        id=row.id,
        name=row.name,
        version=row.version,
        rows=row.rows,
        parts=parts,
        target=row.schema.get("target"),
        bytes=row.bytes,
        sha256=row.sha256,
        created_at=row.created_at,
    )


def preview(row: Dataset, limit: int) -> dict[str, Any]:
    """Return the first rows of a data set."""
    try:
        rows = json.loads(datasets.preview_file(row).read_bytes())
    except FileNotFoundError:
        raise NotFound("file of the data set", f"{row.name}@{row.version}") from None
    return {
        "object": "preview",
        "dataset": row.id,
        "columns": [
            {"name": column["name"], "kind": column["kind"]}
            for column in row.schema["columns"]
        ],
        "rows": rows[:limit],
    }
