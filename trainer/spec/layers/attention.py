"""Layers in which every step looks at others: attention and the transformer's block.

Steps that are padding are never looked at, and come out as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trainer.spec.activations import Activation, Gelu
from trainer.spec.base import Count, Fraction, Named, Rate
from trainer.spec.initializers import GlorotUniform, Zeros
from trainer.spec.layers.blocks import Defaults, Weighted, sequence_of
from trainer.spec.masks import Mask
from trainer.spec.shapes import Impossible, Shape, TensorShape

if TYPE_CHECKING:
    from typing import Self

    from torch import nn


class Attending(Weighted):
    """A layer with attention heads."""

    minds_padding: ClassVar[bool] = True
    heads: Count = 8
    """How many things each step can look for at once."""
    key_size: Count | None = None
    """Features of each head's queries, keys and values; absent: those of the input
    over the heads."""
    causal: bool = False
    """Whether a step sees itself and earlier steps alone."""

    def filled(self, defaults: Defaults) -> Self:
        """Return the layer with its own initialisers: Glorot uniform, zeros."""
        found = {
            "initializer": self.initializer or GlorotUniform(),
            "bias_initializer": self.bias_initializer or Zeros(),
        }
        return self.model_copy(update=found)

    def size_of_key(self, features: int) -> int:
        """Return the features of each head."""
        if self.key_size is not None:
            return self.key_size
        if features % self.heads:
            fits = max(n for n in range(1, self.heads + 1) if features % n == 0)
            raise Impossible(
                f"{self.heads} heads do not share {features} features evenly",
                field="heads",
                suggestion=str(fits),
            )
        return features // self.heads

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return the queries' mask."""
        return masks[0]


