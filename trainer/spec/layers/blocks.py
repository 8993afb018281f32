"""What layers have in common: inputs, and the tail of a layer that has weights.

``Step`` is any layer, ``Plain`` one that takes one input and keeps its shape unless it
says otherwise, ``Merge`` one with several inputs, ``Weighted`` one with weights,
``Block`` one whose weights are followed by normalisation, activation and dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from trainer.spec.activations import Activation, NoActivation
from trainer.spec.activations.rectifiers import Elu
from trainer.spec.activity import ActivityRegularization, NoActivityRegularization
from trainer.spec.axes import widened
from trainer.spec.base import Count, Fraction, LayerName, Named, Spec
from trainer.spec.initializers import GlorotUniform, HeNormal, Initializer, Zeros
from trainer.spec.masks import Mask
from trainer.spec.normalizations import Batch, NoNormalization, Normalization
from trainer.spec.regularization import LayerRegularization
from trainer.spec.shapes import Impossible, Shape, TensorShape

if TYPE_CHECKING:
    from typing import Self

    from torch import Generator, Tensor, nn

    from trainer.modules.tail import Tail

Pair = Count | tuple[Count, Count]
"""One size for both directions, or (height, width)."""


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width)."""
    return size if isinstance(size, tuple) else (size, size)


def _zero_if_off(value: object) -> object:
    return 0.0 if value is None or value == "none" else value


def _not_still(value: object) -> object:
    if value == 0:
        raise ValueError(
            "a multiplier of 0 would train the layer in vain: freeze it instead, by "
            "naming it in the freeze of a reuse entry"
        )
    return value


Multiplier = Annotated[float, Field(gt=0, le=1000), BeforeValidator(_not_still)]
"""What a rate is multiplied by; 0 is what freezing is for."""

DropoutRate = Annotated[Fraction | None, BeforeValidator(_zero_if_off)]
"""A dropout rate; ``"none"`` and null mean 0, absent means inherited."""


NormalizationPosition = Literal["before_activation", "after_activation"]
"""Where in its tail a layer normalises; Ioffe and Szegedy (2015) do before."""


OUTPUT = "output"
"""The name of the last layer; it follows from the task unless it is written out."""


class Defaults(Spec):
    """What hidden layers use where they say nothing: the practical guide's recipe."""

    activation: Activation = Elu()
    """Activation of hidden layers with weights."""
    initializer: Initializer = HeNormal()
    """Initial weights of hidden layers."""
    normalization: Normalization = Batch()
    """Normalisation of a hidden layer's sums or outputs."""
    normalization_position: NormalizationPosition = "before_activation"
    """Whether the sums are normalised, or what the activation makes of them."""
    dropout: DropoutRate = None
    """Dropout after hidden layers; absent: 0.2 after dense layers, 0 elsewhere."""


def of_dense(name: str | None, defaults: Defaults) -> Defaults:
    """Return what a dense layer of that name takes where it says nothing.

    The output layer inherits nothing: an activation, a normalisation or a dropout
    meant for hidden layers would spoil it.
    """
    if name == OUTPUT:
        return Defaults(
            activation=NoActivation(),
            initializer=GlorotUniform(),
            normalization=NoNormalization(),
            dropout=0.0,
        )
    if defaults.dropout is None:
        return defaults.model_copy(update={"dropout": 0.2})
    return defaults


