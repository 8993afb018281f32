"""Keras models, `.h5` and `.keras`, as a graph of our layers.

The description gives the graph; nothing in it is called. Keras keeps channels last and
kernels as (height, width, in, out); here channels come first, so what is flattened is
flattened in another order, and the dense layer behind it has its inputs put in ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.importing.errors import damaged, unfit, unknown_node
from trainer.importing.found import FoundNetwork, Weights
from trainer.importing.keras_layers import RULES
from trainer.importing.keras_placed import Placed
from trainer.importing.keras_weights import KerasFile
from trainer.importing.naming import listed
from trainer.importing.sketch import Sketch
from trainer.spec.network import INPUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trainer.spec.imports import ImportLimits

MODELS = frozenset({"Model", "Functional", "Sequential"})
OURS = ("keras", "tensorflow.keras", "tf_keras", "builtins")
IMAGE = 3


def read(
    path: Path,
    folder: Path,
    limits: ImportLimits,
    output: str | None,
    *,
    keeps_ending: bool,
) -> FoundNetwork | Weights:
    """Return the network of a Keras file up to the layer called `output`.

    A file of weights alone gives those: then the person's spec has the layers.
    """
    file = KerasFile(path, folder, limits)
    if not file.is_whole:
        return Weights(file.format, file.every(), ("tensorflow",))
    whole = file.config()
    kind = str(whole.get("class_name"))
    if kind not in MODELS:
        raise unfit("custom_code", f"the model is a {kind!r}, a class of its own")
    try:
        steps = list(_steps(kind, whole["config"]))
        ends = _ends(kind, whole["config"], steps)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise damaged("the model's description", repr(error)) from error
    last = _wanted(output, ends, [step.name for step in steps])
    arrays = file.arrays([(step.name, step.kind) for step in steps])
    shape, is_last = _input(steps)
    placed = Placed(Sketch(shape), arrays, channels_last=is_last)
    needed = _needed(steps, last)
    for step in steps:
        if step.name in needed and step.kind != "InputLayer":
            _add(placed, step)
    if placed.values[last] == INPUT:
        raise unfit("no_layers", f"nothing lies between the input and {last!r}")
    ending = placed.sketch.finish(placed.values[last], keeps_ending=keeps_ending)
    return FoundNetwork(
        format=file.format,
        input_shape=shape,
        layers=placed.sketch.layers,
        tensors=placed.sketch.tensors,
        origins=placed.sketch.origins,
        ending=ending,
        scaling=placed.scaling,
        notes=placed.notes,
        shapes={name: a.shape for held in arrays.values() for a, name in held},
    )


class Step:
    """One layer of the description."""

    def __init__(self, entry: Any, inputs: list[str]) -> None:
        """Take what is needed of an entry of `layers`."""
        self.kind = str(entry["class_name"])
        self.config: dict[str, Any] = dict(entry["config"])
        self.name = str(entry.get("name") or self.config["name"])
        self.inputs = inputs
        self.is_foreign = _is_foreign(entry)


def _is_foreign(entry: Any) -> bool:
    """Tell whether a layer's class comes from somewhere else than Keras."""
    module = str(entry.get("module") or "keras")
    registered = entry.get("registered_name")
    is_ours = module.startswith(OURS) and ".ops" not in module
    return not is_ours or bool(registered and ">" in str(registered))


def _steps(kind: str, config: Any) -> Iterator[Step]:
    """Yield the layers with the names of those they take."""
    if kind != "Sequential":
        for entry in config["layers"]:
            nodes = entry.get("inbound_nodes") or []
            if len(nodes) > 1:
                name = entry.get("name") or entry["config"]["name"]
                raise unknown_node(
                    str(entry["class_name"]), str(name), "is used at several places"
                )
            yield Step(entry, list(_taken(nodes)))
        return
    layers = config["layers"] if isinstance(config, dict) else config
    before: list[str] = []
    for entry in layers:
        inner = entry["config"]
        shape = inner.get("batch_input_shape") or inner.get("batch_shape")
        if not before and entry["class_name"] != "InputLayer":
            if shape is None:
                raise unfit("open_input", "the sequential model states no input shape")
            made = {"name": "input of the model", "batch_shape": shape}
            first = Step({"class_name": "InputLayer", "config": made}, [])
            yield first
            before = [first.name]
        step = Step(entry, before)
        yield step
        before = [step.name]


