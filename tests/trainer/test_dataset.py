"""Opening data sets: what is found in files, and what is said of broken ones."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from trainer.data.dataset import open_dataset, read_idx
from trainer.errors import NotADataset
from trainer.spec.data.schema import Column, Part, Schema


def write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(">BBBB", 0, 0, 8, values.ndim)
    sizes = struct.pack(f">{values.ndim}i", *values.shape)
    path.write_bytes(gzip.compress(header + sizes + values.astype(np.uint8).tobytes()))


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    for prefix, rows in (("train", 5), ("t10k", 3)):
        images = np.arange(rows * 6).reshape(rows, 2, 3)
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", np.arange(rows) % 2)
    return tmp_path


def test_idx_files_are_paired_into_parts(digits: Path) -> None:
    data = open_dataset(digits)

    assert data.schema.parts == (
        Part(name="train", start=0, stop=5),
        Part(name="test", start=5, stop=8),
    )
    assert data.schema.target == "label"
    assert data.columns["image"].shape == (8, 2, 3, 1)
    assert data.columns["label"].tolist() == [0, 1, 0, 1, 0, 0, 1, 0]
    label = data.schema.column("label")
    assert label is not None
    assert [(v.value, v.count, v.train) for v in label.values] == [(0, 5, 3), (1, 3, 2)]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\x00\x08\x01",
        b"\x00\x00\x08\x01\x00\x00\x00\x09abc",
        b"\x00\x00\x07\x00",
        b"not an idx file",
    ],
)
def test_a_broken_idx_file_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(raw)

    with pytest.raises(NotADataset, match="not an idx file"):
        read_idx(path)


def test_a_truncated_gzip_is_refused(digits: Path) -> None:
    path = digits / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])

    with pytest.raises(NotADataset, match="not an idx file"):
        open_dataset(digits)


def test_parts_of_unequal_length_are_refused(digits: Path) -> None:
    write_idx(digits / "train-labels-idx1-ubyte.gz", np.arange(4))

    with pytest.raises(NotADataset, match="columns of unequal length"):
        open_dataset(digits)


def test_an_npz_may_be_divided_into_parts(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(
        path,
        x_train=np.zeros((4, 3)),
        y_train=np.array(["cat", "dog", "cat", "cow"]),
        x_test=np.ones((2, 3)),
        y_test=np.array(["cow", "cat"]),
    )

    data = open_dataset(path)

    assert [(p.name, p.rows) for p in data.schema.parts] == [("train", 4), ("test", 2)]
    x, y = data.schema.column("x"), data.schema.column("y")
    assert x is not None
    assert y is not None
    assert (x.kind, x.shape) == ("array", (3,))
    assert (y.kind, y.categories) == ("category", ("cat", "cow", "dog"))
    assert data.columns["y"].tolist() == [0, 2, 0, 1, 1, 0]


def test_the_version_follows_the_content(tmp_path: Path) -> None:
    versions = []
    for number, value in enumerate([1.0, 1.0, 2.0]):
        path = tmp_path / f"{number}.npz"
        np.savez(path, x=np.full(3, value))
        versions.append(open_dataset(path).version)

    assert versions[0] == versions[1]
    assert versions[0] != versions[2]


def test_an_npz_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))

    with pytest.raises(NotADataset, match="allow_pickle"):
        open_dataset(path)


@pytest.mark.parametrize("name", ["data.csv", "nothing.npz", "empty"])
def test_what_is_no_data_set_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(NotADataset):
        open_dataset(tmp_path / name)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    schema = Schema(
        rows=3,
        parts=(Part(name="train", start=0, stop=3),),
        columns=(
            Column(name="words", kind="text"),
            Column(name="age", kind="number"),
        ),
    )
    (tmp_path / "dataset.json").write_text(schema.model_dump_json())
    (tmp_path / "columns").mkdir()
    np.save(tmp_path / "columns" / "1.npy", np.array([1.0, 2, 3]))
    return tmp_path


def test_columns_of_a_stored_data_set_are_mapped_when_they_are_used(
    stored: Path,
) -> None:
    data = open_dataset(stored)

    assert len(data.columns) == 0
    assert isinstance(data.columns["age"], np.memmap)
    assert data.columns["age"].tolist() == [1, 2, 3]
    assert data.version == stored.name


def test_a_stored_column_of_another_length_is_refused(stored: Path) -> None:
    np.save(stored / "columns" / "1.npy", np.array([1.0, 2]))

    with pytest.raises(NotADataset, match="2 rows where the schema says 3"):
        _ = open_dataset(stored).columns["age"]


def test_a_stored_schema_that_is_none_is_refused(stored: Path) -> None:
    (stored / "dataset.json").write_text("{}")

    with pytest.raises(NotADataset):
        open_dataset(stored)
