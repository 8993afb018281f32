"""Activation functions in ONNX's operators, without torch."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.spec.axes import features_axis

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.importing.graph_writer import Writer
    from trainer.spec.shapes import Shape


def active(w: Writer, function: Any, name: str, shape: Shape, x: str) -> str | None:
    """Return an activation of `x`; None for one that is not known here.

    `name` is what the tensors of a function that learns are called.
    """
    kind = function.kind
    if kind in {"none", "linear"}:
        return x
    if kind in PLAIN:
        return w.node(PLAIN[kind], x)
    if kind in {"softmax", "log_softmax"}:
        operator = "Softmax" if kind == "softmax" else "LogSoftmax"
        return w.node(operator, x, axis=features_axis(shape) + 1)
    if kind == "prelu":
        return _prelu(w, name, shape, x)
    rule = RULES.get(kind)
    return None if rule is None else rule(w, function, x)


def _prelu(w: Writer, name: str, shape: Shape, x: str) -> str:
    slope = w.tensors[f"{name}.weight"]
    axis = features_axis(shape)
    laid = [slope.size if place == axis else 1 for place in range(len(shape))]
    return w.node("PRelu", x, w.constant(np.asarray(slope).reshape(laid)))


def _gelu(w: Writer, function: Any, x: str) -> str:
    bent = w.node("Erf", w.node("Mul", x, w.constant(1 / sqrt(2))))
    share = w.node("Mul", w.node("Add", bent, w.constant(1.0)), w.constant(0.5))
    return w.node("Mul", x, share)


def _silu(w: Writer, function: Any, x: str) -> str:
    return w.node("Mul", x, w.node("Sigmoid", x))


def _clip(low: float, high: float) -> Callable[[Writer, Any, str], str]:
    return lambda w, _, x: w.node("Clip", x, w.constant(low), w.constant(high))


RULES: dict[str, Callable[[Any, Any, str], str]] = {
    "celu": lambda w, f, x: w.node("Celu", x, alpha=f.alpha),
    "elu": lambda w, f, x: w.node("Elu", x, alpha=f.alpha),
    "gelu": _gelu,
    "hard_sigmoid": lambda w, _, x: w.node("HardSigmoid", x, alpha=1 / 6, beta=0.5),
    "hard_tanh": _clip(-1.0, 1.0),
    "leaky_relu": lambda w, f, x: w.node("LeakyRelu", x, alpha=f.negative_slope),
    "relu6": _clip(0.0, 6.0),
    "silu": _silu,
}

PLAIN = {
    "hard_swish": "HardSwish",
    "mish": "Mish",
    "relu": "Relu",
    "selu": "Selu",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
}
