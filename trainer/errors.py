"""What can go wrong while training, as facts that a person can act on.

TrainerError          the job becomes `failed` with this sentence and `reason`
├── InvalidData       the data cannot be trained on (`invalid_data`)
│   ├── NotADataset       a file or folder holds no data set that can be read
│   ├── NoRows            nothing is left to train or to measure on
│   ├── TooFewRows        fewer rows than the network can learn from
│   ├── NoTarget          a column cannot be learned
│   ├── NoCondition       `where` names a column that cannot be compared
│   ├── BadValue          a row offered for a prediction cannot be understood
│   ├── NonFinite         a column holds infinities
│   └── OutsideRange      visible units of 0 and 1 are given other numbers
├── PreprocessingLost the preprocessing of a model cannot be read (`invalid_data`)
├── ModelBroken       a model folder is not what was written (`infrastructure`)
│   └── FolderTaken       a model folder is there already and is never overwritten
├── FrozenMoved       a frozen tensor is not the one its source holds (`infrastructure`)
├── CacheRefused      the frozen cache is required and cannot be used (`invalid_spec`)
├── ReuseMismatch     a source's tensor does not fit the new network (`invalid_spec`)
├── ExportWrong       the exported graph does not compute what the network computes
│                     (`infrastructure`)
├── DrawsWrong        the exported graph does not draw as dropout does
│                     (`infrastructure`)
├── NothingLearns     every layer is frozen (`invalid_spec`)
├── Diverged          the loss left the real numbers (`diverged`)
├── OutOfMemory       one batch does not fit (`out_of_memory`)
├── CheckpointBroken  a checkpoint's files are not what was written (`infrastructure`)
└── CheckpointsFailed several saves in a row could not be written (`infrastructure`)

Anything else that is raised while training is a fault of ours and is left to fly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class TrainerError(Exception):
    """A job cannot go on, and its owner or its operator can do something about it."""

    reason: ClassVar[str] = "invalid_data"
    """The failed job's `reason`."""

    @property
    def facts(self) -> dict[str, object]:
        """Return the named values behind the sentence, ready for JSON."""
        return {
            name: value if isinstance(value, (int, float, bool)) else str(value)
            for name, value in vars(self).items()
            if value is not None
        }


class InvalidData(TrainerError):
    """The data cannot be trained on."""


class NotADataset(InvalidData):
    """A file or folder holds no data set that can be read."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"cannot read a data set from {path.name!r}: {why}")
        self.path, self.why = path.name, why


class NoRows(InvalidData):
    """Nothing is left to train or to measure on."""

    def __init__(self, purpose: str, why: str) -> None:
        super().__init__(f"no rows are left for {purpose}: {why}")
        self.purpose, self.why = purpose, why


class NoTarget(InvalidData):
    """A target column cannot be learned."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(f"column {column!r} cannot be the target: {why}")
        self.column, self.why = column, why


class NoCondition(InvalidData):
    """A condition names a column that cannot be compared with values."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(f"'where' cannot use column {column!r}: {why}")
        self.column, self.why = column, why


class TooFewRows(InvalidData):
    """There are fewer training rows than the network can learn from."""

    def __init__(self, rows: int, why: str) -> None:
        super().__init__(f"{rows} training rows are too few: {why}")
        self.rows, self.why = rows, why


class BadValue(InvalidData):
    """A row offered for a prediction cannot be understood."""

    def __init__(self, row: int, column: str | None, why: str) -> None:
        place = f"row {row}" if column is None else f"row {row}, column {column!r}"
        super().__init__(f"{place}: {why}")
        self.row, self.column, self.why = row, column, why


class NonFinite(InvalidData):
    """A column holds infinities, which no layer can take."""

    def __init__(self, column: str, rows: int) -> None:
        super().__init__(
            f"column {column!r} holds an infinity in {rows} of the chosen rows; "
            "replace them or leave the column out"
        )
        self.column, self.rows = column, rows


class OutsideRange(InvalidData):
    """Visible units of 0 and 1 are given numbers that are not between the two."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__(
            f"visible units of 0 and 1 need numbers from 0 to 1, these reach from "
            f"{low:g} to {high:g}: use the encoding min_max, or give the output the "
            "activation none, for Gaussian units"
        )
        self.low, self.high = low, high


