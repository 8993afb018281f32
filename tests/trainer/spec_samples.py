"""Schemas and specs that the tests of the vocabulary share."""

from typing import Any

from trainer.spec.data.schema import Column, Part, Schema, Value
from trainer.spec.job import JobSpec
from trainer.spec.resolve import Resolution, resolve
from trainer.spec.reuse import Source


def integers(name: str, counts: dict[int, int]) -> Column:
    """Return an integer column with these values."""
    values = tuple(Value(value=v, count=n, train=n) for v, n in counts.items())
    return Column(
        name=name,
        kind="integer",
        distinct=len(counts),
        values=values,
        minimum=min(counts),
        maximum=max(counts),
    )


DIGITS = Schema(
    rows=1000,
    parts=(Part(name="train", start=0, stop=1000),),
    columns=(
        Column(name="image", kind="image", shape=(28, 28, 1)),
        integers("label", dict.fromkeys(range(10), 100)),
    ),
    target="label",
    source="idx",
)

PASSENGERS = Schema(
    rows=891,
    parts=(
        Part(name="train", start=0, stop=791),
        Part(name="test", start=791, stop=891),
    ),
    columns=(
        integers("Survived", {0: 549, 1: 342}),
        Column(name="Age", kind="number", missing=177),
        Column(name="Fare", kind="number"),
        Column(name="Name", kind="text"),
        Column(
            name="Port",
            kind="category",
            categories=("C", "Q", "S"),
            distinct=3,
            values=tuple(Value(value=v, count=297) for v in "CQS"),
        ),
        integers("Minor", {0: 500, 1: 391}),
    ),
)


def job(**changes: object) -> dict[str, Any]:
    """Return a small job on DIGITS with some fields replaced."""
    return {
        "name": "sample",
        "dataset": {"id": "digits"},
        "network": {
            "layers": [
                {"name": "hidden1", "kind": "dense", "units": 30},
                {"name": "hidden2", "kind": "dense", "units": 20},
            ]
        },
    } | changes


def resolved(
    raw: dict[str, Any], schema: Schema = DIGITS, **sources: Source
) -> Resolution:
    """Return what a raw job becomes on a schema."""
    return resolve(JobSpec.model_validate(raw), schema, sources)
