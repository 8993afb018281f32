"""The layers a network is made of. Add one: write its class, name it in ``Layer``.

A layer answers, without torch, what comes out of it (``output_shape``), which tensors
it has (``tensors``) and how much memory an example costs (``activations``); ``build``
makes the module. Shapes are those of one example, channels first. ``tensors`` must
name exactly what the module's ``state_dict`` holds: a test compares the two.

A tensor says its role and its unit axis; penalties, limits, decay and pruning are for
weights alone. A layer with several inputs says so in ``takes``, one that draws while
training in ``random``, one that asks which steps are padding in ``minds_padding``, and
one that moves steps says in ``mask`` where the padding is afterwards. The families are
in files of their own; here are the union, dense layers and a few that do not fit there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from trainer.spec.activations import Activation
from trainer.spec.axes import features_axis
from trainer.spec.base import Count, Fraction, Rate
from trainer.spec.layers.attention import MultiHeadAttention, TransformerBlock
from trainer.spec.layers.blocks import OUTPUT as OUTPUT
from trainer.spec.layers.blocks import Block, Defaults, Plain, of_dense
from trainer.spec.layers.column_embedding import ColumnEmbedding
from trainer.spec.layers.columns import Columns
from trainer.spec.layers.convolutions import Conv2d, Residual
from trainer.spec.layers.embedding import Embedding, PositionalEncoding
from trainer.spec.layers.merging import Add, Average, Concatenate, Maximum, Multiply
from trainer.spec.layers.noise import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout,
)
from trainer.spec.layers.normalization_layers import (
    GroupNormalization,
    InstanceNormalization,
    LayerNormalization,
    RmsNormalization,
)
from trainer.spec.layers.pairs import (
    AbsoluteDifference,
    CosineDistance,
    DistanceThreshold,
    EuclideanDistance,
    Select,
    Shared,
)
from trainer.spec.layers.pooling import (
    AveragePool2d,
    GlobalAveragePool2d,
    GlobalMaxPool2d,
    MaxPool2d,
)
from trainer.spec.layers.recurrent import Gru, Lstm, SimpleRnn
from trainer.spec.layers.separable_convolutions import DepthwiseConv2d, SeparableConv2d
from trainer.spec.layers.sequence_convolutions import Conv1d, SeparableConv1d
from trainer.spec.layers.sequence_pooling import (
    AveragePool1d,
    GlobalAveragePool1d,
    GlobalMaxPool1d,
    MaxPool1d,
)
from trainer.spec.layers.shaping import (
    Cropping1d,
    Cropping2d,
    Flatten,
    Permute,
    RepeatVector,
    Reshape,
    Upsampling1d,
    Upsampling2d,
    ZeroPadding1d,
    ZeroPadding2d,
)
from trainer.spec.layers.tied_dense import TiedDense
from trainer.spec.layers.transposed_convolutions import (
    TransposedConv1d,
    TransposedConv2d,
)
from trainer.spec.normalizations import Batch
from trainer.spec.shapes import Impossible, Shape, TensorShape

if TYPE_CHECKING:
    from typing import Self

    from torch import nn


class Dense(Block):
    """Connect every input to every unit; images and arrays are flattened first."""

    kind: Literal["dense"] = "dense"
    widens: ClassVar[bool] = True
    units: Count | None = None
    """Number of units; only the layer named output may leave it to the task."""

    def filled(self, defaults: Defaults) -> Self:
        """Return the layer with every absent field taken from `defaults`."""
        return super().filled(of_dense(self.name, defaults))

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
        return self.weight_and_bias((units * self.sums_per_output, features))

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module for inputs of these shapes."""
        from trainer.modules.dense import Dense as Module

        sums, features = self.own_tensors(shapes)["weight"].shape
        tail = self.tail(self.output_shape(shapes))
        return Module(features, sums, bias=self.bias is not False, tail=tail)


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

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the input's shape, with fewer features after maxout."""
        shape, pieces = shapes[0], self.activation.sums_per_output
        axis = features_axis(shape)
        if shape[axis] % pieces:
            raise Impossible(
                f"{self.activation.kind} makes one output of {pieces} sums, is given "
                f"{shape[axis]}",
                field="activation",
            )
        return (*shape[:axis], shape[axis] // pieces, *shape[axis + 1 :])

    def tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return what the function learns."""
        return self.activation.tensors(shapes[0])

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        return self.activation.build(shapes[0])

    def draws(self) -> bool:
        """Return whether the function is random while training."""
        return self.activation.random


Layer = Annotated[
    Dense
    | TiedDense
    | Conv1d
    | Conv2d
    | DepthwiseConv2d
    | SeparableConv1d
    | SeparableConv2d
    | TransposedConv1d
    | TransposedConv2d
    | Residual
    | MaxPool1d
    | MaxPool2d
    | AveragePool1d
    | AveragePool2d
    | GlobalMaxPool1d
    | GlobalMaxPool2d
    | GlobalAveragePool1d
    | GlobalAveragePool2d
    | Flatten
    | Reshape
    | Permute
    | RepeatVector
    | ZeroPadding1d
    | ZeroPadding2d
    | Cropping1d
    | Cropping2d
    | Upsampling1d
    | Upsampling2d
    | Dropout
    | SpatialDropout
    | AlphaDropout
    | GaussianNoise
    | GaussianDropout
    | BatchNormalization
    | LayerNormalization
    | GroupNormalization
    | InstanceNormalization
    | RmsNormalization
    | ActivationLayer
    | Embedding
    | PositionalEncoding
    | SimpleRnn
    | Gru
    | Lstm
    | MultiHeadAttention
    | TransformerBlock
    | Add
    | Multiply
    | Average
    | Maximum
    | Concatenate
    | AbsoluteDifference
    | EuclideanDistance
    | CosineDistance
    | DistanceThreshold
    | Select
    | Shared
    | ColumnEmbedding
    | Columns,
    Field(discriminator="kind"),
]
