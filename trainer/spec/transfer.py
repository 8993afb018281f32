"""What a comparison of models as sources for a data set is asked, and answers.

The request is a person's; order and answer pass between the API and the child that
computes (see ``trainer.transfer``).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from trainer.spec.base import Spec
from trainer.spec.data import (
    Condition,
    DatasetRef,
    PerClass,
    Split,
    Windows,
    count_of_training_rows,
)
from trainer.spec.data.encodings import Encoding
from trainer.spec.losses import Task

Score = Literal["probe", "ridge", "logme"]
"""``logme``: the log of the maximum evidence of a linear model of the frozen outputs,
after You et al. (2021), ICML. ``ridge``: what a ridge regression on them answers
rightly of rows that it has not seen. ``probe``: what a logistic regression answers
rightly, at the three cut points with the most ``logme``; for other tasks than
classification it is a ridge regression too."""

Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ModelFilter(Spec):
    """Which models of the catalog are compared; all of it must hold."""

    names: tuple[Word, ...] | None = Field(default=None, max_length=1_000)
    """These: ids, ``name`` (all its versions), ``name@version`` or ``name@alias``."""
    tags: tuple[Word, ...] = Field(default=(), max_length=100)
    """Models that have all these tags."""
    q: Word | None = None
    """Models with this text in their name, description or tags."""


class RecommendationRequest(Spec):
    """What is to be predicted, and which models are to be tried as sources.

    Rows and columns are chosen as in a job's ``dataset``, with the same defaults.
    """

    target: str | tuple[str, ...] | None = None
    """Column to predict, or several; absent: the one that the upload names."""
    task: Task | None = None
    """What kind of learning it is; absent: it follows from the target's kind."""
    features: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Columns that the baseline predicts from; absent: all but the target."""
    where: dict[str, Condition] = Field(default_factory=dict, max_length=1000)
    """Rows are used only where every named column satisfies its condition."""
    examples_per_class: Annotated[
        PerClass | None, BeforeValidator(count_of_training_rows, int | PerClass)
    ] = None
    """A few examples of each class only: how many the job will have."""
    split: Split = Split()
    """How rows are held back for validation and test; those of the test are not
    looked at."""
    standardize: bool | None = None
    """As in a job's ``dataset``: for the baseline; a source brings its own."""
    encodings: dict[str, Encoding] = Field(default_factory=dict, max_length=100_000)
    """What single columns become, by name, as in a job's ``dataset``."""
    windows: Windows | None = None
    """For a time series: how its rows become examples."""
    sample: int = Field(default=500, ge=10, le=10_000)
    """Training rows that are looked at, at most; and of those held back for validation
    twice as many."""
    models: ModelFilter = ModelFilter()
    """Which models are compared; absent: the newest of the catalog."""
    limit: int = Field(default=20, ge=1, le=1_000)
    """Most sources in the answer."""
    score: Score = "probe"
    """What the sources are ordered by."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Decides which rows are held back and drawn, as a job's ``training.seed``."""


class Candidate(Spec):
    """One model that is compared."""

    id: str
    word: str
    """What a spec calls it: name@version."""
    folder: str
    """Where it lies, an absolute path."""
    reason: tuple[str, str] | None = None
    """A word and a sentence, if it is known already that it cannot be compared."""


class RecommendationOrder(Spec):
    """What the child is to compute."""

    dataset: str
    """Folder of the stored data set."""
    reference: DatasetRef
    """The data set's part of the spec that the answer will hold."""
    name: str
    """What the names of the answer's jobs begin with."""
    candidates: tuple[Candidate, ...]
    sample: int
    score: Score
    seed: int
    limit: int
    seconds: float
    """After so long, what is not yet compared is left out with that reason."""
    threads: int = Field(default=1, ge=1)


class CutScores(Spec):
    """What one cut point of a source comes to on the sample."""

    layer: str
    """The layer whose outputs are taken."""
    depth: int
    """Layers with weights up to there."""
    shape: tuple[int, ...]
    """Shape of one row's outputs."""
    logme: float
    """Log of the maximum evidence per training row; only differences mean anything."""
    ridge: float
    """What a ridge regression on these outputs gets right of rows that it has not
    seen: the share of right answers, or R² for numbers."""
    probe: float | None = None
    """The same of a logistic regression; null where this cut point was not probed."""


class SourceScores(Spec):
    """One model, and where it is best cut."""

    model: str
    """Id of the model."""
    reference: str
    """What a spec calls it: name@version."""
    cut: str
    """The best layer to stop at, by the score that was asked for."""
    depth: int
    """Layers with weights up to there, all of them frozen in `spec`."""
    score: float
    """What orders the sources, at that cut."""
    probe: float
    """What a linear model on top gets right of rows that it has not seen, by a logistic
    regression, or R² for numbers: a forecast of what the job in `spec` will reach."""
    standard_error: float
    """Of `probe`, over the rows."""
    better_than_baseline: bool | None
    """Whether the probe is above that of the raw inputs by more than two standard
    errors; null where there is no baseline."""
    cuts: tuple[CutScores, ...]
    """Every cut point, lowest first."""
    seconds: float
    """What it took to compute."""
    reuse: Mapping[str, Any] | None = None
    """The reuse entry of `spec`."""
    spec: Mapping[str, Any] | None = None
    """What POST /v1/jobs takes as it is: the layers up to the cut, frozen, below a new
    output."""
    match: tuple[Mapping[str, Any], ...] = ()
    """The match table that this spec has."""


class Baseline(Spec):
    """The same scores without any source: of the inputs as they are preprocessed."""

    shape: tuple[int, ...]
    """Shape of one row."""
    logme: float
    """As for a cut."""
    ridge: float
    """As for a cut."""
    probe: float
    """As for a source."""
    standard_error: float
    """Of `probe`, over the rows."""


class LeftOut(Spec):
    """A model that is not compared."""

    model: str
    """Id of the model."""
    reference: str
    """What a spec calls it: name@version."""
    code: str
    """Why, for programs: other_inputs, not_exported, too_slow, …"""
    detail: str
    """Why, in a sentence."""


class RecommendationAnswer(Spec):
    """What the child found."""

    task: str = ""
    rows: Mapping[str, int] = Field(default_factory=dict)
    """Rows that were looked at: train, validation."""
    sources: tuple[SourceScores, ...] = ()
    """Best first."""
    compared: int = 0
    """How many models were compared, those beyond the limit too."""
    baseline: Baseline | None = None
    no_baseline: str | None = None
    """Why there is none."""
    left_out: tuple[LeftOut, ...] = ()
    refused: str | None = None
    """Why nothing could be computed at all."""
