"""Classes that are rare: what an error on them costs, how often their rows are seen.

Add a way of weighting or of sampling: write its class, name it in ``ClassWeights`` or
``Sampling`` below. Both are for classification with one class per example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from trainer.spec.base import Named, Rate, Spec, spelled_out


class NoClassWeights(Spec):
    """Let every example count the same."""

    kind: Literal["none"] = "none"

    def weights(self, counts: Sequence[int], names: Sequence[str]) -> list[float]:
        """Return nothing: there are no weights."""
        return []


class BalancedClassWeights(Spec):
    """Let every class weigh the same in sum, after King and Zeng (2001).

    A class with n_k of the n training rows weighs n / (K n_k), K being the number of
    classes that have rows: the mean weight over the training rows is 1.
    """

    kind: Literal["balanced"] = "balanced"

    def weights(self, counts: Sequence[int], names: Sequence[str]) -> list[float]:
        """Return the weight of each class from its number of training rows."""
        present = sum(count > 0 for count in counts)
        rows = sum(counts)
        return [rows / (present * count) if count else 1.0 for count in counts]


class GivenClassWeights(Spec):
    """Let an error on a class cost as much as is written: ``{class: weight}``.

    As in Keras the batch's loss is the sum of weight times loss over the number of
    examples, not over the sum of the weights: weights of 2 for all double the loss.
    """

    kind: Literal["given"] = "given"
    weights_of: dict[str, Rate] = Field(min_length=1, max_length=1000)
    """Weight by class, written as a text; a class that is absent weighs 1."""

    def __hash__(self) -> int:
        """Return a hash of the weights, whatever their order."""
        return hash(frozenset(self.weights_of.items()))

    def weights(self, counts: Sequence[int], names: Sequence[str]) -> list[float]:
        """Return the weight of each class."""
        return [self.weights_of.get(name, 1.0) for name in names]


def _by_class(value: object) -> object:
    """Take an object without a kind for weights by class."""
    if isinstance(value, Mapping) and "kind" not in value:
        return {"kind": "given", "weights_of": dict(value)}
    return spelled_out(value)


ClassWeights = Annotated[
    Annotated[
        NoClassWeights | BalancedClassWeights | GivenClassWeights,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_by_class, json_schema_input_type=str | Mapping[str, Any] | None),
]
"""``"none"``, ``"balanced"`` or ``{class: weight}``."""


class Shuffled(Spec):
    """Visit every training row once per epoch, in an order drawn anew."""

    kind: Literal["shuffled"] = "shuffled"


class BalancedSampling(Spec):
    """Draw rows with replacement, every class as often as any other.

    A class is drawn first, each with the same probability, then one of its rows; so a
    row's chance is the inverse of its class's frequency. An epoch stays as long as it
    was; its rows are a function of the seed and the epoch.
    """

    kind: Literal["balanced"] = "balanced"


Sampling = Annotated[
    Annotated[Shuffled | BalancedSampling, Field(discriminator="kind")], Named
]


def class_text(value: object) -> str:
    """Return a class as the keys of a JSON object write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
