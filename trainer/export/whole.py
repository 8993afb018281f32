"""Functions that torch takes apart and ONNX knows as a whole, or in fewer nodes.

A recurrent layer of a hundred steps is one node, not a thousand. A rule is given the
arguments of torch's function and returns the name of its output, or None to leave the
call to the rules of the operators that it consists of. Add one: write its rule, name it
in `WHOLE`.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from trainer.export.operators import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

Array = np.ndarray[Any, Any]

GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where ONNX's gates are among torch's: i o f c of i f g o, z r h of r z n."""

ROWS_OF_FEATURES = 2
BY_HEAD = 4
ONE_DIRECTION = 4
"""Axes of an input without steps and of one with heads; tensors of one recurrent
layer."""


class Scribe(Protocol):
    """The graph, as a rule for a whole function sees it."""

    def name(self, tensor: Tensor) -> str:
        """Return the name of a tensor; one that depends on no input is a constant."""

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Add a node with one output and return the output's name."""

    def constant(self, value: object, dtype: type[np.generic] = np.float32) -> str:
        """Add a constant and return its name."""

    def turned(self, weight: Tensor) -> str:
        """Return the name of a weight matrix with its axes exchanged."""


def _linear(
    scribe: Scribe, x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> str | None:
    if x.ndim == ROWS_OF_FEATURES:
        return None  # one node anyway, whose weight keeps its name
    sums = scribe.node("MatMul", scribe.name(x), scribe.turned(weight))
    return sums if bias is None else scribe.node("Add", sums, scribe.name(bias))


def _attention(
    scribe: Scribe,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> str:
    if dropout_p or query.ndim != BY_HEAD:
        raise Unsupported("attention with dropout, or without heads")
    scale = 1 / sqrt(query.shape[-1]) if scale is None else scale
    keys = scribe.node("Transpose", scribe.name(key), perm=[0, 1, 3, 2])
    asked = scribe.node("Mul", scribe.name(query), scribe.constant(scale))
    scores = scribe.node("MatMul", asked, keys)
    allowed = None if attn_mask is None else scribe.name(attn_mask)
    if is_causal:
        allowed = scribe.constant(np.tril(np.ones(_square(query, key))), np.bool_)
    if allowed is not None:
        lowest = scribe.constant(-np.inf)
        scores = scribe.node("Where", allowed, scores, lowest)
    weights = scribe.node("Softmax", scores, axis=-1)
    return scribe.node("MatMul", weights, scribe.name(value))


def _square(query: Tensor, key: Tensor) -> tuple[int, int]:
    return query.shape[-2], key.shape[-2]


def _recurrent(kind: str, **attributes: object) -> Callable[..., str]:
    """Return the rule of a recurrent layer of one direction, its first state 0."""

    def rule(
        scribe: Scribe,
        x: Tensor,
        _: object,
        weights: Sequence[Tensor],
        *__: object,
    ) -> str:
        if len(weights) != ONE_DIRECTION:
            raise Unsupported("a recurrent layer on others, or without biases")
        ahead, back, *biases = (_regated(kind, weight) for weight in weights)
        units = back.shape[1]
        steps_first = scribe.node("Transpose", scribe.name(x), perm=[1, 0, 2])
        outputs = scribe.node(
            kind,
            steps_first,
            scribe.constant(ahead[None]),
            scribe.constant(back[None]),
            scribe.constant(np.concatenate(biases)[None]),
            hidden_size=units,
            **attributes,
        )  # (steps, directions, batch, units)
        one = scribe.node("Squeeze", outputs, scribe.constant([1], np.int64))
        return scribe.node("Transpose", one, perm=[1, 0, 2])

    return rule


def _regated(kind: str, weight: Tensor) -> Array:
    """Return a weight or bias with its gates in ONNX's order."""
    gates = np.split(weight.detach().cpu().numpy(), len(GATES[kind]))
    return np.concatenate([gates[place] for place in GATES[kind]])


WHOLE: dict[object, Callable[..., str | None]] = {
    torch.nn.functional.linear: _linear,
    torch.nn.functional.scaled_dot_product_attention: _attention,
    torch.lstm: _recurrent("LSTM"),
    torch.gru: _recurrent("GRU", linear_before_reset=1),
    torch.rnn_tanh: _recurrent("RNN", activations=["Tanh"]),
    torch.rnn_relu: _recurrent("RNN", activations=["Relu"]),
}
"""The rule of each of torch's functions that is said as a whole."""