class Step(Spec):
    """One node of the network's graph."""

    name: LayerName | None = None
    """Name of the layer, unique in the network; absent: its kind and a number."""
    inputs: tuple[LayerName, ...] | None = None
    """Names of the layers it takes; ``input`` is the network's input; absent: the
    layer before it."""
    random: ClassVar[bool] = False
    """Whether the layer draws at random while training, though it has no weights."""
    takes: ClassVar[tuple[int, int]] = (1, 1)
    """Fewest and most inputs."""
    minds_padding: ClassVar[bool] = False
    """Whether the module asks which steps of its inputs are real: it is then called
    with ``masks``, one for each input, wherever an input has padding."""
    borrows: ClassVar[str] = ""
    """The field that names an earlier layer whose tensors it uses beside its own: the
    module is then called with ``lender``, that layer's module. What two layers use
    belongs to one of them, so it is counted, saved and frozen once."""

    @property
    def lender(self) -> str | None:
        """Return the name of the layer whose tensors it uses, if there is one."""
        return getattr(self, self.borrows) if self.borrows else None

    def borrowing(self, lender: Step, shapes: Sequence[Shape]) -> Self:
        """Return the layer once its lender, and the shapes that takes, are known."""
        return self

    def filled(self, defaults: Defaults) -> Self:
        """Return the layer with every absent field taken from `defaults`."""
        return self

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape that comes out for inputs of these shapes."""
        raise NotImplementedError

    def tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return the tensors of the module by their name in its ``state_dict``."""
        return {}

    def activations(self, shapes: Sequence[Shape]) -> int:
        """Return how many numbers per example are kept for the backward pass."""
        return prod(self.output_shape(shapes))

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module for inputs of these shapes."""
        raise NotImplementedError

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return which steps that come out are real, from those that go in."""
        return None

    def flops(self, shapes: Sequence[Shape]) -> int:
        """Return the multiplications and additions of one example's forward pass."""
        return 0

    def draws(self) -> bool:
        """Return whether the layer's outputs are random while training."""
        return self.random

    def fill(
        self, name: str, tensor: TensorShape, values: Tensor, generator: Generator
    ) -> None:
        """Give the learning tensor called `name` its first values, in place.

        What is left alone keeps the values that its module made it with.
        """


class Plain(Step):
    """A layer with one input and, unless it says otherwise, an output like it."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        return shapes[0]

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return the input's mask, where its steps are still there."""
        return masks[0] if self.output_shape(shapes)[:1] == shapes[0][:1] else None


class Weighted(Step):
    """A layer with weights; they start from its initialisers, by the tensors' roles."""

    initializer: Annotated[Initializer | None, Named] = None
    """Initial weights."""
    bias_initializer: Annotated[Initializer | None, Named] = None
    """Initial biases; absent: zeros."""
    regularization: LayerRegularization | None = None
    """Penalties and limits of this layer in place of the training's."""
    learning_rate_multiplier: Multiplier = 1.0
    """What the learning rate is multiplied by for this layer."""

    def fill(
        self, name: str, tensor: TensorShape, values: Tensor, generator: Generator
    ) -> None:
        """Fill a weight or a bias from its initialiser.

        An initialiser counts the axis of units first, so a weight that has it elsewhere
        is filled as if it lay so.
        """
        first = {"weight": self.initializer, "bias": self.bias_initializer}
        initializer = first.get(tensor.role)
        if initializer is None:
            return
        if tensor.unit_axis == 0:
            initializer.fill(values, generator, tensor.fans)
            return
        turned = values.movedim(tensor.unit_axis, 0).contiguous()
        initializer.fill(turned, generator, tensor.fans)
        values.copy_(turned.movedim(0, tensor.unit_axis))

    def flops(self, shapes: Sequence[Shape]) -> int:
        """Return two per weight and position that it is used at."""
        positions = prod(self.output_shape(shapes)[1:])
        weights = (t for t in self.tensors(shapes).values() if t.role == "weight")
        return sum(2 * weight.elements * positions for weight in weights)


