"""What a search is asked: a job's spec, what may vary in it, and how it is looked for.

A space maps JSON Pointers (RFC 6901) into the job's spec to the values that may stand
there. See ``docs/searches.md``.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from trainer.spec.base import Name, Named, Spec

MOST_TRIALS = 1_000

Place = Annotated[str, StringConstraints(pattern=r"^/", max_length=500)]


class Choice(Spec):
    """One of a few values, each any JSON: a number, a word, an object."""

    kind: Literal["choice"] = "choice"
    values: tuple[Any, ...] = Field(min_length=1, max_length=100)
    """The values."""

    def ends(self) -> tuple[Any, ...]:
        """Return the values that must make a valid spec: all."""
        return self.values

    def points(self) -> tuple[Any, ...]:
        """Return the values that a grid visits: all."""
        return self.values


class Integer(Spec):
    """A whole number from `low` to `high`, both included."""

    kind: Literal["integer"] = "integer"
    low: Annotated[int, Field(ge=-(10**12), le=10**12)]
    """The least."""
    high: Annotated[int, Field(ge=-(10**12), le=10**12)]
    """The largest."""
    step: Annotated[int, Field(ge=1)] = 1
    """Distance between two values."""

    @model_validator(mode="after")
    def _ordered(self) -> "Integer":
        _rising(self.low, self.high)
        return self

    def ends(self) -> tuple[int, ...]:
        """Return the least and the largest value."""
        return self.low, self.low + (self.high - self.low) // self.step * self.step

    def points(self) -> range:
        """Return the values that a grid visits: all of them."""
        return range(self.low, self.high + 1, self.step)


class Uniform(Spec):
    """A number between `low` and `high`, each as likely as any other."""

    kind: Literal["uniform"] = "uniform"
    low: float
    """The least."""
    high: float
    """The largest."""
    count: Annotated[int, Field(ge=2, le=100)] = 5
    """How many values a grid visits, evenly spread, both ends among them."""

    @model_validator(mode="after")
    def _ordered(self) -> "Uniform":
        _rising(self.low, self.high)
        return self

    def ends(self) -> tuple[float, ...]:
        """Return the least and the largest value."""
        return self.low, self.high

    def points(self) -> tuple[float, ...]:
        """Return the values that a grid visits."""
        step = (self.high - self.low) / (self.count - 1)
        return *(self.low + n * step for n in range(self.count - 1)), self.high


class LogUniform(Spec):
    """A positive number whose logarithm is uniform: for rates and penalties."""

    kind: Literal["log_uniform"] = "log_uniform"
    low: Annotated[float, Field(gt=0)]
    """The least."""
    high: Annotated[float, Field(gt=0)]
    """The largest."""
    count: Annotated[int, Field(ge=2, le=100)] = 5
    """How many values a grid visits, each the same factor from the next."""

    @model_validator(mode="after")
    def _ordered(self) -> "LogUniform":
        _rising(self.low, self.high)
        return self

    def ends(self) -> tuple[float, ...]:
        """Return the least and the largest value."""
        return self.low, self.high

    def points(self) -> tuple[float, ...]:
        """Return the values that a grid visits."""
        factor = (self.high / self.low) ** (1 / (self.count - 1))
        return *(self.low * factor**n for n in range(self.count - 1)), self.high


def _rising(low: float, high: float) -> None:
    if low >= high:
        raise ValueError(f"low must be below high; {low} is not below {high}")


Axis = Annotated[
    Choice | Integer | Uniform | LogUniform, Field(discriminator="kind"), Named
]
"""What may stand at one place of the spec."""


class _Seeded(Spec):
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Fixes the proposals; with ``parallel: 1`` the same seed makes the same ones."""


class RandomSampler(_Seeded):
    """Independent draws, after Bergstra and Bengio (2012), JMLR 13."""

    kind: Literal["random"] = "random"


class GridSampler(Spec):
    """Every combination once, the last place of the space turning fastest."""

    kind: Literal["grid"] = "grid"


class TreeParzenSampler(_Seeded):
    """Draws where good trials are dense and bad ones are not.

    A tree-structured Parzen estimator, after Bergstra et al. (2011), NIPS: Optuna's.
    """

    kind: Literal["tpe"] = "tpe"
    startup_trials: Annotated[int, Field(ge=1, le=MOST_TRIALS)] = 10
    """Random draws before the estimator is used."""


class HalvingSampler(_Seeded):
    """Random draws, of which most are stopped early.

    Asynchronous successive halving, after Li et al. (2020), MLSys: ``random`` with that
    pruning.
    """

    kind: Literal["halving"] = "halving"


Sampler = Annotated[
    RandomSampler | GridSampler | TreeParzenSampler | HalvingSampler,
    Field(discriminator="kind"),
    Named,
]
"""Who proposes the trials."""


class NoStopping(Spec):
    """Every trial runs to its own end."""

    kind: Literal["none"] = "none"


