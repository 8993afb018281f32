"""Layers pretrained one after the other, each on what the resting ones below it give.

To add a way: write its class here, and its name into the union of the family.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from trainer.spec.activity import ActivityRegularization, NoActivityRegularization
from trainer.spec.base import Count, Fraction, Named, Rate, Spec
from trainer.spec.layers import OUTPUT, Dense, Layer
from trainer.spec.layers.blocks import Block
from trainer.spec.layers.noise import Dropout, GaussianNoise
from trainer.spec.layers.tied_dense import TiedDense
from trainer.spec.losses import ContrastiveDivergence
from trainer.spec.pretraining.drafts import Draft, Given, Pretrainer, below, names_of
from trainer.spec.pretraining.recipe import StageRows, StageTraining
from trainer.spec.regularization import EarlyStopping
from trainer.spec.training import Training


class NoCorruption(Spec):
    """Give the layer what it shall give back."""

    kind: Literal["none"] = "none"

    def layer(self) -> Layer | None:
        """Return the layer that disturbs the input; there is none."""
        return None


class Noise(Spec):
    """Disturb the input by normal draws, after Vincent et al. (2008), ICML."""

    kind: Literal["gaussian_noise"] = "gaussian_noise"
    deviation: Rate = 0.1
    """Standard deviation of what is added, in units of the layer's input."""

    def layer(self) -> Layer | None:
        """Return the layer that disturbs the input."""
        return GaussianNoise(name="corruption", deviation=self.deviation)


class Missing(Spec):
    """Set a share of the input to 0, after Vincent et al. (2008), ICML."""

    kind: Literal["dropout"] = "dropout"
    rate: Fraction = 0.3
    """Share that is set to 0."""

    def layer(self) -> Layer | None:
        """Return the layer that disturbs the input."""
        return Dropout(name="corruption", rate=self.rate)


Corruption = Annotated[
    NoCorruption | Noise | Missing, Field(discriminator="kind"), Named
]
"""How what comes in is disturbed while what is to be given back stays clean."""


class Greedy(Pretrainer):
    """One stage for each layer, the lowest first."""

    training: StageTraining = StageTraining()
    """The recipe of every stage; what is absent is as in the job's ``training``."""
    dataset: StageRows = StageRows()
    """The rows; absent: all of the job's data set, with and without a target."""

    def drafts(self, given: Given) -> list[Draft]:
        """Return one stage for each layer."""
        chosen = self.chosen(given)
        again = sorted(set(chosen) & set(given.learned))
        if again:
            detail = f"{', '.join(again)}: an earlier entry pretrains that already"
            raise given.problem("pretrained_twice", detail, "layers")
        done = [*given.learned, *chosen]
        return [self._draft(given, name, done) for name in chosen]

    def _draft(self, given: Given, name: str, done: list[str]) -> Draft:
        *lower, layer = below(given.network, name)
        source = next((n for n in reversed(names_of(lower)) if n in done), None)
        rests = names_of(below(given.network, source)) if source else ()
        training = self.training.over(given.training).model_copy(
            update={"reconstruct": source}
        )
        return Draft(
            name,
            (*lower, *self.learning(given, layer, names_of(lower))),
            self.dataset.over(given.dataset, given.features),
            self.recipe(training),
            rests=rests,
            makes=names_of((*lower, layer)),
        )

    def learning(
        self, given: Given, layer: Layer, lower: tuple[str, ...]
    ) -> Iterator[Layer]:
        """Yield the layers that learn in a stage, and what stands round them."""
        raise NotImplementedError

    def recipe(self, training: Training) -> Training:
        """Return the recipe of a stage."""
        return training


class StackedAutoencoders(Greedy):
    """Let each layer give back what it is given, after Bengio et al. (2007), NIPS 19.

    Denoising by `corruption`, after Vincent et al. (2008); with tied weights or sparse
    codes on request. As in Géron (2017), chapter 15.
    """

    kind: Literal["stacked_autoencoders"] = "stacked_autoencoders"
    tied: bool = False
    """Whether a layer's decoder uses the layer's own weights, turned round."""
    corruption: Corruption = NoCorruption()
    """How what comes in is disturbed while it is learned."""
    sparsity: ActivityRegularization = NoActivityRegularization()
    """Penalty on what the layer gives in its stage."""

    def learning(
        self, given: Given, layer: Layer, lower: tuple[str, ...]
    ) -> Iterator[Layer]:
        """Yield the corruption, the layer without dropout, and its tied decoder."""
        name = str(layer.name)
        noise = self.corruption.layer()
        if noise is not None:
            if "corruption" in (*lower, name):
                detail = "no layer of the network may be called 'corruption' here"
                raise given.problem("reserved_name", detail, "corruption")
            yield noise.model_copy(update={"inputs": layer.inputs})
            layer = layer.model_copy(update={"inputs": ("corruption",)})
        if isinstance(layer, Block):
            changed = {"dropout": 0.0, "activity_regularization": self.sparsity}
            layer = layer.model_copy(update=changed)
        yield layer
        if self.tied and not isinstance(layer, Dense):
            detail = f"only dense layers lend their weights, {name!r} is {layer.kind}"
            raise given.problem("conflict", detail, "tied")
        if self.tied:
            yield TiedDense(name=OUTPUT, tied_to=name)


class DeepBeliefNetwork(Greedy):
    """Train each layer as a restricted Boltzmann machine on the one below.

    After Hinton, Osindero and Teh (2006), Neural Computation 18, by contrastive
    divergence. The layers must be dense, sigmoid and without normalisation, and the
    input must lie between 0 and 1.
    """

    kind: Literal["deep_belief_network"] = "deep_belief_network"
    steps: Annotated[int, Field(ge=1, le=1000)] = 1
    """Rounds of Gibbs sampling k of each step."""
    persistent: bool = False
    """Whether the chains go on from step to step, after Tieleman (2008), ICML."""
    chains: Count | Literal["batch"] = "batch"
    """Persistent chains; ``"batch"``: as many as a step has rows."""

    def learning(
        self, given: Given, layer: Layer, lower: tuple[str, ...]
    ) -> Iterator[Layer]:
        """Yield the machine: the hidden units, and the visible ones above them."""
        whole = layer.filled(given.network.defaults)
        if not isinstance(whole, Dense) or not _sigmoid(whole):
            detail = (
                f"{layer.name!r} is no layer of a Boltzmann machine: those are dense, "
                "with activation sigmoid and normalization none"
            )
            raise given.problem("not_a_machine", detail, "layers")
        yield layer.model_copy(update={"dropout": 0.0})
        yield TiedDense.model_validate(
            {"name": OUTPUT, "tied_to": layer.name, "activation": "sigmoid"}
        )

    def recipe(self, training: Training) -> Training:
        """Return the recipe with contrastive divergence as its loss."""
        loss = ContrastiveDivergence(
            steps=self.steps, persistent=self.persistent, chains=self.chains
        )
        stopping = training.early_stopping
        watched = {"monitor": "validation_pseudo_likelihood"}
        if isinstance(stopping, EarlyStopping) and self.training.early_stopping is None:
            stopping = stopping.model_copy(update=watched)
        update = {"loss": loss, "early_stopping": stopping}
        return training.model_copy(update=update)


def _sigmoid(layer: Dense) -> bool:
    activation, normalization = layer.activation, layer.normalization
    return (
        activation is not None
        and activation.kind == "sigmoid"
        and (normalization is None or normalization.kind == "none")
    )