class Block(Weighted):
    """A layer with weights, followed by normalisation, activation and dropout."""

    activation: Annotated[Activation | None, Named] = None
    """Function of the (normalised) sums."""
    normalization: Annotated[Normalization | None, Named] = None
    """Normalisation of the sums or of the outputs."""
    normalization_position: NormalizationPosition | None = None
    """Whether the sums are normalised, or what the activation makes of them; absent:
    the sums."""
    dropout: DropoutRate = None
    """Share of the outputs set to 0 at each training step."""
    bias: bool | None = None
    """Whether the layer has biases; absent: yes."""
    activity_regularization: ActivityRegularization = NoActivityRegularization()
    """Penalty on what the layer gives while it learns, before its dropout; not on
    frozen layers."""

    def filled(self, defaults: Defaults) -> Self:
        """Return the layer with every absent field taken from `defaults`."""
        dropout = defaults.dropout if self.dropout is None else self.dropout
        found = {
            "activation": self.activation or defaults.activation,
            "initializer": self.initializer or defaults.initializer,
            "bias_initializer": self.bias_initializer or Zeros(),
            "normalization": self.normalization or defaults.normalization,
            "normalization_position": (
                self.normalization_position or defaults.normalization_position
            ),
            "dropout": dropout or 0.0,
            "bias": self.bias is not False,
        }
        return self.model_copy(update=found)

    def own_tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return the weights and biases, without the normalisation's vectors."""
        raise NotImplementedError

    tail_axis: ClassVar[int | None] = None
    """Axis of the features in `tail_shape`, where it is not that of the output."""
    widens: ClassVar[bool] = False
    """Whether the layer can have several sums for each output, as maxout needs."""

    @property
    def sums_per_output(self) -> int:
        """Return how many sums the activation makes one output of."""
        return 1 if self.activation is None else self.activation.sums_per_output

    def tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return weights and biases, then what the tail learns."""
        return self.own_tensors(shapes) | self.tail_tensors(self.tail_shape(shapes))

    def tail_tensors(self, shape: Shape) -> dict[str, TensorShape]:
        """Return the tensors of normalisation and activation for outputs of `shape`."""
        normalises = self._normalization().kind != "none"
        after = normalises and self.normalization_position == "after_activation"
        self.activity_regularization.check(self._activation().kind, normalised=after)
        sums, normalised = self._seen(shape)
        parts = {
            "normalization": self._normalization().tensors(normalised, self.tail_axis),
            "activation": self._activation().tensors(sums, self.tail_axis),
        }
        return {
            f"{part}.{name}": tensor
            for part, tensors in parts.items()
            for name, tensor in tensors.items()
        }

    def tail_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape that comes out of the tail, where it works on another."""
        return self.output_shape(shapes)

    def weight_and_bias(
        self, weight: Shape, unit_axis: int = 0
    ) -> dict[str, TensorShape]:
        """Return a weight of that shape and, unless switched off, its bias."""
        tensors = {"weight": TensorShape(weight, role="weight", unit_axis=unit_axis)}
        if self.bias is not False:
            tensors["bias"] = TensorShape((weight[unit_axis],), role="bias")
        return tensors

    def activations(self, shapes: Sequence[Shape]) -> int:
        """Return the sums and what each following operation keeps, per example."""
        sums = self.sums_per_output
        kept = sums + (self._activation().kind != "none") + self._activation().random
        normalised = 1 if self.normalization_position == "after_activation" else sums
        kept += normalised * (not isinstance(self._normalization(), NoNormalization))
        kept += bool(self.dropout)
        return kept * prod(self.output_shape(shapes))

    def tail(self, shape: Shape) -> Tail:
        """Return what follows the weights: normalisation, activation, dropout."""
        from trainer.modules.tail import Tail

        sums, normalised = self._seen(shape)
        return Tail(
            self._normalization().build(normalised, self.tail_axis),
            self._activation().build(sums, self.tail_axis),
            self.dropout or 0.0,
            activates_first=self.normalization_position == "after_activation",
        )

    def _seen(self, shape: Shape) -> tuple[Shape, Shape]:
        """Return the shapes that activation and normalisation are given."""
        sums = shape
        if self.sums_per_output > 1:
            sums = widened(shape, self.sums_per_output, self.tail_axis)
        after = self.normalization_position == "after_activation"
        return sums, shape if after else sums

    def _normalization(self) -> Normalization:
        return self.normalization or NoNormalization()

    def _activation(self) -> Activation:
        return self.activation or NoActivation()


SEQUENCE_ADVICE = {
    1: "embedding for ids, or reshape to [-1, 1] for numbers before it",
    3: "reshape or global_average_pool2d before it",
}
"""What makes a sequence of something with that many axes."""


def image_of(shapes: Sequence[Shape], kind: str) -> tuple[int, int, int]:
    """Return (channels, height, width) of an image layer's only input."""
    shape = shapes[0]
    if len(shape) != 3:
        raise Impossible(
            f"{kind} takes images (channels, height, width), is given {list(shape)}",
            field="kind",
            suggestion="dense",
        )
    return shape[0], shape[1], shape[2]


def sequence_of(shapes: Sequence[Shape], kind: str, which: int = 0) -> tuple[int, int]:
    """Return (steps, features) of a sequence layer's input."""
    shape = shapes[which]
    if len(shape) != 2:
        raise Impossible(
            f"{kind} takes sequences (steps, features), is given {list(shape)}",
            field="kind",
            suggestion=SEQUENCE_ADVICE.get(len(shape), ""),
        )
    return shape[0], shape[1]
