"""What will be known of a model that a job is yet to make, read off its resolution."""

from collections.abc import Mapping
from typing import Any

from trainer.spec.data.schema import Schema
from trainer.spec.resolve import Resolution
from trainer.spec.reuse import Source


def source_to_be(
    resolution: Resolution,
    identity: str,
    schema: Schema,
    sources: Mapping[str, Source],
) -> Source:
    """Return the model of a job as a source, before the job has run.

    `sources` are those that the job was resolved with, under the words of its spec.
    """
    spec = resolution.spec
    return Source(
        id=identity,
        name=spec.name,
        version=0,
        order=tuple(row.name for row in resolution.layers),
        shapes={
            row.name: {name: tensor.shape for name, tensor in row.tensors.items()}
            for row in resolution.layers
        },
        classes=resolution.classes,
        network=spec.network.model_dump(mode="json", by_alias=True, exclude_none=True),
        **_seen(resolution, schema, sources),
    )


def _seen(
    resolution: Resolution, schema: Schema, sources: Mapping[str, Source]
) -> dict[str, Any]:
    """Return what its preprocessing will say of its inputs."""
    if resolution.preprocessing_from is not None:
        entry = resolution.spec.reuse[resolution.preprocessing_from]
        taken = sources[entry.from_]
        return {
            "input_shape": taken.input_shape,
            "columns": taken.columns,
            "layout": taken.layout,
            "windows": taken.windows,
        }
    inputs = resolution.inputs
    columns = [(feature.name, feature.kind) for feature in inputs.features]
    windows = None
    if inputs.windows is not None:
        alone = inputs.windows.model_copy(update={"stride": 1})
        windows = alone.model_dump(exclude_none=True)
        known = {name for name, _ in columns}
        for name in (inputs.windows.order_by, inputs.windows.group_by):
            column = None if name is None else schema.column(name)
            if column is not None and column.name not in known:
                columns.append((column.name, column.kind))
    return {
        "input_shape": inputs.single,
        "columns": tuple(columns),
        "layout": inputs.layout,
        "windows": windows,
    }
