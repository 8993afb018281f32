"""A network's forward pass as an ONNX graph, recorded while torch computes it.

Every operator that torch runs on a small batch is translated by its rule. That knows
nothing of layers, so a new layer or activation needs no edit here, and takes a
fraction of a second where torch's own exporter takes several.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from trainer.export.functions import FUNCTIONS
from trainer.export.moves import MOVES, TYPES
from trainer.export.operators import RULES, TYPE_ONLY, Unsupported
from trainer.export.whole import WHOLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from trainer.network import Network

aten = torch.ops.aten
TYPED = {
    *MOVES,
    aten.clone.default,
    aten.view.default,
    aten._unsafe_view.default,  # noqa: SLF001 - torch's own name
}
"""Operators whose rules hold for whole numbers and truth values too."""
OPSET = 20
IR_VERSION = 10
INPUT = "input"
OUTPUT = "output"
LAYERS = "frostline.layers"
"""Key of the graph's metadata that says which value each layer gives, as JSON."""


class Graph:
    """Nodes and constants, and under which names tensors of torch are among them."""

    def __init__(self, network: nn.Module, x: Tensor) -> None:
        self.batch = len(x)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.traced: dict[int, str] = {id(x): INPUT}
        """Names of the tensors that depend on the input."""
        self.fixed: dict[int, str] = {}
        """Names of the constants that are in the graph."""
        self.words: dict[int, str] = {}
        """Names that constants would like to have."""
        self.kept: dict[str, Tensor] = {}
        """Constants that have such a name."""
        self.alive: list[object] = [x]
        """Every tensor that was named: the id of one that is gone is given again."""
        for tensors in (network.named_parameters(), network.named_buffers()):
            self.words |= {id(tensor): name for name, tensor in tensors}

    def node(self, kind: str, inputs: Sequence[str], attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        name = f"{kind.lower()}{len(self.nodes)}"
        node = helper.make_node(kind, list(inputs), [name], name=name, **attributes)
        self.nodes.append(node)
        return name

    def constant(self, array: np.ndarray[Any, Any], word: str = "constant") -> str:
        """Add a constant under a name that begins with `word`, and return the name."""
        name = word if word != "constant" else f"constant{len(self.initializers)}"
        whole = np.ascontiguousarray(array).reshape(array.shape)  # a number stays one
        tensor = numpy_helper.from_array(whole, name)
        self.initializers.append(tensor)
        return name

    def name(self, tensor: Tensor) -> str:
        """Return the name of a tensor; one that depends on no input is a constant."""
        known = self.traced.get(id(tensor)) or self.fixed.get(id(tensor))
        if known is not None:
            return known
        self.alive.append(tensor)
        word = self.words.get(id(tensor), "constant")
        name = self.fixed[id(tensor)] = self._kept(tensor.detach(), word)
        return name

    def _kept(self, tensor: Tensor, word: str) -> str:
        """Return the name of a constant; what two layers share is there once."""
        before = self.kept.get(word)
        if before is not None and torch.equal(before, tensor):
            return word
        name = self.constant(
            tensor.cpu().numpy(), word if before is None else "constant"
        )
        self.kept[name] = tensor
        return name

    def turned(self, weight: Tensor) -> str:
        """Return the name of a weight matrix with its axes exchanged."""
        turned = weight.t()
        self.suggest(turned, f"{self.words.get(id(weight), 'constant')}.t")
        return self.name(turned)

    def remember(self, out: Tensor, name: str) -> None:
        """Know `out`, which depends on the input, by its name."""
        self.traced[id(out)] = name
        self.alive.append(out)

    def suggest(self, out: Tensor, word: str) -> None:
        """Give `out` that name should it become a constant."""
        self.words[id(out)] = word
        self.alive.append(out)

    def model(self, shape: Sequence[int], output: Tensor) -> onnx.ModelProto:
        """Return the whole graph, for batches of any size."""
        name = self.traced.get(id(output))
        if name is None:
            raise Unsupported("an output that does not depend on the input")
        last = helper.make_node("Identity", [name], [OUTPUT], name=OUTPUT)
        given: list[str | int | None] = ["batch", *shape]
        answered: list[str | int | None] = ["batch", *output.shape[1:]]
        graph = helper.make_graph(
            [*self.nodes, last],
            "frostline",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, given)],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, answered)],
            self.initializers,
        )
        model: onnx.ModelProto = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="frostline",
        )
        return model


