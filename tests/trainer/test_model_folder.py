"""A model folder: complete or absent, checked, and without code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainer.errors import FolderTaken, ModelBroken
from trainer.saved import model_folder

DESCRIPTION: dict[str, Any] = {
    "name": "digits",
    "network": {"layers": []},
    "preprocessing": {"kind": "none"},
    "layers": [
        {"name": "hidden1", "kind": "dense"},
        {"name": "output", "kind": "dense"},
    ],
}


def some_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        "hidden1.weight": torch.randn(4, 3, generator=generator),
        "hidden1.normalization.num_batches_tracked": torch.tensor(7),
        "output.weight": torch.randn(2, 4, generator=generator),
        "output.bias": torch.zeros(2),
    }


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def written(folder: Path) -> dict[str, model_folder.File]:
    arrays = {"mean": np.arange(3, dtype=np.float32)}
    return model_folder.write(folder, DESCRIPTION, some_tensors(), arrays)


def test_what_is_read_is_bit_for_bit_what_was_written(tmp_path: Path) -> None:
    files = written(tmp_path / "model")

    model = model_folder.read(tmp_path / "model")

    assert model.verify() == files
    assert model.tensors().keys() == some_tensors().keys()
    assert all(torch.equal(model.tensors()[n], t) for n, t in some_tensors().items())
    assert model.preprocessing()["mean"].tolist() == [0, 1, 2]


def test_the_description_states_every_tensor_of_every_layer(tmp_path: Path) -> None:
    written(tmp_path / "model")

    layers = json.loads((tmp_path / "model" / "model.json").read_text())["layers"]

    assert [[t["name"] for t in layer["tensors"]] for layer in layers] == [
        ["hidden1.weight", "hidden1.normalization.num_batches_tracked"],
        ["output.weight", "output.bias"],
    ]
    assert layers[0]["tensors"][1]["dtype"] == "int64"
    assert layers[0]["tensors"][0]["shape"] == [4, 3]


def test_a_folder_is_never_overwritten(tmp_path: Path) -> None:
    first = written(tmp_path / "model")

    with pytest.raises(FolderTaken, match="exists already"):
        written(tmp_path / "model")

    assert model_folder.read(tmp_path / "model").verify() == first
    assert names_in(tmp_path) == ["model"]


def test_a_model_that_cannot_be_described_leaves_nothing(tmp_path: Path) -> None:
    stray = {**some_tensors(), "nowhere.weight": torch.zeros(1)}

    with pytest.raises(ModelBroken, match=r"'nowhere\.weight' belongs to no layer"):
        model_folder.write(tmp_path / "model", DESCRIPTION, stray, {})

    assert names_in(tmp_path) == []


def test_not_a_number_does_not_reach_the_description(tmp_path: Path) -> None:
    description = {**DESCRIPTION, "metrics": {"test_loss": float("nan")}}

    with pytest.raises(ValueError, match="JSON"):
        model_folder.write(tmp_path / "model", description, some_tensors(), {})

    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", ["weights.safetensors", "preprocessing.safetensors"])
def test_one_altered_byte_is_found(tmp_path: Path, name: str) -> None:
    written(tmp_path / "model")
    path = tmp_path / "model" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(ModelBroken, match="not as described"):
        model_folder.read(tmp_path / "model").verify()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"format": 1, "metrics": NaN}', "holds NaN"),
        ("[]", "not of format 1"),
        ('{"format": 2}', "not of format 1"),
        ('{"format": 1}', "lacks files, layers, network, preprocessing"),
        (
            (
                '{"format": 1, "layers": [{"name": "a"}], "files": {}, "network": {},'
                ' "preprocessing": {}}'
            ),
            "malformed",
        ),
    ],
)
def test_a_description_of_something_else_is_refused(
    tmp_path: Path, text: str, why: str
) -> None:
    (tmp_path / "model.json").write_text(text)

    with pytest.raises(ModelBroken, match=why):
        model_folder.read(tmp_path)


def test_an_oversized_description_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_folder, "DESCRIPTION_LIMIT", 10)
    (tmp_path / "model.json").write_text('{"format": 1}')

    with pytest.raises(ModelBroken, match="13 bytes, more than 10"):
        model_folder.read(tmp_path)


def test_a_pickle_in_place_of_the_weights_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "model")
    torch.save(some_tensors(), tmp_path / "model" / "weights.safetensors")

    with pytest.raises(ModelBroken, match=r"weights\.safetensors"):
        model_folder.read(tmp_path / "model").tensors()


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "model")
    weights = tmp_path / "model" / "weights.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ModelBroken, match="not an ordinary file"):
        model_folder.read(tmp_path / "model").tensors()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    written(tmp_path / "model")
    (tmp_path / "model" / "weights.safetensors").unlink()

    with pytest.raises(ModelBroken, match=r"weights\.safetensors cannot be read"):
        model_folder.read(tmp_path / "model").hashes()


def test_an_unknown_tensor_is_named(tmp_path: Path) -> None:
    written(tmp_path / "model")

    with pytest.raises(ModelBroken, match=r"hidden9\.weight"):
        model_folder.read(tmp_path / "model").tensors(["hidden9.weight"])


@pytest.mark.parametrize(
    "other",
    [
        torch.zeros(4, 1),
        torch.zeros(4, dtype=torch.float64),
        torch.tensor([0.0, 0.0, 0.0, -0.0]),
        torch.zeros(4, dtype=torch.int32),
    ],
)
def test_type_shape_and_sign_of_zero_are_in_the_hash(other: torch.Tensor) -> None:
    assert model_folder.tensor_sha256(other) != model_folder.tensor_sha256(
        torch.zeros(4)
    )


def test_the_hash_does_not_depend_on_strides() -> None:
    square = torch.arange(6.0).reshape(2, 3)

    assert model_folder.tensor_sha256(square.t().contiguous().t()) == (
        model_folder.tensor_sha256(square)
    )


def test_half_precision_tensors_are_hashed(tmp_path: Path) -> None:
    tensors = {"hidden1.weight": torch.ones(3, dtype=torch.bfloat16)}

    model_folder.write(tmp_path / "model", DESCRIPTION, tensors, {})

    assert model_folder.read(tmp_path / "model").tensors()["hidden1.weight"].dtype == (
        torch.bfloat16
    )
