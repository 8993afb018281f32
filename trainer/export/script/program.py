"""The whole script: imports, classes, the network, rows in, answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.export.script.construction import rebuilt
from trainer.export.script.expressions import assigned, literal, rows_of
from trainer.export.script.forward import Forward, identifiers
from trainer.export.script.parts import LayerTexts
from trainer.export.script.rows import preprocessing_of, reads_rows
from trainer.export.script.sources import Sources
from trainer.saved.model_folder import PREPROCESSING, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trainer.export.script.parts import WrittenLayer
    from trainer.network import Network
    from trainer.preprocessing import Preprocessing

STANDARD = ("collections", "datetime", "functools", "json", "math", "sys", "typing")
INDENT = 8

ANSWERS = {
    "classification": (
        "the probability of each of CLASSES, (rows, classes)",
        "torch.softmax(outputs.double(), dim=1).numpy()",
    ),
    "multi_label": (
        "the probability of each of CLASSES, (rows, labels)",
        "torch.sigmoid(outputs.double()).numpy()",
    ),
}
PLAIN = ("the values that are predicted, (rows, values)", "outputs.numpy()")


def script_of(
    network: Network,
    preprocessing: Preprocessing | None = None,
    about: Mapping[str, Any] | None = None,
) -> str:
    """Return the script that rebuilds and loads a network.

    `about` is the model's description: its name, task and classes.

    Raises:
        CannotExport: a module cannot be written.
    """
    told = dict(about or {})
    again, constructions = rebuilt(network)
    sources = Sources()
    parts = LayerTexts(constructions, sources)
    words = identifiers(again.rows)
    written = {
        row.name: parts.of(again.layers[row.name], len(row.input_shape[0]))
        for row in again.rows
    }
    lines = Forward(words, written, sources).write(again.rows)
    body = [_network(again, words, written, lines, told), _load(again, words, written)]
    body += preprocessing_of(preprocessing, sources)
    if preprocessing is not None:
        body.append(_predict(told))
        if reads_rows(preprocessing):
            body.append(MAIN)
            sources.need("json", "")
            sources.need("sys", "")
    top = [_head(told), _imports(sources), _constants(told, again, words, written)]
    head = "\n\n".join(block for block in top if block)
    whole = [head, *sources.texts.values(), *body]
    return "\n\n\n".join(block.strip("\n") for block in whole if block) + "\n"


def _head(told: Mapping[str, Any]) -> str:
    called = f" `{told['name']}`" if told.get("name") else ""
    return f'''"""The network{called} in plain PyTorch, as Frostline has trained it.

It needs torch, numpy and safetensors, and the model's files {WEIGHTS} and
{PREPROCESSING} beside it.

    from network import load
    network = load("{WEIGHTS}")
"""

from __future__ import annotations'''


def _imports(sources: Sources) -> str:
    """Return the imports in their usual groups."""
    sources.need("torch", "")
    sources.need("torch", "Tensor", "nn")
    sources.need("safetensors.torch", "load_file")
    groups: list[list[str]] = [[], []]
    for module in sorted(sources.imports):
        names = sorted(name for name in sources.imports[module] if name)
        group = groups[module.split(".")[0] not in STANDARD]
        if "" in sources.imports[module]:
            group.append(
                "import numpy as np" if module == "numpy" else f"import {module}"
            )
        if names:
            line = f"from {module} import {', '.join(names)}"
            short = len(line) <= 88  # noqa: PLR2004 - a line
            inner = "".join(f"    {name},\n" for name in names)
            group.append(line if short else f"from {module} import (\n{inner})")
    ordered = [sorted(g, key=lambda line: line.startswith("from")) for g in groups]
    return "\n\n".join("\n".join(group) for group in ordered if group)


def _constants(
    told: Mapping[str, Any],
    network: Network,
    words: Mapping[str, str],
    parts: Mapping[str, WrittenLayer],
) -> str:
    lines = []
    if told.get("classes"):
        lines += rows_of("CLASSES", [literal(each) for each in told["classes"]])
    renamed = _renamed(network, words, parts)
    if renamed:
        pairs = [f'"{here}": "{there}"' for here, there in renamed.items()]
        lines += [*rows_of("TENSORS", pairs, "{}")]
        lines.append('"""Tensors that have another name here: here → in the file."""')
    return "\n".join(lines)


def _renamed(
    network: Network, words: Mapping[str, str], parts: Mapping[str, WrittenLayer]
) -> dict[str, str]:
    """Return the tensors whose names differ: name in the script → in the file."""
    found = {}
    for row in network.rows:
        moved = parts[row.name].renamed
        for name in network.layers[row.name].state_dict():
            here = f"{words[row.name]}.{moved.get(name, name)}"
            there = f"{row.name}.{name}"
            if here != there:
                found[here] = there
    return found


def _network(
    network: Network,
    words: Mapping[str, str],
    parts: Mapping[str, WrittenLayer],
    forward: Sequence[str],
    told: Mapping[str, Any],
) -> str:
    made: list[str] = []
    for row in network.rows:
        made += assigned(f"self.{words[row.name]}", parts[row.name].expression, INDENT)
    task = str(told.get("task") or "network").replace("_", " ")
    sizes = ", ".join(["batch", *map(str, network.shape)])
    outputs = ", ".join(["batch", *map(str, network.rows[-1].output_shape)])
    return "\n".join(
        [
            "class Network(nn.Module):",
            f'    """A {task} of {len(network.rows)} layers.',
            "",
            "    Shapes:",
            f"        input ({sizes}), after preprocessing; output ({outputs}), raw.",
            '    """',
            "",
            "    def __init__(self) -> None:",
            '        """Make the layers; `load` gives them their values."""',
            "        super().__init__()",
            *made,
            "",
            "    def forward(self, x: Tensor) -> Tensor:",
            '        """Return the outputs of a batch."""',
            *forward,
        ]
    )


def _load(
    network: Network, words: Mapping[str, str], parts: Mapping[str, WrittenLayer]
) -> str:
    renaming = [
        "    for here, there in TENSORS.items():",
        "        tensors[here] = tensors.pop(there)",
    ]
    return "\n".join(
        [
            f'def load(path: str = "{WEIGHTS}") -> Network:',
            '    """Return the trained network, ready to predict."""',
            "    network = Network()",
            "    tensors = load_file(path)",
            *(renaming if _renamed(network, words, parts) else []),
            "    network.load_state_dict(tensors)",
            "    return network.eval()",
        ]
    )


def _predict(told: Mapping[str, Any]) -> str:
    says, computed = ANSWERS.get(str(told.get("task")), PLAIN)
    return f'''@torch.no_grad()
def predict(network: Network, given: np.ndarray) -> np.ndarray:
    """Return {says}.

    `given` is the network's input, as `preprocess` makes it.
    """
    outputs = network(torch.from_numpy(given))
    return {computed}'''


MAIN = """if __name__ == "__main__":
    # python network.py < rows.json: a list of rows in, a list of answers out
    answers = predict(load(), preprocess(json.load(sys.stdin)))
    print(json.dumps(answers.tolist()))"""
