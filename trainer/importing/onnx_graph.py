"""An ONNX graph on its way into our own words, one operator at a time.

Only what the wanted output depends on through its data is looked at; the little
calculations of shapes that exporters leave are answered by ONNX's shape inference.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.importing.errors import damaged, unfit, unknown_node
from trainer.importing.naming import taken_apart
from trainer.importing.onnx_shapes import RULES as CALCULATIONS
from trainer.importing.onnx_shapes import computed
from trainer.importing.sketch import Sketch
from trainer.spec.network import INPUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.importing.found import Array, Scaling
    from trainer.spec.shapes import Shape

FIRST_IS_DATA = frozenset(
    [
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Dropout",
        "Clip",
        "Pad",
        "ReduceMean",
        "Conv",
        "Gemm",
        "MatMul",
        "BatchNormalization",
        "PRelu",
    ]
)
"""Operators whose other inputs are weights, sizes or bounds."""


class Node:
    """One operator, with what its attributes say."""

    def __init__(self, proto: Any) -> None:
        """Read the attributes; graphs among them were refused before."""
        self.kind = str(proto.op_type)
        self.inputs = [str(name) for name in proto.input]
        self.outputs = [str(name) for name in proto.output]
        self.own_name = str(proto.name)
        self.attributes = {str(a.name): _attribute(a) for a in proto.attribute}

    def get(self, name: str, default: Any) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)


def _attribute(proto: Any) -> Any:
    readers: dict[int, Callable[[], Any]] = {
        1: lambda: float(f"{proto.f:.7g}"),  # the decimal that was meant
        2: lambda: int(proto.i),
        3: lambda: bytes(proto.s).decode(errors="replace"),
        4: lambda: _array(proto.t),
        6: lambda: [float(v) for v in proto.floats],
        7: lambda: [int(v) for v in proto.ints],
    }
    return readers.get(proto.type, lambda: None)()


def _array(tensor: Any) -> Array:
    from onnx import numpy_helper  # noqa: PLC0415 - an optional library

    if min((0, *tensor.dims)) < 0:
        raise damaged(f"the tensor {tensor.name!r}", "a size is negative")
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError) as error:
        raise damaged(f"the tensor {tensor.name!r}", str(error)) from error


class Translation:
    """An ONNX graph on its way to a sketch."""

    def __init__(
        self, graph: Any, given: str, shape: Shape, shapes: Mapping[str, Shape]
    ) -> None:
        """Index the graph; `shapes` are those of values for one example."""
        self.sketch = Sketch(shape)
        self.shapes = shapes
        self.notes: list[str] = []
        self.scaling: Scaling | None = None
        self._scaled = given
        self.nodes = [Node(proto) for proto in graph.node]
        self.made_by = {v: node for node in self.nodes for v in node.outputs if v}
        self._initial = {str(tensor.name): tensor for tensor in graph.initializer}
        self._constants: dict[str, Array] = {}
        self._values = {given: INPUT}
        self._users: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                self._users.setdefault(name, []).append(node)

    def value_named(self, name: str) -> str | None:
        """Return the value that a value's, node's or layer's name means."""
        if name in self.made_by:
            return name
        for node in self.nodes:
            if name in {node.own_name, self.name_of(node)} and node.outputs:
                return node.outputs[0]
        return None

    def name_of(self, node: Node) -> str:
        """Return what a node's layer is called: by its weights, if it has any."""
        for name in node.inputs[1:2]:
            if name in self._initial and (group := taken_apart(name).group) != name:
                return group.replace(".", "_")
        return node.own_name or f"{node.kind.lower()}_{node.outputs[0]}"

    def up_to(self, value: str, rules: Mapping[str, Rule]) -> str:
        """Translate everything a value depends on; return its layer's name."""
        for node in self._needed(value):
            if node.outputs[0] not in self._values:
                self._values[node.outputs[0]] = self._translated(node, rules)
        if value not in self._values or self._values[value] == INPUT:
            raise unfit("no_layers", f"nothing lies between the input and {value!r}")
        return self._values[value]

    def _needed(self, value: str) -> list[Node]:
        """Return the nodes that a value depends on through its data, in order."""
        found: set[int] = set()
        waiting = [value]
        while waiting:
            node = self.made_by.get(waiting.pop())
            if node is None or id(node) in found or node.kind == "Constant":
                continue
            found.add(id(node))
            only_first = node.kind in FIRST_IS_DATA
            waiting += node.inputs[:1] if only_first else node.inputs
        return [node for node in self.nodes if id(node) in found]

    def _translated(self, node: Node, rules: Mapping[str, Rule]) -> str:
        rule = rules.get(node.kind)
        if rule is None:
            raise unknown_node(node.kind, self.name_of(node))
        return rule(self, node)

    def constant(self, name: str) -> Array | None:
        """Return the array behind a name, if it is a constant."""
        if name in self._constants:
            return self._constants[name]
        node = self.made_by.get(name)
        if name in self._initial:
            self._constants[name] = _array(self._initial[name])
        elif node is not None and (found := self._computed(node)) is not None:
            self._constants[name] = found
        return self._constants.get(name)

    def _computed(self, node: Node) -> Array | None:
        """Return what a node comes to, if it is a constant or calculates a shape."""
        if node.kind == "Constant":
            return np.asarray(node.get("value", np.zeros(0)))
        if node.kind == "Shape":
            ours = self._values.get(node.inputs[0])
            theirs = self.shapes.get(node.inputs[0])
            if theirs is None and ours is not None:
                theirs = (1, *self.sketch.shape(ours))
            return None if theirs is None else np.array(theirs, np.int64)
        if node.kind not in CALCULATIONS:
            return None
        found = [self.constant(name) for name in node.inputs]
        known = [array for array in found if array is not None]
        if len(known) < len(found):
            return None
        return computed(node.kind, node.get, known)

    def laid_out(self, node: Node, shape: Shape) -> Shape | None:
        """Return the shape that a node makes of one example's, the batch included."""
        if node.outputs[0] in self.shapes:
            return self.shapes[node.outputs[0]]
        sizes = self.constant(node.inputs[1]) if node.kind == "Reshape" else None
        if sizes is None:
            return None
        given = (1, *shape)
        wanted = [
            given[axis] if size == 0 and axis < len(given) else int(size)
            for axis, size in enumerate(sizes.tolist())
        ]
        known = prod(size for size in wanted if size != -1)
        return tuple(prod(given) // max(known, 1) if s == -1 else s for s in wanted)

    def weights(self, node: Node, position: int) -> tuple[Array, str] | None:
        """Return the constant at an input, as float32, with its name."""
        if position >= len(node.inputs) or not node.inputs[position]:
            return None
        name = node.inputs[position]
        found = self.constant(name)
        if found is None:
            raise unknown_node(node.kind, self.name_of(node), "computes its weights")
        return found.astype(np.float32), name

    def data(self, node: Node, position: int = 0, *, loose: bool = False) -> str:
        """Return the layer behind an input, in the shape that the source gives it.

        A `loose` node does not mind the shape: it lays the numbers out anew.
        """
        name = node.inputs[position]
        if name not in self._values:
            what = "takes a constant" if self.constant(name) is not None else "is cut"
            raise unknown_node(node.kind, self.name_of(node), what)
        ours, theirs = self._values[name], self.shapes.get(name)
        shape = self.sketch.shape(ours)
        if loose or theirs is None or theirs[1:] == shape:
            return ours
        if theirs[0] != 1 or prod(theirs) != prod(shape):
            raise unknown_node(node.kind, self.name_of(node), f"is given {theirs}")
        fields = {"shape": list(theirs[1:])}
        return self.sketch.add("reshape", f"{name}_shape", [ours], fields)

    def scaled_input(self, node: Node) -> str | None:
        """Take a constant factor or summand at the input as the file's preprocessing.

        Only while nothing else has taken the raw input, else it is a layer of its own.
        """
        places = [i for i, name in enumerate(node.inputs) if name == self._scaled]
        if len(places) != 1 or self.only_user(self._scaled) is not node:
            return None
        constant = self.constant(node.inputs[1 - places[0]])
        if constant is None or constant.ndim > len(self.sketch.shape(INPUT)) + 1:
            return None
        value = constant.astype(np.float64)
        while value.ndim > len(self.sketch.shape(INPUT)):
            if len(value) != 1:
                return None
            value = value[0]
        scale, offset = self.scaling or (1.0, 0.0)
        second = places[0] == 0
        if node.kind == "Mul":
            scale, offset = scale * value, offset * value
        elif node.kind == "Div" and second:
            scale, offset = scale / value, offset / value
        elif node.kind == "Add":
            offset = offset + value
        elif node.kind == "Sub" and second:
            offset = offset - value
        else:
            return None
        self.scaling, self._scaled = (scale, offset), node.outputs[0]
        return INPUT

    def only_user(self, value: str) -> Node | None:
        """Return the one node that takes a value, if it is one."""
        users = self._users.get(value, [])
        return users[0] if len(users) == 1 else None

    def same_as(self, value: str, ours: str) -> None:
        """Note that a value of the source is a layer that is there already."""
        self._values[value] = ours


Rule = Callable[[Translation, Node], str]
"""What adds an operator to the sketch and returns its layer's name."""
