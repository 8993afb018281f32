"""Activations and normalisations as layers of Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from trainer.export.errors import CannotExport
from trainer.export.keras_model.drawing import IMAGE, Value
from trainer.modules.normalization import (
    FeaturesLastBatchNorm,
    GroupNorm,
    LayerNorm,
    RmsNorm,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.export.keras_model.drawing import Array, Drawing

FORM = "a Keras model"

NAMED = {
    "elu": "elu",
    "gelu": "gelu",
    "hard_sigmoid": "hard_sigmoid",
    "hard_swish": "hard_silu",
    "hard_tanh": "hard_tanh",
    "log_softmax": "log_softmax",
    "mish": "mish",
    "relu": "relu",
    "relu6": "relu6",
    "celu": "celu",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "softmax": "softmax",
    "softplus": "softplus",
    "softsign": "softsign",
    "tanh": "tanh",
}
"""Functions by the name that Keras gives them."""
LINEAR = frozenset({"none", "linear"})


def numbers(tensor: Any) -> Array:
    """Return a tensor's values as an array."""
    found: Array = tensor.detach().cpu().numpy()
    return found


def activated(
    drawing: Drawing, value: Value, name: str, activation: Any, module: nn.Module
) -> Value:
    """Add an activation after a value, and return what comes out.

    Raises:
        CannotExport: Keras has no such function.
    """
    kind = "none" if activation is None else str(activation.kind)
    if kind in LINEAR:
        return value
    rule = LAYERS.get(kind)
    if rule is not None:
        layer, config, arrays = rule(value, activation, module)
        found = drawing.add(layer, name, [value], value.shape, config, arrays)
    elif kind in NAMED and not (kind == "celu" and activation.alpha != 1):
        config = {"activation": NAMED[kind]}
        found = drawing.add("Activation", name, [value], value.shape, config)
    else:
        raise CannotExport(FORM, f"the activation of {name!r}", f"{kind} is not there")
    return Value(found.name, value.shape, value.image)


def _elu(_: Value, activation: Any, __: Any) -> tuple[str, dict[str, Any], list[Array]]:
    if activation.alpha == 1:
        return "Activation", {"activation": "elu"}, []
    return "ELU", {"alpha": activation.alpha}, []


def _leaky(
    _: Value, activation: Any, __: Any
) -> tuple[str, dict[str, Any], list[Array]]:
    return "LeakyReLU", {"negative_slope": activation.negative_slope}, []


def _rrelu(_: Value, __: Any, module: Any) -> tuple[str, dict[str, Any], list[Array]]:
    """Write the slope that it has when it predicts: Keras draws none."""
    return "LeakyReLU", {"negative_slope": (module.lower + module.upper) / 2}, []


def _prelu(
    value: Value, _: Any, module: Any
) -> tuple[str, dict[str, Any], list[Array]]:
    positions = list(range(1, len(value.shape)))
    slopes = numbers(module.weight)
    features = value.keras_shape[-1]
    laid = (slopes if len(slopes) == features else slopes.repeat(features)).reshape(
        *(1 for _ in positions), features
    )
    return "PReLU", {"shared_axes": positions or None}, [laid]


LAYERS: dict[str, Callable[..., tuple[str, dict[str, Any], list[Array]]]] = {
    "elu": _elu,
    "leaky_relu": _leaky,
    "rrelu": _rrelu,
    "prelu": _prelu,
}
"""Functions that are layers in Keras, with numbers of their own."""


def normalised(
    drawing: Drawing, value: Value, name: str, module: nn.Module | None
) -> Value:
    """Add a normalisation after a value, and return what comes out.

    Raises:
        CannotExport: Keras has no such normalisation.
    """
    if module is None:
        return value
    rule = NORMALIZATIONS.get(type(module))
    if rule is None:
        what = f"the normalisation {name!r}"
        raise CannotExport(FORM, what, f"{type(module).__name__} is not there")
    kind, config = rule(value, module, name)
    tensors = (module.weight, getattr(module, "bias", None))
    arrays = [numbers(each) for each in tensors if each is not None]
    if kind == "BatchNormalization":
        arrays += [numbers(module.running_mean), numbers(module.running_var)]
    axis = {"axis": -1}
    return drawing.add(kind, name, [value], value.shape, axis | config, arrays)


def _batch(_: Value, module: Any, __: str) -> tuple[str, dict[str, Any]]:
    told = {"momentum": round(1 - module.momentum, 12), "epsilon": module.eps}
    return "BatchNormalization", told


def _layer(_: Value, module: Any, __: str) -> tuple[str, dict[str, Any]]:
    epsilon = getattr(module, "epsilon", getattr(module, "eps", None))
    return "LayerNormalization", {"epsilon": epsilon}


def _group(_: Value, module: Any, __: str) -> tuple[str, dict[str, Any]]:
    return "GroupNormalization", {"groups": module.groups, "epsilon": module.epsilon}


def _rms(value: Value, module: Any, name: str) -> tuple[str, dict[str, Any]]:
    if len(value.shape) == IMAGE:
        why = "Keras has the root mean square of the last axis only, not of images"
        raise CannotExport(FORM, f"the normalisation {name!r}", why)
    return "RMSNormalization", {"epsilon": module.epsilon}


NORMALIZATIONS: dict[type, Callable[[Value, Any, str], tuple[str, dict[str, Any]]]] = {
    nn.BatchNorm1d: _batch,
    nn.BatchNorm2d: _batch,
    FeaturesLastBatchNorm: _batch,
    LayerNorm: _layer,
    GroupNorm: _group,
    RmsNorm: _rms,
}


def followed(
    drawing: Drawing, value: Value, name: str, layer: Any, module: Any
) -> Value:
    """Add what follows a layer's weights: normalisation, activation, dropout."""
    steps = [
        lambda x: normalised(drawing, x, f"{name}_normalization", module.normalization),
        lambda x: activated(
            drawing, x, f"{name}_activation", layer.activation, module.activation
        ),
    ]
    for step in reversed(steps) if module.activates_first else steps:
        value = step(value)
    return dropped(drawing, value, f"{name}_dropout", module.drop)


def dropped(drawing: Drawing, value: Value, name: str, module: Any) -> Value:
    """Add dropout after a value, if there is any."""
    if module is None or not module.p:
        return value
    found = drawing.add("Dropout", name, [value], value.shape, {"rate": module.p})
    return Value(found.name, value.shape, value.image)
