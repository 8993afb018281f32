"""What is said about a foreign model when it is imported, and what comes of it.

Here because three packages speak of it: the API takes the form, the catalog hands it
to a child process, ``trainer.importing`` reads the files. No torch anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from trainer.spec.base import Count, Name, Spec
from trainer.spec.data.schema import Scalar
from trainer.spec.losses import Task
from trainer.spec.network import NetworkSpec

GIB = 1024**3

Format = Literal[
    "safetensors",
    "torch_state_dict",
    "torchscript",
    "torch_export",
    "onnx",
    "keras_h5",
    "keras",
    "tensorflow_checkpoint",
    "tensorflow_saved_model",
    "caffe",
    "npz",
]
"""The formats that are read."""

Words = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


Sizes = Annotated[tuple[Count, ...], Field(min_length=1, max_length=4)]


class ImportedInput(Spec):
    """What the model is given, in the terms of a data set."""

    kind: Literal["image", "array", "table"] | None = None
    """``image``: 8-bit pictures; ``array``: numbers of one shape; ``table``: one number
    per column. Absent: an image where the shape is that of one, else an array."""
    shape: Sizes | None = None
    """Shape of one example, channels first; absent: as the file says."""
    columns: Annotated[tuple[Words, ...], Field(min_length=1)] | None = None
    """For a table: the columns, in the order of the network's inputs."""
    name: Words | None = None
    """For images and arrays: the column's name; absent: ``image``, or ``x``."""


Numbers = Annotated[
    float | Annotated[tuple[float, ...], Field(min_length=1)],
    Field(union_mode="left_to_right"),
]
"""One number for all, or one per channel or column."""


class ImportedPreprocessing(Spec):
    """What is done to raw values first: (x / divide_by - mean) / deviation.

    For images x is the 8-bit value, 0 to 255.
    """

    divide_by: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    """255 for images that the model knows as 0 to 1; 1 for raw values."""
    mean: Numbers = 0.0
    """Subtracted after the division; one number, or one per channel or column."""
    deviation: Numbers = 1.0
    """Divided by after that; one number, or one per channel or column."""

    @model_validator(mode="after")
    def _says_something(self) -> ImportedPreprocessing:
        if not self.model_fields_set:
            raise ValueError('say what is done to raw values: {"divide_by": 1} is none')
        return self


class Expected(Spec):
    """What the source says of itself; the import counts only if it is so here."""

    inputs: Annotated[list[Any], Field(min_length=1, max_length=10_000)] | None = None
    """Examples as ``predict`` takes them: raw pixels (height, width, channels), arrays,
    or rows of a table."""
    outputs: Annotated[list[Any], Field(min_length=1, max_length=10_000)] | None = None
    """What the source answers to each of them: raw outputs or probabilities."""
    tolerance: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """Largest difference, relative to the largest output where that is above one."""
    dataset: Words | None = None
    """A catalogued data set on which the accuracy is known."""
    part: Words = "test"
    """The part of it that is measured."""
    target: Words | None = None
    """The column with the classes; absent: the one that the data set names."""
    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    """The share of its rows that the source classifies rightly."""
    accuracy_tolerance: Annotated[float, Field(ge=0, le=1)] = 0.0005
    """How far the accuracy found may be off."""

    @model_validator(mode="after")
    def _complete(self) -> Expected:
        if (self.inputs is None) != (self.outputs is None):
            raise ValueError("inputs and outputs belong together")
        if (self.dataset is None) != (self.accuracy is None):
            raise ValueError("dataset and accuracy belong together")
        if self.inputs is None and self.dataset is None:
            raise ValueError("give inputs and outputs, or dataset and accuracy")
        if len(self.inputs or ()) != len(self.outputs or ()):
            raise ValueError("there is one output for each input")
        return self


