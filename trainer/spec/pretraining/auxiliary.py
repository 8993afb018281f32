"""Layers pretrained on another task: of other labels, or one made of the rows."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from trainer.spec.base import LayerName
from trainer.spec.layers import Layer
from trainer.spec.layers.pairs import (
    AbsoluteDifference,
    EuclideanDistance,
    Select,
    Shared,
)
from trainer.spec.losses import Contrastive
from trainer.spec.network import INPUT
from trainer.spec.pretraining.drafts import Draft, Given, Pretrainer, below, names_of
from trainer.spec.pretraining.recipe import OtherTask, StageTraining


class Auxiliary(Pretrainer):
    """Learn another task first and keep its layers, after Caruana (1997), section 5.

    Machine Learning 28; as in Géron (2017), chapter 11, "Pretraining on an auxiliary
    task". Pairs are compared by a siamese network, after Bromley et al. (1993), NIPS 6:
    both go through the same layers, and what the two come to is subtracted.
    """

    kind: Literal["auxiliary"] = "auxiliary"
    name: LayerName = "auxiliary"
    """What is put behind the job's name to name the stage."""
    dataset: OtherTask
    """The other task: another column, another data set, or one made of the rows."""
    top: tuple[Layer, ...] = Field(default=(), max_length=100)
    """Layers of the stage alone, between the pretrained ones and its output."""
    training: StageTraining = StageTraining()
    """The recipe of the stage; what is absent is as in the job's ``training``."""

    def drafts(self, given: Given) -> list[Draft]:
        """Return the one stage."""
        layers = below(given.network, self.chosen(given)[-1])
        names = names_of(layers)
        if self.dataset.auxiliary_task.pairs_up:
            layers = self._pair(layers)
        return [
            Draft(
                self.name,
                (*layers, *self.top),
                self.dataset.over(given.dataset, given.features),
                self.training.over(given.training),
                starts=names,
                makes=names,
            )
        ]

    def _pair(self, layers: Sequence[Layer]) -> tuple[Layer, ...]:
        """Return the layers applied to both examples of a pair, and compared."""
        one: list[Layer] = [Select(name="first", index=0, inputs=(INPUT,))]
        two: list[Layer] = [Select(name="second", index=1, inputs=(INPUT,))]
        before = "first"
        for layer in layers:
            inputs = tuple(
                "first" if name == INPUT else name for name in layer.inputs or (before,)
            )
            twins = tuple(
                "second" if name == "first" else f"{name}-twin" for name in inputs
            )
            before = str(layer.name)
            one.append(layer.model_copy(update={"inputs": inputs}))
            two.append(Shared(name=f"{before}-twin", of=before, inputs=twins))
        compared = (before, f"{before}-twin")
        if isinstance(self.training.loss, Contrastive):
            return (*one, *two, EuclideanDistance(name="distance", inputs=compared))
        return (*one, *two, AbsoluteDifference(name="difference", inputs=compared))