class Recorded:
    """One operator that torch has run, as its rule sees it."""

    def __init__(self, graph: Graph, func: Any, args: Any, kwargs: Any) -> None:
        self.graph, self.batch = graph, graph.batch
        schema = func._schema.arguments  # noqa: SLF001 - torch has no other way
        defaults = {each.name: each.default_value for each in schema}
        given = dict(zip(defaults, args, strict=False))
        self.arguments = {**defaults, **given, **kwargs}
        self.out: Tensor

    def __getitem__(self, argument: str) -> Any:
        return self._named(self.arguments[argument])

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Add a node with one output and return the output's name."""
        return self.graph.node(kind, inputs, attributes)

    def constant(self, value: object, dtype: type[np.generic] = np.float32) -> str:
        """Add a constant and return its name."""
        return self.graph.constant(np.asarray(value, dtype))

    def shape(self, argument: str) -> tuple[int, ...]:
        """Return the sizes of a tensor among the arguments."""
        return tuple(self.arguments[argument].shape)

    def tensors(self) -> list[Tensor]:
        """Return the tensors among the arguments, also those in lists."""
        found: list[Any] = []
        for value in self.arguments.values():
            found += value if isinstance(value, (list, tuple)) else [value]
        return [each for each in found if isinstance(each, torch.Tensor)]

    def _named(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self.graph.name(value)
        if isinstance(value, (list, tuple)):
            return [self._named(each) for each in value]
        return value


class Recorder(TorchDispatchMode):
    """Translates the operators that run inside it, while they run."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = graph
        self.asleep = False
        """Whether what runs is said already, by a rule for the whole of it."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare the import of torch's compiler, which takes two seconds."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: object, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.asleep:
            return result
        call = Recorded(self.graph, func, args, kwargs or {})
        tensors = call.tensors()
        out = result[0] if isinstance(result, tuple) else result
        depends = any(id(tensor) in self.graph.traced for tensor in tensors)
        if func in TYPE_ONLY or not depends:
            self._fold(func, tensors, out)
            return result
        rule = RULES.get(func) or FUNCTIONS.get(func) or MOVES.get(func)
        if rule is None or not isinstance(out, torch.Tensor):
            raise Unsupported(str(func))
        if out.dtype not in (TYPES if func in TYPED else {torch.float32}):
            raise Unsupported(f"{func} to {out.dtype}")
        call.out = out
        self.graph.remember(out, rule(call))
        return result

    def _fold(self, func: Any, tensors: Sequence[Tensor], out: Any) -> None:
        """Name what is computed of one constant after it: `hidden1.weight.t`."""
        word = self.graph.words.get(id(tensors[0])) if len(tensors) == 1 else None
        if word is not None and isinstance(out, torch.Tensor):
            self.graph.suggest(out, f"{word}.{func.overloadpacket.__name__}")


class GraphScribe:
    """The graph, as a rule for one of torch's functions sees it."""

    def __init__(self, graph: Graph) -> None:
        self.name, self.turned = graph.name, graph.turned
        self.graph = graph

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Add a node with one output and return the output's name."""
        return self.graph.node(kind, inputs, attributes)

    def constant(self, value: object, dtype: type[np.generic] = np.float32) -> str:
        """Add a constant and return its name."""
        return self.graph.constant(np.asarray(value, dtype))


class WholeFunctions(TorchFunctionMode):
    """Says functions that ONNX knows as a whole before torch takes them apart."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self, func: Any, types: object, args: Any = (), kwargs: Any = None
    ) -> Any:
        graph, given = self.recorder.graph, kwargs or {}
        rule = WHOLE.get(func)
        if rule is None or id(args[0]) not in graph.traced:
            return func(*args, **given)
        name = rule(GraphScribe(graph), *args, **given)
        if name is None:
            return func(*args, **given)
        self.recorder.asleep = True
        result = func(*args, **given)
        self.recorder.asleep = False
        graph.remember(result[0] if isinstance(result, tuple) else result, name)
        return result


def tell_layers(model: onnx.ModelProto, values: Mapping[str, str]) -> None:
    """Say in the graph's metadata which of its values each layer gives."""
    helper.set_model_props(model, {LAYERS: json.dumps(dict(values))})


def record(network: Network, x: Tensor) -> onnx.ModelProto:
    """Return the graph of a network in evaluation mode.

    `x` is a small batch of a size that no layer has.

    Raises:
        Unsupported: the network runs an operator that has no rule.
    """
    graph = Graph(network, x)
    recorder = Recorder(graph)
    with torch.no_grad(), recorder, WholeFunctions(recorder):
        values = network.values(x)
    model = graph.model(x.shape[1:], values[network.output])
    known = ((layer, graph.traced.get(id(out))) for layer, out in values.items())
    tell_layers(model, {layer: name for layer, name in known if name is not None})
    return model
