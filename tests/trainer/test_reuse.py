"""Layers of earlier models in a new network: what is taken, refused, adapted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.networks import CONVOLUTIONAL, DENSE, IMAGE, RESIDUAL, network
from trainer import frozen
from trainer.errors import FrozenMoved, ModelBroken, ReuseMismatch
from trainer.frozen import Frozen
from trainer.network import Network
from trainer.reuse import Loaded, load, source_of
from trainer.saved import model_folder
from trainer.spec.reuse import Match, Reuse, match


def catalogue(
    folder: Path, net: Network, classes: Sequence[int] = (0, 1, 2, 3)
) -> Path:
    """Write the network as a model folder."""
    description = {
        "name": "source",
        "classes": list(classes),
        "network": net.spec.model_dump(mode="json"),
        "preprocessing": {
            "shape": list(net.shape),
            "columns": [{"name": "pixels", "kind": "image"}],
        },
        "layers": [{"name": row.name, "kind": row.kind} for row in net.rows],
    }
    model_folder.write(folder, description, net.layers.state_dict(), {})
    return folder


def reused(
    net: Network,
    folder: Path,
    classes: Sequence[int] = (0, 1, 2, 3),
    **entry: Any,
) -> tuple[Loaded, list[Match]]:
    """Match the network with the model in the folder and load what fits."""
    wanted = Reuse.model_validate({"from": "source", **entry})
    matches, problems = match(
        [wanted], [source_of(folder, "mdl_1")], net.rows, tuple(classes)
    )
    assert problems == []
    return load(net, matches, [folder]), matches


def equal(net: Network, other: Network, layer: str) -> bool:
    ours, theirs = (n.layers[layer].state_dict() for n in (net, other))
    return all(torch.equal(ours[name], theirs[name]) for name in ours | theirs)


@pytest.mark.parametrize(
    ("layers", "pattern", "taken"),
    [
        (DENSE, "hidden[12]", {"hidden1", "hidden2"}),
        (CONVOLUTIONAL, "conv.*", {"conv1", "conv2"}),
        (RESIDUAL, {"glob": "block*"}, {"block1", "block2"}),
        (DENSE, 1, {"hidden1"}),
        (DENSE, ["hidden3"], {"hidden3"}),
        (DENSE, ".*", {"hidden1", "hidden2", "hidden3", "output"}),
    ],
)
def test_the_matched_layers_come_from_the_source_and_no_others(
    tmp_path: Path, layers: list[dict[str, Any]], pattern: Any, taken: set[str]
) -> None:
    source = network(layers, seed=8)
    folder = catalogue(tmp_path / "source", source)
    net, fresh = network(layers), network(layers)

    loaded, _ = reused(net, folder, layers=pattern)

    assert set(loaded.reused) == taken
    assert all(equal(net, source, name) for name in taken)
    rest = {row.name for row in net.rows} - taken
    assert set(loaded.new) == rest
    assert all(equal(net, fresh, name) for name in rest)


def test_buffers_come_with_their_layers(tmp_path: Path) -> None:
    source = network(DENSE, seed=8)
    folder = catalogue(tmp_path / "source", source)
    net = network(DENSE)

    reused(net, folder, layers="hidden1")

    statistics = "hidden1.normalization.running_var"
    assert torch.equal(
        net.layers.state_dict()[statistics], source.layers.state_dict()[statistics]
    )


def test_other_classes_make_a_new_output(tmp_path: Path) -> None:
    folder = catalogue(
        tmp_path / "source", network(DENSE, seed=8), classes=(5, 6, 7, 8)
    )
    net, fresh = network(DENSE), network(DENSE)

    loaded, _ = reused(net, folder, layers=".*")

    assert loaded.dropped == ("output",)
    assert "output" in loaded.new
    assert equal(net, fresh, "output")


def test_skipped_layers_stay_as_they_were_initialised(tmp_path: Path) -> None:
    wider = [DENSE[0], {**DENSE[1], "units": 20}, DENSE[2]]
    folder = catalogue(tmp_path / "source", network(wider, seed=8))
    net, fresh = network(DENSE), network(DENSE)

    loaded, _ = reused(net, folder, layers="hidden.*", on_mismatch="skip")

    assert loaded.reused == ("hidden1",)
    assert set(loaded.dropped) == {"hidden2", "hidden3"}
    assert equal(net, fresh, "hidden2")


@pytest.mark.parametrize(("theirs", "common"), [(4, 4), (9, 9), (30, 9)])
def test_adapted_layers_are_sliced_or_padded_with_fresh_units(
    tmp_path: Path, theirs: int, common: int
) -> None:
    source = network([DENSE[0], {**DENSE[1], "units": theirs}, DENSE[2]], seed=8)
    folder = catalogue(tmp_path / "source", source)
    net, fresh = network(DENSE), network(DENSE)

    loaded, _ = reused(net, folder, layers="hidden.*", on_mismatch="adapt")

    assert loaded.reused == ("hidden1", "hidden2", "hidden3")
    name = "hidden2.weight"
    ours, initial, from_source = (
        n.layers.state_dict()[name] for n in (net, fresh, source)
    )
    assert torch.equal(ours[:common], from_source[:common])
    assert torch.equal(ours[common:], initial[common:])
    name = "hidden3.weight"  # takes hidden2, so its columns are adapted
    ours, initial, from_source = (
        n.layers.state_dict()[name] for n in (net, fresh, source)
    )
    assert torch.equal(ours[:, :common], from_source[:, :common])
    assert torch.equal(ours[:, common:], initial[:, common:])


def test_several_sources_give_a_layer_each(tmp_path: Path) -> None:
    first, second = network(DENSE, seed=8), network(DENSE, seed=9)
    folders = [
        catalogue(tmp_path / "first", first),
        catalogue(tmp_path / "second", second),
    ]
    net = network(DENSE)
    entries = [
        Reuse.model_validate({"from": "a", "layers": "hidden1", "freeze": ".*"}),
        Reuse.model_validate({"from": "b", "layers": "hidden2"}),
    ]
    sources = [source_of(folder, folder.name) for folder in folders]
    matches, problems = match(entries, sources, net.rows, (0, 1, 2, 3))

    loaded = load(net, matches, folders)

    assert problems == []
    assert equal(net, first, "hidden1")
    assert equal(net, second, "hidden2")
    assert loaded.frozen == ("hidden1",)


def test_the_hashes_before_are_those_of_the_reused_layers_in_the_file(
    tmp_path: Path,
) -> None:
    folder = catalogue(tmp_path / "source", network(RESIDUAL, seed=8))
    net = network(RESIDUAL)

    loaded, _ = reused(net, folder, layers="block1", freeze="block1")

    of_file = model_folder.read(folder).hashes()
    assert loaded.frozen == ("block1",)
    assert loaded.before == {
        name: sha for name, sha in of_file.items() if name.startswith("block1.")
    }
    assert Frozen(net, loaded.frozen).hashes() == loaded.before


def registered(net: Network, folder: Path) -> dict[str, str]:
    """Register the network and read its hashes back from the file."""
    return model_folder.read(catalogue(folder, net)).hashes()


def test_one_altered_byte_of_a_frozen_tensor_fails_the_job(tmp_path: Path) -> None:
    folder = catalogue(tmp_path / "source", network(DENSE, seed=8))
    net = network(DENSE)
    loaded, _ = reused(net, folder, layers="hidden[12]", freeze="hidden[12]")
    weight = net.layers["hidden2"].get_parameter("weight")
    with torch.no_grad():
        weight.view(torch.int32)[3, 4] ^= 1

    with pytest.raises(FrozenMoved, match=r"'hidden2\.weight'"):
        frozen.proof(loaded.before, registered(net, tmp_path / "registered"))


def test_training_the_rest_leaves_a_proof_without_a_difference(tmp_path: Path) -> None:
    folder = catalogue(tmp_path / "source", network(DENSE, seed=8))
    net = network(DENSE)
    loaded, _ = reused(net, folder, layers="hidden[12]", freeze="hidden[12]")
    with torch.no_grad():
        net.layers["hidden3"].get_parameter("weight").mul_(2)

    lines = frozen.proof(loaded.before, registered(net, tmp_path / "registered"))

    assert len(lines) == 14
    assert all(line["before"] == line["after"] for line in lines)


def test_a_source_whose_file_was_altered_is_not_reused(tmp_path: Path) -> None:
    folder = catalogue(tmp_path / "source", network(DENSE, seed=8))
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)

    with pytest.raises(ModelBroken, match="not as described"):
        reused(network(DENSE), folder, layers=".*")


def test_a_match_table_that_does_not_hold_is_not_trusted(tmp_path: Path) -> None:
    wider = [{**DENSE[0], "units": 20}, *DENSE[1:]]
    folder = catalogue(tmp_path / "source", network(wider, seed=8))
    claim = Match("hidden1", "reused", source="mdl_1", entry=0)

    with pytest.raises(ReuseMismatch, match=r"'hidden1\.weight'.*\[20, 64\]"):
        load(network(DENSE), [claim], [folder])


def test_a_source_says_what_the_match_table_needs(tmp_path: Path) -> None:
    net = network(CONVOLUTIONAL)
    folder = catalogue(tmp_path / "source", net, classes=(5, 6, 7, 8))

    source = source_of(folder, "mdl_1")

    assert source.order == tuple(row.name for row in net.rows)
    assert source.classes == (5, 6, 7, 8)
    assert source.input_shape == IMAGE
    assert source.columns == (("pixels", "image"),)
    assert source.shapes == {
        row.name: {name: tensor.shape for name, tensor in row.tensors.items()}
        for row in net.rows
    }


def test_the_gates_of_a_recurrent_layer_are_adapted_each_by_itself(
    tmp_path: Path,
) -> None:
    wide, narrow = (
        [{"kind": "lstm", "name": "reader", "units": units}] for units in (5, 3)
    )
    source = network(wide, (6, 2), seed=8)
    net = network(narrow, (6, 2))

    reused(
        net,
        catalogue(tmp_path / "source", source),
        layers="reader",
        on_mismatch="adapt",
    )

    ours, theirs = (n.layers.state_dict() for n in (net, source))
    name = "reader.forwards.weight_hh_l0"
    gates = theirs[name].view(4, 5, 5)[:, :3, :3]
    assert torch.equal(ours[name].view(4, 3, 3), gates)
