"""Recurrent layers and attention as Keras has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.export.keras_model.tails import numbers

if TYPE_CHECKING:
    from trainer.export.keras_model.drawing import Array, Arrays, Drawing, Value
    from trainer.export.keras_model.layers import LayerFacts, Rules

CLASSES = {"simple_rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}
RESET, UPDATE, NEW = range(3)


def _recurrent(drawing: Drawing, told: LayerFacts) -> Value:
    layer, module = told.layer, told.module
    kind = CLASSES[layer.kind]
    config: dict[str, Any] = {
        "units": layer.units,
        "return_sequences": layer.return_sequences,
        "dropout": layer.dropout,
        "activation": "tanh",
    }
    if layer.kind == "simple_rnn":
        config["activation"] = layer.activation
    elif layer.kind == "gru":
        config["reset_after"] = True
    own = _arrays(kind, module.forwards)
    if module.backwards is None:
        cell: Arrays = {"cell": own}
        return drawing.add(kind, told.name, [told.value], told.shape, config, cell)
    inner = {
        "module": "keras.layers",
        "class_name": kind,
        "config": {"name": f"forward_{told.name}", "dtype": "float32"} | config,
        "registered_name": None,
    }
    both: Arrays = {
        "forward_layer/cell": own,
        "backward_layer/cell": _arrays(kind, module.backwards),
    }
    told_of = {"merge_mode": "concat", "layer": inner}
    return drawing.add(
        "Bidirectional", told.name, [told.value], told.shape, told_of, both
    )


def _arrays(kind: str, part: Any) -> list[Array]:
    """Return kernel, recurrent kernel and bias, with the gates in Keras' order.

    The order is ours but for a GRU, whose update gate comes first and whose two biases
    stay apart.
    """
    kernel, recurrent = numbers(part.weight_ih_l0).T, numbers(part.weight_hh_l0).T
    biases = [numbers(part.bias_ih_l0), numbers(part.bias_hh_l0)]
    if kind != "GRU":
        return [kernel, recurrent, biases[0] + biases[1]]
    return [_regated(each) for each in (kernel, recurrent, np.stack(biases))]


def _regated(array: Array) -> Array:
    gates = np.split(array, 3, axis=-1)
    return np.concatenate([gates[g] for g in (UPDATE, RESET, NEW)], axis=-1)


def _attention(drawing: Drawing, told: LayerFacts) -> Value:
    module = told.module
    heads, size = module.heads, module.key_size
    arrays: Arrays = {}
    for part in ("query", "key", "value"):
        each = getattr(module, part)
        weight = numbers(each.weight).T
        arrays[f"{part}_dense"] = [
            weight.reshape(-1, heads, size),
            numbers(each.bias).reshape(heads, size),
        ]
    out = numbers(module.output.weight).T
    arrays["output_dense"] = [
        out.reshape(heads, size, -1),
        numbers(module.output.bias),
    ]
    queries = told.inputs[0]
    values = told.inputs[min(1, len(told.inputs) - 1)]
    given = [queries, values, *told.inputs[2:]]
    config = {
        "num_heads": heads,
        "key_dim": size,
        "value_dim": size,
        "dropout": told.layer.dropout,
    }
    return drawing.add(
        "MultiHeadAttention",
        told.name,
        given,
        told.shape,
        config,
        arrays,
        options={"use_causal_mask": True} if module.causal else {},
        apart=True,
    )


SEQUENCE_RULES: Rules = {
    "simple_rnn": _recurrent,
    "gru": _recurrent,
    "lstm": _recurrent,
    "multi_head_attention": _attention,
}