class PreprocessingLost(TrainerError):
    """The preprocessing of a model cannot be read."""

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(f"the preprocessing of model {folder.name!r} is lost: {why}")
        self.folder, self.why = folder.name, why


class NothingLearns(TrainerError):
    """Every layer is frozen."""

    reason = "invalid_spec"

    def __init__(self) -> None:
        super().__init__(
            "no layer is left to learn: all that have weights are frozen; "
            "freeze fewer layers"
        )


class Diverged(TrainerError):
    """The loss left the real numbers."""

    reason = "diverged"

    def __init__(self, *, step: int, epoch: int, learning_rate: float) -> None:
        super().__init__(
            f"the loss was no longer a finite number by step {step} (epoch {epoch}) "
            f"at learning rate {learning_rate:g}; lower the learning rate or clip "
            "the gradients"
        )
        self.step, self.epoch, self.learning_rate = step, epoch, learning_rate


class OutOfMemory(TrainerError):
    """One batch, or the data itself, does not fit into memory."""

    reason = "out_of_memory"

    def __init__(self, *, phase: str, rows: int, device: str) -> None:
        super().__init__(
            f"{device} ran out of memory while {phase} {rows} rows at a time; "
            f"choose a batch_size below {rows} or a smaller network"
        )
        self.phase, self.micro_batch, self.device = phase, rows, device


class CheckpointBroken(TrainerError):
    """A checkpoint's files are not what was written."""

    reason = "infrastructure"

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(f"checkpoint {folder.name!r} cannot be used: {why}")
        self.folder, self.why = folder.name, why


class CheckpointsFailed(TrainerError):
    """Several saves in a row could not be written."""

    reason = "infrastructure"

    def __init__(self, *, step: int, failures: int, why: str) -> None:
        super().__init__(
            f"{failures} checkpoints in a row could not be written, "
            f"the last at step {step}: {why}"
        )
        self.step, self.failures, self.why = step, failures, why


class ModelBroken(TrainerError):
    """A model folder is not what was written."""

    reason = "infrastructure"

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(f"model folder {folder.name!r} cannot be used: {why}")
        self.folder, self.why = folder.name, why


class FolderTaken(ModelBroken):
    """A model folder is there already, and a model is never overwritten."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "it exists already; name a folder that does not")


class FrozenMoved(TrainerError):
    """A frozen tensor is not, bit for bit, the one that its source holds."""

    reason = "infrastructure"

    def __init__(self, tensors: Sequence[str]) -> None:
        super().__init__(
            f"{len(tensors)} frozen tensors moved, the first of them {tensors[0]!r}: "
            "their SHA-256 in the model's file differs from that in its source; "
            "the model is not registered"
        )
        self.tensors = ", ".join(tensors)


class CacheRefused(TrainerError):
    """The frozen cache is required and cannot be used."""

    reason = "invalid_spec"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"frozen_cache is 'required' but {why}; "
            "set training.frozen_cache to 'auto' or 'off'"
        )
        self.why = why


class ReuseMismatch(TrainerError):
    """A source's tensor does not fit the network that is to reuse it."""

    reason = "invalid_spec"

    def __init__(self, tensor: str, why: str) -> None:
        super().__init__(f"cannot reuse {tensor!r}: {why}")
        self.tensor, self.why = tensor, why


class DrawsWrong(TrainerError):
    """The exported graph's random outputs are not distributed as the network's."""

    reason = "infrastructure"

    def __init__(self, why: str) -> None:
        super().__init__(f"the graph does not draw as the network does: {why}")


class ExportWrong(TrainerError):
    """The exported graph does not compute what the network computes."""

    reason = "infrastructure"

    def __init__(self, *, difference: float, tolerance: float) -> None:
        super().__init__(
            f"the exported graph differs from the network by {difference:g}, "
            f"more than {tolerance:g}"
        )
        self.difference, self.tolerance = difference, tolerance
