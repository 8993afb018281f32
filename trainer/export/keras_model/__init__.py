"""A network as a model that Keras 3 loads: `keras.saving.load_model("model.keras")`.

The archive has the graph and the weights in Keras' layouts, images with their channels
last. A layer's normalisation, activation and dropout are layers of their own there. The
input is the network's; pixels are divided by 255 in the model itself. Layers without a
twin in Keras are refused by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.export.errors import CannotExport
from trainer.export.keras_model.archive import save
from trainer.export.keras_model.checked import checked
from trainer.export.keras_model.drawing import Drawing, Value
from trainer.export.keras_model.layers import RULES, LayerFacts
from trainer.export.keras_model.sequences import SEQUENCE_RULES
from trainer.export.keras_model.tails import FORM
from trainer.spec.exports import NO_KERAS_TWIN
from trainer.spec.network import INPUT

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.export.compared import Compared
    from trainer.export.opened import Opened
    from trainer.network import Network

EVERY_RULE = RULES | SEQUENCE_RULES
ELEMENTWISE = frozenset(
    {"activation", "alpha_dropout", "dropout", "gaussian_dropout", "gaussian_noise"}
)
"""Kinds that look at each number alone, whatever its place."""
PIXELS = 1 / 255


def write(opened: Opened, path: Path) -> Compared:
    """Write the archive and compare what can be read back of it.

    Raises:
        CannotExport: Keras has no twin for something in the network.
        ExportWrong: the archive, read back, answers something else.
    """
    only_divides = opened.preprocessing.only_divides
    drawing, output = drawn(opened.network, raw_pixels=only_divides)
    save(drawing, output, str(opened.description.get("name") or "network"), path)
    return checked(opened, path, drawing, raw_pixels=only_divides)


def drawn(network: Network, *, raw_pixels: bool = False) -> tuple[Drawing, Value]:
    """Return the model as Keras has it, and its output.

    Raises:
        CannotExport: Keras has no twin for a layer.
    """
    drawing = Drawing(network.shape)
    drawing.turnable = turnable(network)
    values = {INPUT: drawing.input}
    if raw_pixels:
        told = {"scale": PIXELS, "offset": 0.0}
        shape = network.shape
        values[INPUT] = drawing.add("Rescaling", "pixels", [drawing.input], shape, told)
    for row, layer in zip(network.rows, network.spec.layers, strict=True):
        what = f"the layer {row.name!r}"
        rule = EVERY_RULE.get(row.kind)
        if rule is None:
            why = NO_KERAS_TWIN.get(row.kind, f"Keras has no twin of {row.kind}")
            raise CannotExport(FORM, what, why)
        if any(row.masks):
            why = "it leaves out steps that are padding, which Keras does otherwise"
            raise CannotExport(FORM, what, why)
        inputs = tuple(values[name] for name in row.inputs)
        module = network.layers[row.name]
        values[row.name] = rule(drawing, LayerFacts(row, layer, module, inputs))
    return drawing, values[network.output]


def turnable(network: Network) -> frozenset[str]:
    """Return the flattening layers after which the order of numbers does not matter.

    Only dense layers, whose weights can be put in another order, take what they give,
    directly or through layers that look at each number alone.
    """
    kinds = {row.name: row.kind for row in network.rows}
    takers: dict[str, list[str]] = {}
    for row in network.rows:
        for name in row.inputs:
            takers.setdefault(name, []).append(row.name)

    def is_free(name: str) -> bool:
        return bool(takers.get(name)) and all(
            kinds[taker] == "dense" or (kinds[taker] in ELEMENTWISE and is_free(taker))
            for taker in takers[name]
        )

    flat = (row.name for row in network.rows if row.kind == "flatten")
    return frozenset(name for name in flat if is_free(name))
