"""Weights without their zeros come back bit for bit, and take fewer bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline.errors import Unreadable
from frostline.sparse import read_sparse
from tests.trainer import trainings
from tests.trainer.trainings import pictures, spec
from trainer.errors import ModelBroken
from trainer.saved.model_folder import DESCRIPTION, WEIGHTS, read
from trainer.saved.sparse_weights import SPARSE, _packed, load, save

READERS = [pytest.param(load, id="trainer"), pytest.param(read_sparse, id="client")]


def sparse(shape: tuple[int, ...], sparsity: float, seed: int = 1) -> Any:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=shape).astype(np.float32)
    values[draw.random(shape) < sparsity] = 0.0
    return values


def assert_alike(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert left.keys() == right.keys()
    assert [left[n].dtype for n in left] == [right[n].dtype for n in left]
    assert [left[n].shape for n in left] == [right[n].shape for n in left]
    assert [left[n].tobytes() for n in left] == [right[n].tobytes() for n in left]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("sparsity", [0.0, 0.01, 0.4, 0.8, 0.97, 1.0])
@pytest.mark.parametrize("shape", [(40, 30), (8, 3, 5, 5), (1, 70_000), (7,), ()])
def test_what_is_read_is_what_was_written(
    tmp_path: Path, reader: Any, sparsity: float, shape: Any
):
    tensors = {
        "layer.weight": sparse(shape, sparsity),
        "layer.count": np.array(3, np.int64),
        "layer.empty": np.zeros((0, 3), np.float32),
        "layer.half": sparse((9, 9), sparsity).astype(np.float16),
    }

    save(tmp_path / SPARSE, tensors)

    assert_alike(reader(tmp_path / SPARSE), tensors)


def test_a_negative_zero_stays_negative(tmp_path: Path):
    weight = np.zeros((20, 20), np.float32)
    weight[3, 4] = -0.0

    save(tmp_path / SPARSE, {"weight": weight})

    assert np.signbit(load(tmp_path / SPARSE)["weight"]).sum() == 1


@pytest.mark.parametrize(
    ("sparsity", "layout"),
    [(0.0, "dense"), (0.5, "bitmask"), (0.9, "bitmask"), (0.99, "csr")],
)
def test_the_layout_is_the_smallest(sparsity: float, layout: str):
    weight = sparse((300, 784), sparsity)

    found, parts = _packed(weight)

    assert found == layout
    assert sum(part.nbytes for part in parts.values()) <= weight.nbytes


@pytest.mark.parametrize(
    ("sparsity", "share"), [(0.5, 0.54), (0.8, 0.24), (0.9, 0.14), (0.95, 0.09)]
)
def test_the_file_is_about_as_small_as_its_share_of_numbers(
    tmp_path: Path, sparsity: float, share: float
):
    weight = sparse((300, 784), sparsity)

    save(tmp_path / SPARSE, {"weight": weight})

    assert (tmp_path / SPARSE).stat().st_size < share * weight.nbytes


@pytest.mark.parametrize(
    ("reader", "refusal"), [(load, ModelBroken), (read_sparse, Unreadable)]
)
@pytest.mark.parametrize("content", [b"", b"\x05\0\0\0\0\0\0\0{}", b"x" * 100])
def test_another_file_is_refused(
    tmp_path: Path, reader: Any, refusal: Any, content: bytes
):
    (tmp_path / SPARSE).write_bytes(content)

    with pytest.raises(refusal):
        reader(tmp_path / SPARSE)


PRUNED = {"kind": "magnitude", "sparsity": 0.9}


def test_a_pruned_model_has_a_smaller_file_that_holds_the_same(tmp_path: Path):
    layers = [{"kind": "dense", "name": "hidden", "units": 200}]
    folder = trainings.model(
        tmp_path / "model", spec(layers, pruning=PRUNED), pictures()
    )

    found = read(folder)

    assert SPARSE in found.verify()
    whole = {name: t.numpy() for name, t in found.tensors().items()}
    assert_alike(
        dict(sorted(load(folder / SPARSE).items())), dict(sorted(whole.items()))
    )
    sizes = [(folder / name).stat().st_size for name in (SPARSE, WEIGHTS)]
    assert sizes[0] < 0.5 * sizes[1]


def test_a_model_without_zeros_has_no_second_file(tmp_path: Path):
    folder = trainings.model(tmp_path / "model", spec(), pictures())

    assert {p.name for p in folder.iterdir()} >= {WEIGHTS, DESCRIPTION}
    assert not (folder / SPARSE).exists()


def test_a_sparse_file_that_was_changed_is_noticed(tmp_path: Path):
    layers = [{"kind": "dense", "name": "hidden", "units": 200}]
    folder = trainings.model(
        tmp_path / "model", spec(layers, pruning=PRUNED), pictures()
    )
    (folder / SPARSE).write_bytes(b"other")

    with pytest.raises(ModelBroken, match="not as described"):
        read(folder).verify()
