"""How much memory and time a job will need, before it runs.

The constants were measured on the six networks of ``benchmarks/memory.py``, which
compares the estimate with the peak of a real trainer process.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from trainer.spec.auxiliary import SameOrDifferent
from trainer.spec.data import DatasetRef, Held, PartName, Rows
from trainer.spec.data.encodings import TEXTS
from trainer.spec.data.features import Inputs
from trainer.spec.data.schema import Schema
from trainer.spec.data.series import windows_in
from trainer.spec.losses import ContrastiveDivergence
from trainer.spec.network import Row
from trainer.spec.regularization import EarlyStopping
from trainer.spec.schedules.measured import RangeTest
from trainer.spec.training import Training

FLOAT = 4
"""Bytes of a float32."""

PROCESS_BYTES = 270 * 2**20
"""Resident memory of a trainer process with torch loaded and nothing to do."""

TEXT_BYTES = 60 * 2**20
"""What reading texts and training a tokenizer takes, with the libraries for it."""

PAIR_BYTES = 24
"""Bytes of the numbers of both members of a pair, and of its answer."""

ROWS_AT_ONCE = 1024
"""Rows per chunk when a network is evaluated."""

FLOPS_PER_SECOND = 5e10
"""Floating-point operations per second that one core reaches in training."""

SECONDS_PER_STEP = 2e-4
"""Cost of an optimizer step that does not depend on its size."""


@dataclass(frozen=True)
class Estimate:
    """What a job will need, in bytes and seconds on one CPU core."""

    bytes: int
    process_bytes: int
    data_bytes: int
    weight_bytes: int
    activation_bytes: int
    training_rows: int
    seconds_per_epoch: float

    def as_dict(self) -> dict[str, float]:
        """Return the estimate as the JSON object that the API answers."""
        return dict(vars(self))


def estimate(
    rows: Sequence[Row],
    inputs: Inputs,
    training: Training,
    schema: Schema,
    dataset: DatasetRef,
) -> Estimate:
    """Return the estimate for a filled network and recipe."""
    examples = round(
        sum(windows_in(part.rows, inputs.windows) for part in schema.parts)
    )
    learning = sum(row.parameters for row in rows)
    tensors = sum(t.elements for row in rows for t in row.tensors.values())
    slots = training.optimizer.slots
    keeps_best = isinstance(training.early_stopping, EarlyStopping)
    keeps_best |= isinstance(training.schedule, RangeTest)  # it keeps the first
    # weights, their gradients, the optimizer's, the best so far, averages and what they
    # stand in for during an evaluation, weights that are sorted by size to be pruned,
    # a snapshot in flight
    averages = training.averaging.kind != "none"
    prunes = training.pruning.kind != "none"
    copies = 3 + 2 * slots + 2 * keeps_best + 3 * averages + 4 * prunes
    weight = FLOAT * (tensors + learning * copies)
    size = prod(inputs.single)
    # once as it is mapped from the disk, once as it lies on the device
    mapped: float = 1 if inputs.kind == "image" else FLOAT
    if inputs.windows is not None:
        mapped /= inputs.windows.length  # each row is in many windows
    held = mapped if not dataset.standardize else FLOAT
    data = round(examples * (size * (mapped + held) + 8))
    if any(feature.encoded in TEXTS for feature in inputs.features):
        data += TEXT_BYTES
    data += made_bytes(schema, dataset, size)
    data += _chains(training) * prod(rows[-1].output_shape) * FLOAT
    kept = sum(row.activations for row in rows) + prod(inputs.shape)
    # a layer's inputs, its sums and what its tail makes of them
    largest = max(
        sum(map(prod, row.input_shape)) + 2 * prod(row.output_shape) for row in rows
    )
    training_batch = 2 * kept * min(training.batch_size, examples)
    evaluating = 2 * largest * min(ROWS_AT_ONCE, held_back(schema, dataset))
    activation = FLOAT * max(training_batch, evaluating)
    train = dataset.auxiliary_task.examples(training_rows(schema, dataset))
    if training.optimizer.full_batch:  # the rows of a step are gathered: here all
        data += FLOAT * train * prod(inputs.shape)
    steps = -(-train // training.batch_size)
    seconds = steps * SECONDS_PER_STEP
    seconds += 3 * flops(rows) * train / FLOPS_PER_SECOND
    return Estimate(
        bytes=PROCESS_BYTES + data + weight + activation,
        process_bytes=PROCESS_BYTES,
        data_bytes=data,
        weight_bytes=weight,
        activation_bytes=activation,
        training_rows=train,
        seconds_per_epoch=round(seconds, 4),
    )


def made_bytes(schema: Schema, dataset: DatasetRef, size: int) -> int:
    """Return the bytes of what an auxiliary task makes, beside the rows themselves.

    Members and answers of pairs, those of two epochs at a time; where views of examples
    are compared, those of the rows held back are made once.
    """
    task = dataset.auxiliary_task
    if not task.made:
        return 0
    held = held_back(schema, dataset)
    made = 2 * PAIR_BYTES * task.examples(training_rows(schema, dataset))
    if isinstance(task, SameOrDifferent) and task.same == "example":
        made += 2 * 2 * FLOAT * held * size
    return made


def largest(estimates: Iterable[Estimate]) -> Estimate:
    """Return the estimate of the phase that needs the most memory."""
    return max(estimates, key=lambda one: one.bytes)


def flops(rows: Sequence[Row]) -> int:
    """Return the multiplications and additions of one forward pass of one example."""
    return sum(row.flops for row in rows)


def _chains(training: Training) -> int:
    """Return how many persistent chains of visible units are kept."""
    loss = training.loss
    if not isinstance(loss, ContrastiveDivergence) or not loss.persistent:
        return 0
    return training.batch_size if loss.chains == "batch" else loss.chains


def training_rows(schema: Schema, dataset: DatasetRef) -> int:
    """Return about how many rows are trained on."""
    split = dataset.split
    train = _training_part(schema)
    left = train - sum(
        _rows_of(held, schema)
        for held in (split.validation, split.test)
        if not isinstance(held, PartName)
    )
    return max(1, round(windows_in(left, dataset.windows)))


def held_back(schema: Schema, dataset: DatasetRef) -> int:
    """Return about how many rows the larger of validation and test has."""
    split = dataset.split
    return max(round(_rows_of(h, schema)) for h in (split.validation, split.test))


def _rows_of(held: Held | None, schema: Schema) -> float:
    if isinstance(held, float):
        return held * _training_part(schema)
    if isinstance(held, Rows):
        return held.rows[1] - held.rows[0]
    part = schema.part(held.part) if isinstance(held, PartName) else None
    return 0 if part is None else part.rows


def _training_part(schema: Schema) -> int:
    return (schema.part("train") or schema.parts[0]).rows