def _taken(nodes: Any) -> Iterator[str]:
    """Yield the names in a layer's inbound nodes, as Keras 2 or 3 writes them."""
    if isinstance(nodes, dict):
        history = nodes.get("keras_history") or (nodes.get("config") or {}).get(
            "keras_history"
        )
        if isinstance(history, list) and history:
            yield str(history[0])
            return
        for inner in (nodes.get("args"), nodes.get("kwargs")):
            yield from _taken(inner)
        for key, inner in nodes.items():
            if key not in {"args", "kwargs"} and isinstance(inner, dict):
                yield from _taken(inner)
    elif isinstance(nodes, list):
        is_place = (
            len(nodes) >= IMAGE
            and isinstance(nodes[0], str)
            and isinstance(nodes[1], int)
        )
        if is_place:
            yield str(nodes[0])
            return
        for inner in nodes:
            yield from _taken(inner)


def _ends(kind: str, config: Any, steps: list[Step]) -> list[str]:
    if kind == "Sequential":
        return [steps[-1].name]
    return list(_taken(config["output_layers"]))


def _wanted(output: str | None, ends: list[str], names: list[str]) -> str:
    if output is not None:
        if output not in names:
            raise unfit(
                "unknown_output",
                f"the model has no layer {output!r}; its last are "
                f"{listed(names[-12:])}",
                pointer="/output",
            )
        return output
    if len(ends) != 1:
        raise unfit(
            "several_outputs",
            f"the model has the outputs {listed(ends)}; a model here has one",
            "name one of them, or a layer below them, in `output`",
            pointer="/output",
        )
    return ends[0]


def _needed(steps: list[Step], last: str) -> set[str]:
    needed = {last}
    for step in reversed(steps):
        if step.name in needed:
            needed.update(step.inputs)
    return needed


def _input(steps: list[Step]) -> tuple[tuple[int, ...], bool]:
    """Return the input's shape, channels first, and whether Keras has them last."""
    inputs = [step for step in steps if step.kind == "InputLayer"]
    if len(inputs) != 1:
        raise unfit("several_inputs", f"the model has {len(inputs)} inputs, not one")
    config = inputs[0].config
    shape = config.get("batch_shape") or config.get("batch_input_shape") or []
    sizes = list(shape)[1:]
    if not sizes or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise unfit(
            "open_input",
            f"the model's input {sizes} has open sizes",
            "save the model with a fixed input shape; only the batch may be open",
        )
    formats = {step.config.get("data_format") for step in steps} - {None}
    if len(formats) > 1:
        raise unfit("mixed_formats", f"the layers' data formats differ: {formats}")
    is_last = formats != {"channels_first"}
    if len(sizes) == IMAGE and is_last:
        return (sizes[2], sizes[0], sizes[1]), True
    return tuple(sizes), is_last


def _add(placed: Placed, step: Step) -> None:
    """Add one layer, if it is one that is known and has no code of its own."""
    if step.kind in {"Lambda", "TFOpLambda"}:
        raise unfit(
            "custom_code",
            f"the layer {step.name!r} is a Lambda: its function is code, which is "
            "never run here",
            "replace it by layers of Keras, or import up to the layer before it",
        )
    rule = None if step.is_foreign else RULES.get(step.kind)
    if rule is None:
        why = (
            "is no layer of Keras itself: its code is not run"
            if step.is_foreign
            else ""
        )
        raise unknown_node(step.kind, step.name, why)
    try:
        placed.values[step.name] = rule(placed, step.name, step.config, step.inputs)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise damaged(f"the layer {step.name!r}", repr(error)) from error
