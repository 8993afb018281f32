"""The layers a network is made of. Add one: write its class, name it in ``Layer``.

A layer answers, without torch, what comes out of it (``output_shape``), which tensors
it has (``tensors``) and how much memory an example costs (``activations``); ``build``
makes the module. Shapes are those of one example, channels first. ``tensors`` must
name exactly what the module's ``state_dict`` holds: a test compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from trainer.spec.activations import Activation, NoActivation
from trainer.spec.base import Count, Fraction, Rate
from trainer.spec.blocks import Block, Defaults, Plain, Step
from trainer.spec.convolutions import Conv2d, Residual
from trainer.spec.initializers import GlorotUniform
from trainer.spec.normalizations import Batch, NoNormalization
from trainer.spec.pooling import AveragePool2d, GlobalAveragePool2d, MaxPool2d
from trainer.spec.shapes import Impossible, Shape, TensorShape

if TYPE_CHECKING:
    from typing import Self

    from torch import nn

OUTPUT = "output"
"""The name of the last layer; it follows from the task unless it is written out."""


class Dense(Block):
    """Connect every input to every unit; images and arrays are flattened first."""

    kind: Literal["dense"] = "dense"
    units: Count | None = None
    """Number of units; only the layer named output may leave it to the task."""

    def filled(self, defaults: Defaults) -> Self:
        """Return the layer with every absent field taken from `defaults`.

        The output layer inherits nothing: an activation, a normalisation or a dropout
        meant for hidden layers would spoil it.
        """
        if self.name == OUTPUT:
            defaults = Defaults(
                activation=NoActivation(),
                initializer=GlorotUniform(),
                normalization=NoNormalization(),
                dropout=0.0,
            )
        elif defaults.dropout is None:
            defaults = defaults.model_copy(update={"dropout": 0.2})
        return super().filled(defaults)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (units,)."""
        if self.units is None:
            raise Impossible("the field 'units' is required", field="units")
        return (self.units,)

    def own_tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return weight (units, features) and bias (units,)."""
        units = self.output_shape(shapes)[0]
        features = 1
        for size in shapes[0]:
            features *= size
        return self.weight_and_bias((units, features))

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module for inputs of these shapes."""
        from trainer.modules.dense import Dense as Module

        features = self.own_tensors(shapes)["weight"].shape[1]
        units = self.output_shape(shapes)[0]
        bias, tail = self.bias is not False, self.tail((units,))
        return Module(features, units, bias=bias, tail=tail)


class Flatten(Plain):
    """Lay the numbers of an image or an array out in one row."""

    kind: Literal["flatten"] = "flatten"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (features,)."""
        features = 1
        for size in shapes[0]:
            features *= size
        return (features,)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Flatten()


class Dropout(Plain):
    """Set inputs to 0 at random while training, after Srivastava et al. (2014), JMLR.

    The others are scaled by 1 / (1 - rate), so predictions need no change.
    """

    kind: Literal["dropout"] = "dropout"
    random: ClassVar[bool] = True
    rate: Fraction = 0.5
    """Share of the inputs set to 0 at each step."""

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from torch import nn

        return nn.Dropout(self.rate)


class BatchNormalization(Plain):
    """Batch normalisation as a layer of its own, after Ioffe and Szegedy (2015)."""

    kind: Literal["batch_normalization"] = "batch_normalization"
    momentum: Fraction = 0.9
    """Share of the moving statistics that is kept at each step, as in Keras."""
    epsilon: Rate = 0.001
    """Added to the variance."""

    def tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return the four vectors and the counter."""
        return self._normalization().tensors(shapes[0])

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        module = self._normalization().build(shapes[0])
        assert module is not None
        return module

    def _normalization(self) -> Batch:
        return Batch(momentum=self.momentum, epsilon=self.epsilon)


class ActivationLayer(Plain):
    """An activation as a layer of its own, for instance after a sum."""

    kind: Literal["activation"] = "activation"
    activation: Activation
    """The function."""

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        return self.activation.build()

    def draws(self) -> bool:
        """Return whether the function is random while training."""
        return bool(getattr(self.activation, "random", False))


class Add(Step):
    """Sum several inputs of equal shape: a skip connection, after He et al. (2016)."""

    kind: Literal["add"] = "add"
    takes: ClassVar[tuple[int, int]] = (2, 100_000)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the common shape."""
        for shape in shapes[1:]:
            if shape != shapes[0]:
                raise Impossible(
                    f"add needs inputs of equal shape, is given {list(shapes[0])} "
                    f"and {list(shape)}",
                    field="inputs",
                )
        return shapes[0]

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.merge import Add as Module

        return Module()


class Concatenate(Step):
    """Put several inputs behind each other, along features or channels."""

    kind: Literal["concatenate"] = "concatenate"
    takes: ClassVar[tuple[int, int]] = (2, 100_000)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape with the first sizes summed."""
        for shape in shapes[1:]:
            if shape[1:] != shapes[0][1:]:
                raise Impossible(
                    "concatenate needs inputs that differ in their first size only, "
                    f"is given {list(shapes[0])} and {list(shape)}",
                    field="inputs",
                )
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.merge import Concatenate as Module

        return Module()


Layer = Annotated[
    Dense
    | Conv2d
    | MaxPool2d
    | AveragePool2d
    | GlobalAveragePool2d
    | Residual
    | Flatten
    | Dropout
    | BatchNormalization
    | ActivationLayer
    | Add
    | Concatenate,
    Field(discriminator="kind"),
]
