"""A whole training request."""

from typing import Annotated

from pydantic import Field, StringConstraints

from trainer.spec.base import Name, Spec
from trainer.spec.data import DatasetRef
from trainer.spec.network import NetworkSpec
from trainer.spec.phases import Phase
from trainer.spec.pretraining import Pretrainings
from trainer.spec.reuse import Reuse
from trainer.spec.serving import Serving
from trainer.spec.training import Training

Tag = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class JobSpec(Spec):
    """What to train on what, and how: everything that ``POST /v1/jobs`` accepts."""

    name: Name
    """Name of the job and of the model it makes."""
    dataset: DatasetRef
    """The data set and the rows of it that are used."""
    network: NetworkSpec
    """The layers."""
    reuse: tuple[Reuse, ...] = Field(default=(), max_length=100)
    """Layers taken from catalogued models."""
    pretraining: Pretrainings = ()
    """What is trained before, in stages, so that the layers do not begin at random;
    each stage is a job and makes a model."""
    training: Training = Training()
    """The recipe."""
    phases: tuple[Phase, ...] = Field(default=(), max_length=100)
    """Stages of the training, one after the other, each with its own layers that learn;
    absent: one stage, as ``training`` says."""
    serving: Serving = Serving()
    """How the model is made to answer fast, once it is trained."""
    description: str = Field(default="", max_length=10_000)
    """For people."""
    tags: tuple[Tag, ...] = Field(default=(), max_length=100)
    """Words to find the job and its model by."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Jobs with a higher number start first."""
    timeout_seconds: Annotated[float, Field(gt=0)] | None = None
    """Longest time the job may run, over all attempts; absent: no limit."""