class ImportForm(Spec):
    """Everything that a person says about a foreign model."""

    name: Name | None = None
    """The name to keep it under; that of the file if there is none."""
    format: Format | None = None
    """What the files are; absent: told from their content."""
    license: Annotated[str, Field(max_length=1_000)] | None = None
    """Under which terms it may be used, as its source states it."""
    source: Annotated[str, Field(max_length=2_000)] | None = None
    """Where it comes from."""
    description: Annotated[str, Field(max_length=10_000)] | None = None
    """For people."""
    tags: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1, max_length=100)], ...],
        Field(max_length=100),
    ] = ()
    """Words to find the model by."""
    task: Task | None = None
    """What the outputs mean; absent: classification where there are classes or a
    softmax, else regression."""
    classes: Annotated[tuple[Scalar, ...], Field(max_length=100_000)] | None = None
    """What the outputs stand for, in order; absent: 0, 1, …"""
    target: Words | None = None
    """The column that it predicts."""
    input: ImportedInput = ImportedInput()
    """What the model is given."""
    preprocessing: ImportedPreprocessing | None = None
    """What is done to raw values first. Needed, unless the file says it."""
    network: NetworkSpec | None = None
    """The layers, for formats that hold weights without a graph."""
    map: Annotated[dict[str, Words], Field(max_length=100_000)] = Field(
        default_factory=dict
    )
    """``layer.tensor`` → the name of a tensor of the file, where matching by order and
    shape is not enough."""
    layout: Literal["torch", "tensorflow"] | None = None
    """How weights lie: (out, in, height, width), or (height, width, in, out); absent:
    as is usual in the format."""
    output: Words | None = None
    """The node or layer of the file's graph that becomes the last layer."""
    expected: Expected | None = None
    """What is known of the source's answers."""


class ZooOrigin(Spec):
    """The place in a zoo that the files were taken from."""

    zoo: str
    """The zoo's name."""
    model: str
    """The model's name there."""


class ImportFile(Spec):
    """One file, stored under a name of our own."""

    stored: str
    """Its name below ``files/``."""
    name: str
    """What the sender calls it; told apart by its ending, never a path."""
    bytes: int
    sha256: str


class ImportLimits(Spec):
    """How much reading one model may cost."""

    memory_bytes: int = Field(default=4 * GIB, ge=256 * 1024**2)
    """Most memory of the child."""
    seconds: float = Field(default=1_800, gt=0)
    """Longest time of the child, by the clock on the wall."""
    layers: int = Field(default=1_000, ge=1)
    """Most layers of a network."""
    parameters: int = Field(default=1_000_000_000, ge=1)
    """Most parameters of a network."""
    unpacked_bytes: int = Field(default=16 * GIB, ge=1)
    """Most bytes that the members of an archive may have together."""
    ratio: int = Field(default=200, ge=1)
    """Most bytes that one compressed byte may become."""
    members: int = Field(default=100_000, ge=1)
    """Most members of an archive."""


class ImportOrder(Spec):
    """What the child is to read."""

    form: ImportForm
    files: tuple[ImportFile, ...]
    dataset: str | None = None
    """Folder of the data set that `form.expected` names."""
    zoo: ZooOrigin | None = None
    """Where the files were taken from; None if they were sent."""
    limits: ImportLimits = ImportLimits()


class ImportProblem(Spec):
    """One reason why a model is refused."""

    pointer: str
    """The place in the form, or ``/file``."""
    code: str
    detail: str
    suggestion: str | None = None


class ImportAnswer(Spec):
    """What came of it: a model folder beside the answer, or the reasons."""

    description: Mapping[str, Any] = Field(default_factory=dict)
    """model.json as it lies in the folder."""
    files: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """Name → ``{sha256, bytes}`` of the model's files."""
    graph: Mapping[str, Any] | None = None
    """What is said of ``model.onnx``; None if a worker must write it."""
    metrics: Mapping[str, float | None] = Field(default_factory=dict)
    """What was measured on a data set."""
    refused: tuple[ImportProblem, ...] = ()
    reason: Literal["invalid", "too_large"] = "invalid"
