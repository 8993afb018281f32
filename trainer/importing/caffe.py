"""Caffe models: the `.prototxt` gives the graph, the `.caffemodel` the weights.

Caffe is no longer kept and has no wheel; its weights are one protobuf message of which
six fields count (caffe.proto: NetParameter, LayerParameter, BlobProto).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from trainer.importing import prototxt
from trainer.importing.caffe_layers import RULES, Drawn
from trainer.importing.errors import damaged, unfit, unknown_node
from trainer.importing.found import FoundNetwork
from trainer.importing.naming import listed
from trainer.importing.protobuf import Message, mapped
from trainer.importing.sketch import Sketch
from trainer.spec.network import INPUT

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.importing.found import Array
    from trainer.spec.shapes import Shape

LAYER, OLD_LAYER = 100, 2
INPUTS = frozenset({"Input", "Data", "MemoryData", "HDF5Data", "ImageData"})
TRAINING = frozenset(
    [
        "SoftmaxWithLoss",
        "Accuracy",
        "EuclideanLoss",
        "SigmoidCrossEntropyLoss",
        "HingeLoss",
        "ContrastiveLoss",
        "Silence",
    ]
)
"""Layers of training only: nothing is predicted by them."""


@dataclass
class CaffeLayer:
    """One layer of the prototxt."""

    name: str
    kind: str
    bottoms: list[str]
    tops: list[str]
    fields: prototxt.Message = field(default_factory=dict)


def read(
    weights: Path, text: Path, output: str | None, *, keeps_ending: bool
) -> FoundNetwork:
    """Return the network of a Caffe model up to the layer or blob called `output`."""
    try:
        described = prototxt.parse(text.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise damaged("the prototxt", str(error)) from error
    entries = list(_entries(described))
    given, shape = _input(described, entries)
    blobs = _blobs(weights)
    drawn = Drawn(Sketch(shape), {given: INPUT}, blobs)
    steps = [e for e in entries if e.kind not in INPUTS | TRAINING]
    last = _wanted(steps, output)
    for entry in _needed(steps, last):
        rule = RULES.get(entry.kind)
        if rule is None:
            raise unknown_node(entry.kind, entry.name)
        try:
            ours = rule(drawn, entry.name, entry.fields, entry.bottoms)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise damaged(f"the layer {entry.name!r}", repr(error)) from error
        for top in entry.tops:
            drawn.values[top] = ours
    found = drawn.values[last.tops[0]]
    if found == INPUT:
        raise unfit("no_layers", f"nothing lies between the input and {last.name!r}")
    ending = drawn.sketch.finish(found, keeps_ending=keeps_ending)
    return FoundNetwork(
        format="caffe",
        input_shape=shape,
        layers=drawn.sketch.layers,
        tensors=drawn.sketch.tensors,
        origins=drawn.sketch.origins,
        ending=ending,
        notes=drawn.notes,
        shapes={name: a.shape for held in blobs.values() for a, name in held},
    )


def _entries(described: prototxt.Message) -> Any:
    """Yield the layers that predict; those of the training phase are left out."""
    layers = described.get("layer") or described.get("layers") or []
    if not layers:
        raise damaged("the prototxt", "it has no layers")
    for layer in layers:
        if not isinstance(layer, dict):
            raise damaged("the prototxt", "a layer is no message")
        phases = [p for i in layer.get("include", []) for p in i.get("phase", [])]
        if phases and "TEST" not in phases:
            continue
        kind = str(_last(layer, "type", ""))
        yield CaffeLayer(
            name=str(_last(layer, "name", kind)),
            kind=OLD_KINDS.get(kind, kind),
            bottoms=[str(b) for b in layer.get("bottom", [])],
            tops=[str(t) for t in layer.get("top", [])],
            fields=layer,
        )


OLD_KINDS = {
    "CONVOLUTION": "Convolution",
    "INNER_PRODUCT": "InnerProduct",
    "RELU": "ReLU",
    "POOLING": "Pooling",
    "SOFTMAX": "Softmax",
    "CONCAT": "Concat",
    "ELTWISE": "Eltwise",
    "DROPOUT": "Dropout",
    "SIGMOID": "Sigmoid",
    "TANH": "TanH",
    "FLATTEN": "Flatten",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
}
"""The words of Caffe's first format."""


