"""The script of plain PyTorch: alone, it computes what the network computes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.trainer import test_layers_everywhere as everywhere
from tests.trainer.exported_models import trained
from tests.trainer.layers import made
from tests.trainer.networks import IMAGE, RESIDUAL, network
from tests.trainer.test_export import EVEN, EVERY_KIND
from trainer.errors import ExportWrong
from trainer.export.requested import write
from trainer.export.script.program import script_of
from trainer.network import Network
from trainer.spec.activations import Activation
from trainer.spec.base import variants
from trainer.spec.layers import Layer
from trainer.spec.normalizations import Normalization

RUN_ALL = """
import importlib.util, pathlib, sys
import numpy, torch
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    spec = importlib.util.spec_from_file_location("network", folder / "network.py")
    script = sys.modules["network"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made = script.load(str(folder / "weights.safetensors"))
    given = numpy.load(folder / "given.npz")
    with torch.no_grad():
        found = {name: made(torch.from_numpy(given[name])) for name in given}
    numpy.savez(folder / "found.npz", **{name: y.numpy() for name, y in found.items()})
assert not {"trainer", "frostline"} & {name.split(".")[0] for name in sys.modules}
"""
UNWRITTEN: set[str] = set()
"""Kinds of layers without script support: none so far."""


def of_kind(member: Any) -> str:
    return str(member.model_fields["kind"].default)


def of_batches(
    networks: Mapping[str, tuple[Network, Any]], folder: Path
) -> dict[str, Any]:
    """Run the scripts of networks in one Python without us; return what they answer."""
    for name, (net, rows) in networks.items():
        place = folder / name
        place.mkdir()
        (place / "network.py").write_text(script_of(net.eval()), encoding="utf-8")
        tensors = {
            tensor_name.removeprefix("layers."): tensor.contiguous()
            for tensor_name, tensor in net.state_dict().items()
        }
        save_file(tensors, place / "weights.safetensors")
        np.savez(place / "given.npz", rows=rows.numpy(), one=rows[:1].numpy())
    subprocess.run(
        [sys.executable, "-I", "-c", RUN_ALL, str(folder)], check=True, cwd=folder
    )
    found: dict[str, Any] = {}
    for name in networks:
        with np.load(folder / name / "found.npz") as archive:
            found[name] = {key: torch.from_numpy(archive[key]) for key in archive}
    return found


def compared(net: Network, rows: Any, tmp_path: Path) -> None:
    """Check that the script of a network computes what the network does."""
    found = of_batches({"only": (net, rows)}, tmp_path)["only"]

    _same(net, rows, found)


def _same(net: Network, rows: Any, found: Mapping[str, Any]) -> None:
    with torch.no_grad():
        torch.testing.assert_close(found["rows"], net(rows), rtol=0, atol=1e-6)
        torch.testing.assert_close(found["one"], net(rows[:1]), rtol=0, atol=1e-6)


SHAPES = {
    "residual": (RESIDUAL, IMAGE),
    "all of 2d": (EVERY_KIND, EVEN),
    "names": (
        [
            {"kind": "dense", "units": 4, "name": name}
            for name in ("class", "forward", "train", "3rd", "a-b", "a_b", "x", "len")
        ],
        (5,),
    ),
    "activations": (
        [
            {"kind": "dense", "units": 6},
            *(
                {"kind": "activation", "name": f"act-{of_kind(m)}"}
                | {"activation": of_kind(m)}
                for m in variants(Activation)
            ),
        ],
        (5,),
    ),
}


def _normalised(kind: str) -> list[dict[str, Any]]:
    """Return layers with every normalisation, at both of its places and alone."""
    names = [of_kind(member) for member in variants(Normalization)]
    within = [
        {"kind": kind, "filters": 4, "padding": "same", "normalization": name}
        | {"normalization_position": position}
        for name in names
        for position in ("before_activation", "after_activation")
    ]
    return within + [{"kind": f"{name}_normalization"} for name in names[1:]]


def _networks() -> dict[str, tuple[Network, Any]]:
    found = {
        name: (made(layers, shape).float().eval(), everywhere.rows(shape))
        for name, (shape, layers) in everywhere.NETWORKS.items()
    }
    shapes: dict[str, Any] = SHAPES | {
        "normalised images": (_normalised("conv2d"), (2, 6, 6)),
        "normalised sequences": (_normalised("conv1d"), (6, 4)),
    }
    for name, (layers, shape) in shapes.items():
        found[name] = (network(layers, shape).eval(), torch.randn(9, *shape))
    return found


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return every network with its rows and what its script answers."""
    networks = _networks()
    found = of_batches(networks, tmp_path_factory.mktemp("scripts"))
    return {name: (*networks[name], found[name]) for name in networks}


@pytest.mark.parametrize(
    "name",
    [*everywhere.NETWORKS, *SHAPES, "normalised images", "normalised sequences"],
)
def test_a_script_computes_what_the_network_computes(
    name: str, answers: dict[str, Any]
) -> None:
    _same(*answers[name])


def test_every_kind_of_layer_is_written_or_said_to_be_unwritten() -> None:
    kinds = {of_kind(member) for member in variants(Layer)}
    used = {
        layer["kind"] for _, layers in everywhere.NETWORKS.values() for layer in layers
    }
    here = {"activation", "batch_normalization", "global_average_pool2d"}
    tables = {"columns", "column_embedding"}  # the tables below have them
    normalizations = {f"{of_kind(n)}_normalization" for n in variants(Normalization)}

    assert kinds - used - here - tables - normalizations == UNWRITTEN


@pytest.mark.parametrize("name", ["attention", "convolutions of images", "tied"])
def test_a_script_imports_torch_numpy_and_safetensors_and_python(name: str) -> None:
    shape, layers = everywhere.NETWORKS[name]
    tree = ast.parse(script_of(made(layers, shape)))

    found = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    found |= {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }

    roots = {str(name).split(".")[0] for name in found}
    assert roots - sys.stdlib_module_names <= {"torch", "numpy", "safetensors"}


def test_a_script_trains_like_the_network() -> None:
    """Dropout and batch statistics work there, too: it is no frozen copy."""
    net = network([{"kind": "dense", "units": 30, "dropout": 0.5}], (5,))

    text = script_of(net)

    assert "dropout=nn.Dropout(0.5)" in text
    assert "nn.BatchNorm1d(30, eps=0.001, momentum=0.1)" in text


@pytest.mark.parametrize(
    "case",
    [
        "encoded table",
        "series",
        pytest.param("standardised images", marks=pytest.mark.slow),
        pytest.param("texts", marks=pytest.mark.slow),
    ],
)
def test_the_script_of_a_model_is_compared_on_its_own_data(
    case: str, tmp_path: Path
) -> None:
    model, data, _ = trained(tmp_path, case)

    written = write("pytorch_script", model, data)

    assert written.path == model / "network.py"
    assert written.maximum_difference <= 1e-6
    has_rows = case != "texts"  # which are not stored on the disk here
    assert bool(written.report["real_rows"]) == has_rows
    assert ("def preprocess(" in written.path.read_text()) == has_rows


def test_a_script_answers_rows_on_the_command_line(tmp_path: Path) -> None:
    model, data, _ = trained(tmp_path, "classes")
    script = write("pytorch_script", model, data).path
    row = dict.fromkeys(
        ["colour", "shop", "price", "area (m²)", "rooms", "new", "when", "sold"]
    )
    dated = row | {"when": "2024-02-29T12:00:00+02:00", "colour": "no such colour"}

    done = subprocess.run(
        [sys.executable, "-I", script.name],
        input=json.dumps([row, dated]),
        capture_output=True,
        text=True,
        check=True,
        cwd=model,
    )

    shares = np.array(json.loads(done.stdout))
    assert shares.shape == (2, 2)
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_a_script_that_answers_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data, _ = trained(tmp_path, "arrays")

    def wrong(network: Network, *about: Any) -> str:
        return script_of(network, *about).replace("nn.ELU(1.0)", "nn.ReLU()")

    monkeypatch.setattr("trainer.export.script.script_of", wrong)

    with pytest.raises(ExportWrong, match="differs"):
        write("pytorch_script", model, data)

    assert not list(model.glob("*network.py"))
