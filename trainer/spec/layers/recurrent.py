"""Layers that read a sequence step by step and remember.

They follow their papers: tanh (and the gates' sigmoids), no normalisation and weights
after Glorot; ``network.defaults`` does not reach them. Tensors are torch's own, under
``forwards`` and, where the layer is bidirectional, ``backwards``:

    weight_ih_l0 (gates x units, features)    bias_ih_l0 (gates x units,)
    weight_hh_l0 (gates x units, units)       bias_hh_l0 (gates x units,)

with the gates in torch's order: input, forget, cell, output (LSTM) and reset, update,
new (GRU). The two biases are added; only a GRU's new gate tells them apart.

Steps that are padding are passed over, wherever they are: the state stays as it was,
and a sequence of outputs is 0 there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trainer.spec.base import Count, Fraction, Named
from trainer.spec.initializers import GlorotUniform, Initializer, Orthogonal, Zeros
from trainer.spec.layers.blocks import Defaults, Weighted, sequence_of
from trainer.spec.masks import Mask
from trainer.spec.shapes import Shape, TensorShape

if TYPE_CHECKING:
    from typing import Self

    from torch import Generator, Tensor, nn


class Recurrent(Weighted):
    """A layer whose units see their own last outputs."""

    gates: ClassVar[int] = 1
    kept: ClassVar[int] = 2
    """Numbers per unit and step that training keeps, as measured on a CPU."""
    minds_padding: ClassVar[bool] = True

    units: Count
    """Length of the state, and of the output in each direction."""
    return_sequences: bool = False
    """Whether all steps' outputs come out, or the last one's alone."""
    bidirectional: bool = False
    """Whether a second set of weights reads the sequence from its end, after Schuster
    and Paliwal (1997); the outputs of both lie side by side."""
    dropout: Fraction = 0.0
    """Share of the input's features that are 0 in all steps of a sequence while
    training, after Gal and Ghahramani (2016), NeurIPS."""
    recurrent_initializer: Annotated[Initializer | None, Named] = None
    """Initial weights from state to state; absent: orthogonal, after Saxe et al.
    (2014), over all gates at once as in Keras."""

    def filled(self, defaults: Defaults) -> Self:
        """Return the layer with its own defaults, which are not the network's."""
        found = {
            "initializer": self.initializer or GlorotUniform(),
            "bias_initializer": self.bias_initializer or Zeros(),
            "recurrent_initializer": self.recurrent_initializer or Orthogonal(),
        }
        return self.model_copy(update=found)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return (steps, units) or (units,), with twice the units both ways."""
        kind = str(type(self).model_fields["kind"].default)
        steps, _ = sequence_of(shapes, kind)
        width = self.units * len(self.directions)
        return (steps, width) if self.return_sequences else (width,)

    @property
    def directions(self) -> tuple[str, ...]:
        """Return the names of the parts that read the sequence."""
        return ("forwards", "backwards") if self.bidirectional else ("forwards",)

    def mask(
        self, masks: Sequence[Mask | None], shapes: Sequence[Shape]
    ) -> Mask | None:
        """Return the input's mask, if the steps are still there."""
        return masks[0] if self.return_sequences else None

    def tensors(self, shapes: Sequence[Shape]) -> dict[str, TensorShape]:
        """Return the weights and biases of each direction."""
        self.output_shape(shapes)
        rows = self.gates * self.units
        bias = TensorShape((rows,), role="bias", stacked=self.gates)
        weight = replace(bias, role="weight")
        own = {
            "weight_ih_l0": replace(weight, shape=(rows, shapes[0][1])),
            "weight_hh_l0": replace(weight, shape=(rows, self.units)),
            "bias_ih_l0": bias,
            "bias_hh_l0": bias,
        }
        return {f"{d}.{name}": own[name] for d in self.directions for name in own}

    def activations(self, shapes: Sequence[Shape]) -> int:
        """Return what each step of each direction keeps."""
        steps, features = shapes[0]
        return steps * len(self.directions) * (self.kept * self.units + features)

    def flops(self, shapes: Sequence[Shape]) -> int:
        """Return two per weight and step."""
        weights = (t for t in self.tensors(shapes).values() if t.role == "weight")
        return shapes[0][0] * sum(2 * weight.elements for weight in weights)

    def fill(
        self, name: str, tensor: TensorShape, values: Tensor, generator: Generator
    ) -> None:
        """Fill weights and the first bias; the second one, which is added, is 0."""
        if name.endswith("bias_hh_l0"):
            values.zero_()
        elif name.endswith("weight_hh_l0") and self.recurrent_initializer is not None:
            self.recurrent_initializer.fill(values, generator, tensor.fans)
        else:
            super().fill(name, tensor, values, generator)

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Return the module."""
        from trainer.modules.recurrent import Recurrent as Module

        return Module(
            self.cell(),
            shapes[0][1],
            self.units,
            bidirectional=self.bidirectional,
            return_sequences=self.return_sequences,
            dropout=self.dropout,
        )

    def cell(self) -> str:
        """Return the word for its step: rnn_tanh, rnn_relu, gru or lstm."""
        raise NotImplementedError


class SimpleRnn(Recurrent):
    """Remember by one layer: h' = tanh(W x + U h + b), after Elman (1990).

    Cognitive Science 14. Gradients vanish or explode over long sequences: prefer
    ``gru`` or ``lstm`` there.
    """

    kind: Literal["simple_rnn"] = "simple_rnn"
    activation: Literal["tanh", "relu"] = "tanh"
    """Function of the sums; ``relu`` with an identity-like recurrent initialiser is
    that of Le et al. (2015), arXiv:1504.00941."""

    def cell(self) -> str:
        """Return rnn_tanh or rnn_relu."""
        return f"rnn_{self.activation}"


class Gru(Recurrent):
    """Remember by a gate between old and new, after Cho et al. (2014), EMNLP.

    r = σ(W_r x + U_r h), z = σ(W_z x + U_z h), n = tanh(W_n x + b + r (U_n h + c)),
    h' = (1 - z) n + z h: the reset gate follows the product, as in torch and in Keras
    by default.
    """

    kind: Literal["gru"] = "gru"
    gates: ClassVar[int] = 3
    kept: ClassVar[int] = 7

    def cell(self) -> str:
        """Return gru."""
        return "gru"


class Lstm(Recurrent):
    """Remember in a cell behind gates, after Hochreiter and Schmidhuber (1997).

    i, f, o = σ(W x + U h + b), g = tanh(W x + U h + b), c' = f c + i g,
    h' = o tanh(c'): with the forget gate of Gers et al. (2000).
    """

    kind: Literal["lstm"] = "lstm"
    gates: ClassVar[int] = 4
    kept: ClassVar[int] = 16
    forget_bias: float = 1.0
    """Initial bias of the forget gate: 1 lets it remember from the start, after
    Jozefowicz et al. (2015), ICML."""

    def fill(
        self, name: str, tensor: TensorShape, values: Tensor, generator: Generator
    ) -> None:
        """Fill weights and biases; the forget gate's is open."""
        super().fill(name, tensor, values, generator)
        if name.endswith("bias_ih_l0"):
            values[self.units : 2 * self.units] = self.forget_bias

    def cell(self) -> str:
        """Return lstm."""
        return "lstm"