def _last(message: prototxt.Message, name: str, default: Any) -> Any:
    found = message.get(name) or [default]
    return found[-1]


def _input(described: prototxt.Message, entries: list[CaffeLayer]) -> tuple[str, Shape]:
    """Return the name of the input's blob and the shape of one example."""
    sizes: list[Any] = []
    name = str(_last(described, "input", ""))
    if name:
        sizes = described.get("input_dim", [])
        for shape in described.get("input_shape", []):
            sizes = shape.get("dim", [])
    for entry in entries:
        if entry.kind in INPUTS and entry.tops:
            name = entry.tops[0]
            for parameter in entry.fields.get("input_param", []):
                for shape in parameter.get("shape", []):
                    sizes = shape.get("dim", [])
    if not name or len(sizes) < 2 or not all(isinstance(s, int) for s in sizes):
        raise unfit(
            "open_input",
            "the prototxt does not say the shape of its input",
            "begin it with a layer of type Input, as for deployment",
        )
    shape = tuple(int(size) for size in sizes[1:])
    if min(shape) < 1:
        raise unfit("open_input", f"the input's shape {shape} is none")
    return name, shape


def _wanted(steps: list[CaffeLayer], output: str | None) -> CaffeLayer:
    """Return the layer that becomes the last."""
    if output is not None:
        for step in reversed(steps):
            if step.tops and output in {step.name, *step.tops}:
                return step
        raise unfit(
            "unknown_output",
            f"the prototxt has no layer or blob {output!r}; its last are "
            f"{listed([step.name for step in steps][-12:])}",
            pointer="/output",
        )
    ends = [
        step
        for number, step in enumerate(steps, 1)
        if step.tops
        and not any(set(step.tops) & set(later.bottoms) for later in steps[number:])
    ]
    if len(ends) != 1:
        raise unfit(
            "several_outputs",
            f"the model has the outputs {listed(e.name for e in ends)}; "
            "a model here has one",
            "name one of them, or a layer below them, in `output`",
            pointer="/output",
        )
    return ends[0]


def _needed(steps: list[CaffeLayer], last: CaffeLayer) -> list[CaffeLayer]:
    """Return the layers that one depends on, in order; blobs may be overwritten."""
    upto = steps[: steps.index(last) + 1]
    wanted = set(last.tops)
    found = []
    for step in reversed(upto):
        if wanted & set(step.tops):
            found.append(step)
            wanted |= set(step.bottoms)
    return found[::-1]


def _blobs(path: Path) -> dict[str, list[tuple[Array, str]]]:
    """Return each layer's arrays, by its name."""
    message = Message(mapped(path))
    found = {}
    for layers, name, blobs in ((LAYER, 1, 7), (OLD_LAYER, 4, 6)):
        for layer in message.messages(layers):
            held = layer.messages(blobs)
            title = layer.text(name)
            if held:
                found[title] = [
                    (_blob(blob, title), f"{title}/{number}")
                    for number, blob in enumerate(held)
                ]
    if not found:
        raise damaged("the caffemodel", "it holds no weights")
    return found


def _blob(blob: Message, layer: str) -> Array:
    """Return one array, its declared shape held against its numbers."""
    numbers = blob.reals(5)
    stated = blob.message(7)
    shape = tuple(stated.numbers(1)) if stated is not None else ()
    if stated is None and any(f in blob for f in (1, 2, 3, 4)):
        shape = tuple(blob.number(f, 1) for f in (1, 2, 3, 4))
    if min((0, *shape)) < 0 or prod(shape) != len(numbers):
        raise damaged(
            f"the layer {layer!r}",
            f"{list(shape)} is declared, {len(numbers):,} numbers are there",
        )
    return numbers.reshape(shape)
