"""What a person can ask the guide for."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from trainer.spec.base import Name, Spec
from trainer.spec.data import Windows

Wish = Literal[
    "small_training_set",
    "sparse_model",
    "very_fast_model",
    "slow_convergence",
    "no_good_learning_rate",
    "imbalance",
    "overfitting",
    "deterministic",
]
"""``small_training_set``: few rows to learn from; ``sparse_model``: most weights shall
be 0; ``very_fast_model``: predictions shall take as little time as can be;
``slow_convergence``: the loss falls too slowly; ``no_good_learning_rate``: every rate
tried was too small or too large; ``imbalance``: some classes are rare; ``overfitting``:
training rows are learned by heart; ``deterministic``: the same bits every time."""

WISHES: tuple[str, ...] = get_args(Wish)

IN_WORDS: dict[Wish, str] = {
    "small_training_set": "you say that the training set is small",
    "sparse_model": "you ask for a sparse model",
    "very_fast_model": "you ask for a very fast model",
    "slow_convergence": "you say that training converges too slowly",
    "no_good_learning_rate": "you say that no good learning rate is found",
    "imbalance": "you say that some classes are rare",
    "overfitting": "you say that the training rows are learned by heart",
    "deterministic": "you ask for the same result every time",
}
"""The wishes as the beginning of a reason."""


class AdviceRequest(Spec):
    """A data set, and what matters to the person who has it."""

    dataset: str = Field(min_length=1, max_length=200)
    """An id, a name (the newest version) or ``name@version``."""
    wishes: tuple[Wish, ...] = Field(default=(), max_length=20)
    """What matters, in any order."""
    target: str | tuple[str, ...] | None = None
    """Column to predict, or several; absent: the one that the upload names."""
    name: Name | None = None
    """Name of the job and of its model; absent: made from data set and target."""
    time_budget_seconds: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """How long the training should take at most, as far as it can be estimated."""
    device: Literal["cpu", "cuda"] | None = None
    """Where it will train; absent: not known, so the estimate is for one CPU core."""
    windows: Windows | None = None
    """For a time series: how its rows become examples."""