class MultiHeadAttention(Attending):
    """Look at other steps, each head for something else, after Vaswani et al. (2017).

    NeurIPS, section 3.2: softmax(Q Kᵀ / √key_size) V for each head, side by side,
    times an output matrix. One input: the sequence looks at itself. Two: the first
    asks, the second is looked at. Three: queries, values, keys, as in Keras.
    """

    kind: Literal["multi_head_attention"] = "multi_head_attention"
    takes: ClassVar[tuple[int, int]] = (1, 3)
    dropout: Fraction = 0.0
    """Share of the attention weights that are 0 at each training step."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (steps, features) of the queries."""
        steps, features = sequence_of(shapes, self.kind)
        lengths = [sequence_of(shapes, self.kind, n)[0] for n in range(len(shapes))]
        if len(shapes) == 3 and lengths[1] != lengths[2]:
            raise Impossible(
                f"there is a key for each value, but {lengths[1]} steps of values and "
                f"{lengths[2]} of keys",
                field="inputs",
            )
        if self.causal and lengths[-1] != steps:
            raise Impossible(
                f"{steps} steps ask and {lengths[-1]} are looked at: only equally long "
                "sequences have earlier steps in common",
                field="causal",
                suggestion="false",
            )
        self.size_of_key(features)
        return (steps, features)

    def tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return weight and bias of query, key, value and output."""
        _, features = self.output_shape(shapes)
        inner = self.heads * self.size_of_key(features)
        values, keys = shapes[min(1, len(shapes) - 1)][1], shapes[-1][1]
        return attention_tensors("", (features, keys, values), inner)

    def activations(self, shapes: Sequence[Shape]) -> int:
        """Return projections, outputs, and with dropout what each step looks at.

        Without it torch works the weights out again for the gradient.
        """
        (steps, features), seen = self.output_shape(shapes), shapes[-1][0]
        inner = self.heads * self.size_of_key(features)
        weights = 3 * self.heads * steps * seen if self.dropout else 0
        return steps * (2 * inner + features) + 2 * seen * inner + weights

    def flops(self, shapes: Sequence[Shape]) -> int:
        """Return those of the four products and of looking."""
        (steps, features), seen = self.output_shape(shapes), shapes[-1][0]
        inner = self.heads * self.size_of_key(features)
        values = shapes[min(1, len(shapes) - 1)][1]
        projected = 2 * steps * features + seen * (values + shapes[-1][1])
        return 2 * inner * projected + 4 * steps * seen * inner

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.attention import Attention

        _, features = self.output_shape(shapes)
        return Attention(
            (features, shapes[-1][1], shapes[min(1, len(shapes) - 1)][1]),
            self.heads,
            self.size_of_key(features),
            causal=self.causal,
            dropout=self.dropout,
        )


class TransformerBlock(Attending):
    """Attention, then two dense layers at each step, after Vaswani et al. (2017).

    NeurIPS, section 3.1. Each half is added to its input and normalised over the
    features (Ba et al., 2016): before it by default, which trains without warm-up
    (Xiong et al., 2020, ICML); end such a stack with ``layer_normalization``. An
    encoder's block; ``causal`` makes it a language model's.
    """

    kind: Literal["transformer_block"] = "transformer_block"
    units: Count | None = None
    """Units of the inner dense layer; absent: four times the features."""
    activation: Annotated[Activation | None, Named] = None
    """Function of the inner dense layer's sums; absent: gelu, after Devlin et al.
    (2019); the paper's is relu."""
    dropout: Fraction = 0.1
    """Share of attention weights, and of what each half adds, that is 0 at each
    training step."""
    normalize_first: bool = True
    """Whether normalisation comes before each half or, as in the paper, after each
    sum."""
    epsilon: Rate = 1e-5
    """Added to the variance by the normalisations."""

    def filled(self, defaults: Defaults) -> Self:
        """Return the layer with its own initialisers and activation."""
        found = {"activation": self.activation or Gelu()}
        return super().filled(defaults).model_copy(update=found)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the input's (steps, features)."""
        steps, features = sequence_of(shapes, self.kind)
        self.size_of_key(features)
        if self.inner_activation.sums_per_output > 1:
            raise Impossible(
                "a transformer_block has one sum for each inner unit",
                field="activation",
                suggestion="gelu",
            )
        return (steps, features)

    @property
    def inner_activation(self) -> Activation:
        """Return the function between the two dense layers."""
        return self.activation or Gelu()

    def inner_units(self, features: int) -> int:
        """Return the units of the inner dense layer."""
        return self.units or 4 * features

    def tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return those of attention, the dense layers and both normalisations."""
        steps, features = self.output_shape(shapes)
        units = self.inner_units(features)
        inner = self.heads * self.size_of_key(features)
        active = self.inner_activation.tensors((steps, units))
        return (
            attention_tensors("attention.", (features, features, features), inner)
            | linear_tensors("inner", units, features)
            | linear_tensors("outer", features, units)
            | {
                f"normalization{number}.{name}": TensorShape((features,))
                for number in (1, 2)
                for name in ("weight", "bias")
            }
            | {f"activation.{name}": tensor for name, tensor in active.items()}
        )

    def activations(self, shapes: Sequence[Shape]) -> int:
        """Return what attention, the dense layers, norms and sums keep."""
        steps, features = self.output_shape(shapes)
        inner = self.heads * self.size_of_key(features)
        drops = bool(self.dropout)
        weights = 3 * self.heads * steps * drops
        each = 4 * inner + (6 + 2 * drops) * features + 2 * self.inner_units(features)
        return steps * (each + weights)

    def flops(self, shapes: Sequence[Shape]) -> int:
        """Return those of all products and of looking."""
        steps, features = self.output_shape(shapes)
        inner = self.heads * self.size_of_key(features)
        weights = 4 * inner * features + 2 * features * self.inner_units(features)
        return 2 * steps * weights + 4 * steps * steps * inner

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.attention import Attention
        from trainer.modules.transformer import TransformerBlock as Module

        steps, features = self.output_shape(shapes)
        units = self.inner_units(features)
        return Module(
            Attention(
                (features, features, features),
                self.heads,
                self.size_of_key(features),
                causal=self.causal,
                dropout=self.dropout,
            ),
            features,
            units,
            activation=self.inner_activation.build((steps, units)),
            dropout=self.dropout,
            normalize_first=self.normalize_first,
            epsilon=self.epsilon,
        )


def linear_tensors(name: str, units: int, features: int) -> dict[str, TensorShape]:
    """Return weight (units, features) and bias (units,) under a name."""
    return {
        f"{name}.weight": TensorShape((units, features), role="weight"),
        f"{name}.bias": TensorShape((units,), role="bias"),
    }


def attention_tensors(
    prefix: str, features: tuple[int, int, int], inner: int
) -> dict[str, TensorShape]:
    """Return what attention has, for the features of its queries, keys and values."""
    queries, keys, values = features
    return (
        linear_tensors(f"{prefix}query", inner, queries)
        | linear_tensors(f"{prefix}key", inner, keys)
        | linear_tensors(f"{prefix}value", inner, values)
        | linear_tensors(f"{prefix}output", queries, inner)
    )