class SuccessiveHalving(Spec):
    """Stop a trial that is not among the best 1/`reduction` of those that got as far.

    The rungs lie at epochs ``minimum_epochs · reduction^k``. A trial is judged once at
    each, by its best value of the monitored metric up to there against those of all
    trials that reached the rung so far, at once and without waiting for the others:
    asynchronous successive halving, after Li et al. (2020), MLSys, where who is not
    promoted stops.
    """

    kind: Literal["successive_halving"] = "successive_halving"
    minimum_epochs: Annotated[int, Field(ge=1)] = 1
    """Epochs up to the first rung."""
    reduction: Annotated[int, Field(ge=2, le=100)] = 3
    """Of so many trials at a rung one goes on."""


Stopping = Annotated[NoStopping | SuccessiveHalving, Field(discriminator="kind"), Named]
"""Which trials are stopped early."""


class _Asked(Spec):
    name: Name
    """Name of the search."""
    parallel: Annotated[int, Field(ge=1, le=100)] = 1
    """How many of its jobs may be queued or running at once."""
    monitor: Annotated[str, StringConstraints(max_length=100)] | None = None
    """The metric that is made small, or large where larger is better; absent: the one
    that early stopping monitors, else ``validation_loss``."""
    alias: Name | None = None
    """Alias that the best trial's model gets under its name, when all is done."""


class HyperparameterSearch(_Asked):
    """Trials of one spec with other values at some places; all are ordinary jobs."""

    kind: Literal["hyperparameters"] = "hyperparameters"
    spec: Mapping[str, Any]
    """The job's spec; each trial is this with its own values at the space's places, and
    has this name."""
    space: dict[Place, Axis] = Field(min_length=1, max_length=50)
    """JSON Pointer into the spec → what may stand there."""
    sampler: Sampler = TreeParzenSampler()
    """Who proposes the trials."""
    trials: Annotated[int, Field(ge=1, le=MOST_TRIALS)] | None = None
    """How many trials; absent: 20, and for a grid all its combinations."""
    pruning: Stopping | None = None
    """Which trials are stopped early; absent: none, and successive halving for the
    sampler ``halving``."""

    @property
    def stopping(self) -> NoStopping | SuccessiveHalving:
        """Return the pruning that is meant."""
        if self.pruning is not None:
            return self.pruning
        return SuccessiveHalving() if self.sampler.kind == "halving" else NoStopping()

    @property
    def most_trials(self) -> int:
        """Return how many trials there will be."""
        if self.sampler.kind != "grid":
            return self.trials or 20
        size = 1
        for axis in self.space.values():
            size *= len(axis.points())
        return min(size, self.trials or size)


class ReuseDepthSearch(_Asked):
    """How many of a model's layers to reuse, and how many of them to freeze.

    Every depth is tried with the layers above new, with all of them reused and the
    lower ones frozen, with the upper ones left out, with a dense layer added, and
    without any reuse, after Yosinski et al. (2014), NIPS, and Géron (2017), chapter 11.
    Who is not in the better half of a rung trains no further: synchronous successive
    halving, after Jamieson and Talwalkar (2016), AISTATS. A survivor is trained again
    from its own beginning, for the next rung's epochs.
    """

    model_config = ConfigDict(populate_by_name=True)

    kind: Literal["reuse_depth"]
    from_: str = Field(alias="from", min_length=1, max_length=200)
    """The source: an id, ``name`` (latest), ``name@alias`` or ``name@version``."""
    spec: Mapping[str, Any]
    """The job's spec for the new data set. Its network has, by name, at least the
    source's layers with weights below the output; it says nothing of ``reuse``."""
    rungs: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(5, 15, 45), min_length=1, max_length=8
    )
    """Epochs that the candidates of each rung train for, increasing; they replace the
    spec's own."""

    @field_validator("rungs")
    @classmethod
    def _increasing(cls, rungs: tuple[int, ...]) -> tuple[int, ...]:
        for fewer, more in pairwise(rungs):
            if fewer >= more:
                raise ValueError(f"each rung has more epochs; {more} follows {fewer}")
        return rungs


AnySearch = HyperparameterSearch | ReuseDepthSearch
"""What a search may be asked; ``kind`` tells which, ``hyperparameters`` if absent."""


class SearchKind(Spec):
    """The field of a request that tells which search it asks for."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["hyperparameters", "reuse_depth"] = "hyperparameters"
    """The kind."""

    @property
    def shape(self) -> type[HyperparameterSearch] | type[ReuseDepthSearch]:
        """Return the class of such requests."""
        wanted = self.kind == "reuse_depth"
        return ReuseDepthSearch if wanted else HyperparameterSearch


def asked_of(request: Mapping[str, Any]) -> AnySearch:
    """Return what an accepted request asks."""
    return SearchKind.model_validate(request).shape.model_validate(request)
