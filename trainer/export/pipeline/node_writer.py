"""Nodes and constants of a graph under construction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

PREFIX = "frostline/"
"""Begins every name that is no person's: columns are called as they like."""
NETWORK = f"{PREFIX}network/"
"""Begins the names of the network that is put into the graph."""
ML = "ai.onnx.ml"

TYPES = {
    "float": TensorProto.FLOAT,
    "double": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}


class NodeWriter:
    """Writes nodes one after the other and names what they give."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._known: dict[tuple[str, str, tuple[int, ...], bytes], str] = {}

    def node(self, kind: str, *inputs: Any, domain: str = "", **attributes: Any) -> str:
        """Add a node; numbers and arrays among its inputs become constants."""
        names = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        name = f"{PREFIX}{kind.lower()}{len(self.nodes)}"
        made = helper.make_node(
            kind, names, [name], name=name, domain=domain, **attributes
        )
        self.nodes.append(made)
        return name

    def constant(self, value: Any) -> str:
        """Return the name of a constant; Python's numbers are of type double."""
        array = np.asarray(value)
        key = (array.dtype.str, str(array.dtype), array.shape, array.tobytes())
        if array.dtype.kind not in "OU" and key in self._known:
            return self._known[key]
        name = f"{PREFIX}constant{len(self.initializers)}"
        if array.dtype.kind in "OU":
            texts = [str(each).encode() for each in array.reshape(-1)]
            values: Any = texts
            tensor = helper.make_tensor(name, TensorProto.STRING, array.shape, values)
        else:
            tensor = numpy_helper.from_array(array, name)
        self.initializers.append(tensor)
        self._known[key] = name
        return name

    def cast(self, value: str, kind: str) -> str:
        """Return a value as another type."""
        return self.node("Cast", value, to=TYPES[kind])

    def reshaped(self, value: str, *shape: int) -> str:
        """Return a value in another shape."""
        return self.node("Reshape", value, np.array(shape, np.int64))

    def codes(self, value: str, codes: dict[str, int], otherwise: int) -> str:
        """Return the whole numbers that texts stand for."""
        return self.node(
            "LabelEncoder",
            value,
            domain=ML,
            keys_strings=list(codes),
            values_int64s=list(codes.values()),
            default_int64=otherwise,
        )

    def named(self, value: str, name: str) -> str:
        """Give a value another name."""
        self.nodes.append(helper.make_node("Identity", [value], [name], name=name))
        return name


def value_info(name: str, kind: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """Return the description of an input or output."""
    return helper.make_tensor_value_info(name, TYPES[kind], list(shape))
