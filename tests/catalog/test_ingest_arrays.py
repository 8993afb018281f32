"""Arrays and images: .npz, idx, class folders, and what scikit-learn carries."""

from __future__ import annotations

import gzip
import io
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalog.ingest.order import Limits
from tests.catalog.uploads import Content, Reader, idx, npz, png, zipped

IMAGES = np.random.default_rng(1).integers(0, 256, (6, 5, 4), np.uint8)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def test_x_and_y_become_a_column_and_the_target(reader: Reader) -> None:
    x = np.arange(8.0).reshape(4, 2)

    stored = reader.read(npz(x=x, y=[0, 1, 0, 1], x_test=x[:1], y_test=[1]))

    assert stored.kinds() == {"x": "array", "y": "integer"}
    assert stored.parts() == {"train": 4, "test": 1}
    assert stored.schema.target == "y"
    assert stored.values("x").tolist() == [*x.tolist(), x[0].tolist()]


@pytest.mark.parametrize(
    ("array", "kind", "shape"),
    [
        (IMAGES, "image", (5, 4, 1)),
        (IMAGES[..., np.newaxis], "image", (5, 4, 1)),
        (np.zeros((6, 5, 4, 3), np.uint8), "image", (5, 4, 3)),
        (np.zeros((6, 5, 4, 9), np.uint8), "array", (5, 4, 9)),
        (np.zeros((6, 5), np.int16), "array", (5,)),
        (np.asfortranarray(np.arange(30.0).reshape(6, 5)), "array", (5,)),
        (np.arange(6, dtype=">i4"), "integer", ()),
        (np.arange(6) / 2, "number", ()),
        (np.array([True, False] * 3), "boolean", ()),
        (np.array(["a", "b", ""] * 2), "category", ()),
        (np.array(["2020-01-01"] * 6, "datetime64[D]"), "date", ()),
    ],
)
def test_an_array_has_the_kind_of_its_numbers(
    reader: Reader, array: Any, kind: str, shape: tuple[int, ...]
) -> None:
    stored = reader.read(npz(a=array))

    assert stored.kinds() == {"a": kind}
    assert stored.column("a").shape == shape
    assert stored.schema.rows == 6


def test_arrays_stored_by_columns_keep_their_rows(reader: Reader) -> None:
    x = np.arange(6.0).reshape(3, 2)

    assert reader.read(npz(x=np.asfortranarray(x))).values("x").tolist() == x.tolist()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (npz(x=np.array([{}, 1], object)), "pickled_objects"),
        (npz(x=np.array([[1.0], [np.nan]])), "non_finite"),
        (npz(x=np.array([[1.0], [1e39]])), "non_finite"),
        (npz(x=np.zeros((3, 2)), y=[1, 2]), "unequal_lengths"),
        (
            npz(x=np.zeros((3, 2)), y=[1, 2, 3], x_test=np.zeros((1, 2))),
            "missing_array",
        ),
        (npz(x=np.zeros((3, 2)), x_test=np.zeros((1, 3))), "shape_mismatch"),
        (npz(x=np.zeros((0, 2))), "no_rows"),
        (npz(x=np.float64(1)), "wrong_shape"),
        (npz(x=np.zeros(3, complex)), "unknown_type"),
        (npz(x=np.zeros((100, 2)))[:-40], "damaged_file"),
        (npz(x=np.zeros((100, 2)))[:400], "damaged_file"),
        (zipped({"x.npy": b"\x93NUMPY\x01\x00\xff\xff{"}), "damaged_file"),
    ],
)
def test_arrays_that_cannot_be_trained_on_are_refused(
    reader: Reader, content: bytes, code: str
) -> None:
    (complaint,) = reader.refused(content)

    assert complaint.code == code


def test_a_row_with_a_value_that_is_no_number_is_named(reader: Reader) -> None:
    x = np.zeros((5, 2))
    x[3, 1] = np.nan

    (complaint,) = reader.refused(npz(x=x))

    assert complaint.row == 4


def pairs(**changes: bytes) -> dict[str, Content]:
    files: dict[str, Content] = {
        "train-images-idx3-ubyte.gz": gzip.compress(idx(IMAGES[:4])),
        "t10k-labels-idx1-ubyte.gz": gzip.compress(idx([8, 9])),
        "train-labels-idx1-ubyte.gz": gzip.compress(idx([5, 0, 4, 1])),
        "t10k-images-idx3-ubyte.gz": gzip.compress(idx(IMAGES[4:])),
    }
    spelled = {name.replace("_", "-"): content for name, content in changes.items()}
    return {
        name: spelled.get(name.split("-idx")[0], content)
        for name, content in files.items()
    }


def test_idx_files_are_paired_by_name_into_parts(reader: Reader) -> None:
    stored = reader.read(pairs())

    assert stored.parts() == {"train": 4, "test": 2}
    assert stored.kinds() == {"image": "image", "label": "integer"}
    assert stored.schema.target == "label"
    assert np.array_equal(stored.values("image")[..., 0], IMAGES)
    assert stored.values("label").tolist() == [5, 0, 4, 1, 8, 9]


def test_idx_files_need_no_compression(reader: Reader) -> None:
    plain = {"images": idx(IMAGES), "labels": idx(range(6))}

    assert reader.read(plain).parts() == {"train": 6}


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (pairs(t10k_labels=gzip.compress(idx([8]))), "unequal_lengths"),
        (pairs(t10k_images=gzip.compress(idx(IMAGES[4:]))[:-30]), "damaged_file"),
        (pairs(t10k_images=gzip.compress(idx(IMAGES[4:])[:-3])), "damaged_file"),
        (pairs(t10k_images=gzip.compress(idx(IMAGES[4:]) + b"x")), "damaged_file"),
        (pairs(t10k_images=gzip.compress(b"\0\0\x08\x03\0\0")), "damaged_file"),
        (pairs(t10k_images=gzip.compress(idx(IMAGES[4:, :3]))), "shape_mismatch"),
        (pairs(t10k_images=gzip.compress(b"a,b\n1,2\n")), "mixed_formats"),
        ({"train-images": idx(IMAGES)}, "unpaired_files"),
        (
            {"t10k-images": idx(IMAGES), "t10k-labels": idx(range(6))},
            "no_training_rows",
        ),
        (
            {
                "train-images": b"\0\0\x08\x03" + b"\x7f\xff\xff\xff" * 3,
                "train-labels": idx(range(6)),
            },
            "too_compressed",
        ),
    ],
)
def test_idx_files_that_do_not_fit_are_refused(
    reader: Reader, files: dict[str, Content], code: str
) -> None:
    (complaint,) = reader.refused(files)

    assert complaint.code == code


def test_class_folders_become_images_and_labels(reader: Reader) -> None:
    stored = reader.read(
        zipped(
            {
                "flowers/train/rose/1.png": png(colour=(1, 2, 3)),
                "flowers/train/aster/1.png": png(colour=(4, 5, 6)),
                "flowers/test/rose/2.png": png(colour=(7, 8, 9)),
                "__MACOSX/flowers/train/rose/._1.png": b"junk",
                "flowers/.DS_Store": b"junk",
            }
        )
    )

    assert stored.parts() == {"train": 2, "test": 1}
    assert stored.column("image").shape == (3, 4, 3)
    assert stored.values("image")[:, 0, 0].tolist() == [[4, 5, 6], [1, 2, 3], [7, 8, 9]]
    assert stored.column("label").categories == ("aster", "rose")
    assert stored.values("label").tolist() == [0, 1, 1]
    assert stored.schema.target == "label"


def test_the_order_of_an_archive_does_not_change_its_address(reader: Reader) -> None:
    files = {f"{c}/{n}.png": png(colour=n) for c in "ab" for n in range(3)}

    backwards = dict(reversed(files.items()))

    assert reader.read(zipped(files)).sha256 == reader.read(zipped(backwards)).sha256


def test_images_of_different_forms_are_brought_together_on_request(
    reader: Reader,
) -> None:
    mixed = zipped({"a/1.png": png(8, 8), "b/1.png": png(4, 2, "L")})

    (complaint,) = reader.refused(mixed)
    stored = reader.read(mixed, resize={"height": 6, "width": 5})

    assert complaint.code == "shape_mismatch"
    assert "resize" in str(complaint.remedy)
    assert stored.column("image").shape == (6, 5, 3)


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"../a/1.png": png()}, "unsafe_path"),
        ({"/a/1.png": png()}, "unsafe_path"),
        ({"a\\1.png": png()}, "unsafe_path"),
        ({"C:/a/1.png": png()}, "unsafe_path"),
        ({"a/1.png": png(), "1.png": png()}, "not_in_a_class_folder"),
        ({"a/1.png": png(), "a/notes.txt": b"hello"}, "not_an_image"),
        ({"a/1.png": png(200, 200)[:-60]}, "damaged_file"),
        ({"a/1.png": png(mode="I;16")}, "unknown_type"),
        ({"test/a/1.png": png()}, "no_training_rows"),
        ({}, "no_rows"),
    ],
)
def test_archives_that_are_no_class_folders_are_refused(
    reader: Reader, files: dict[str, bytes], code: str
) -> None:
    (complaint,) = reader.refused(zipped(files))

    assert complaint.code == code


def test_a_link_in_an_archive_is_refused(reader: Reader) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        entry = zipfile.ZipInfo("a/1.png")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(entry, "/etc/passwd")

    (complaint,) = reader.refused(archive.getvalue())

    assert complaint.code == "link_in_archive"


@pytest.mark.parametrize(
    ("content", "limits", "code"),
    [
        (zipped({"a/1.png": bytes(80_000_000)}, packed=True), {}, "too_compressed"),
        (
            zipped({f"a/{n}.png": b"" for n in range(11)}),
            {"files": 10},
            "too_many_files",
        ),
        (zipped({"a/1.png": png(300, 300)}), {"pixels": 1_000}, "too_many_pixels"),
        (gzip.compress(b"1,2\n" * 20_000_000), {}, "too_compressed"),
        (npz(x=np.zeros((1000, 1000))), {"output_bytes": 9_000_000}, None),
        (npz(x=np.zeros((1000, 1000))), {"output_bytes": 100_000}, "too_much_content"),
    ],
)
def test_what_unpacks_to_too_much_is_refused(
    reader: Reader, content: bytes, limits: dict[str, Any], code: str | None
) -> None:
    allowed = Limits(**limits)

    if code is None:
        assert reader.read(content, limits=allowed).schema.rows == 1000
    else:
        (complaint,) = reader.refused(content, limits=allowed)
        assert complaint.code == code


@pytest.mark.parametrize(
    "content",
    [
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94.",
        (40).to_bytes(8, "little") + b'{"w":{"dtype":"F32"}}',
        zipped({"archive/data.pkl": b"", "archive/version": b"3"}),
        zipped({"config.json": b"{}", "model.weights.h5": b""}),
        zipped({"[Content_Types].xml": b"", "xl/workbook.xml": b""}),
        b"\x93NUMPY\x01\0" + bytes(100),
        bytes(257) + b"ustar" + bytes(300),
        "a,b\n1,2\n".encode("utf-16"),
        png(),
        b"<!doctype html><html></html>",
        gzip.compress(gzip.compress(b"a,b\n1,2\n", mtime=0), mtime=0),  # in its name
        b"%PDF-1.7\n",
    ],
)
def test_a_foreign_format_is_named_and_refused_by_its_content(
    reader: Reader, content: bytes
) -> None:
    (complaint,) = reader.refused({"table.csv": content})

    assert complaint.code == "unsupported_format"
    assert "'table.csv' is" in complaint.detail


def test_bytes_that_are_nothing_known_are_refused(reader: Reader) -> None:
    noise = np.random.default_rng(3).integers(1, 128, 4_000, np.uint8).tobytes()

    (complaint,) = reader.refused(noise)

    assert complaint.code == "unknown_format"


def test_two_tables_at_once_are_refused(reader: Reader) -> None:
    (complaint,) = reader.refused({"a.csv": "x,y\n1,2\n", "b.csv": "x,y\n3,4\n"})

    assert complaint.code == "too_many_files"


@pytest.mark.parametrize(
    ("name", "rows", "target", "kind"),
    [
        ("digits", 1797, "label", "integer"),
        ("iris", 150, "label", "category"),
        ("wine", 178, "label", "category"),
        ("breast_cancer", 569, "label", "category"),
        ("diabetes", 442, "target", "number"),
    ],
)
def test_the_data_sets_of_scikit_learn_are_there(
    reader: Reader, name: str, rows: int, target: str, kind: str
) -> None:
    stored = reader.builtin(name)

    assert stored.schema.rows == rows
    assert stored.schema.target == target
    assert stored.kinds()[target] == kind
    assert stored.report["options"]["name"] == f"sklearn:{name}"


def test_digits_keep_their_seventeen_shades(reader: Reader) -> None:
    stored = reader.builtin("digits")

    assert stored.column("image").shape == (8, 8, 1)
    assert (stored.column("image").minimum, stored.column("image").maximum) == (0, 16)


def test_images_stored_on_a_scale_of_their_own_are_told_of(reader: Reader) -> None:
    dim = [warning["code"] for warning in reader.builtin("digits").report["warnings"]]
    bright = zipped({"a/1.png": png(), "b/1.png": png()})

    assert "dim_images" in dim
    assert "dim_images" not in [
        warning["code"] for warning in reader.read(bright).report["warnings"]
    ]


def test_the_class_of_an_iris_keeps_its_name(reader: Reader) -> None:
    stored = reader.builtin("iris")

    assert stored.column("label").categories == ("setosa", "versicolor", "virginica")
    assert [(v.value, v.count) for v in stored.column("label").values] == [
        ("setosa", 50),
        ("versicolor", 50),
        ("virginica", 50),
    ]


def test_small_images_are_previewed_as_numbers_and_large_ones_as_png(
    reader: Reader,
) -> None:
    small = reader.read(npz(x=IMAGES))
    large = reader.read(npz(x=np.zeros((2, 100, 100), np.uint8)))

    assert small.preview[1]["x"] == IMAGES[1][..., np.newaxis].tolist()
    assert large.preview[0]["x"].startswith("data:image/png;base64,")


def test_the_published_digits_are_read_whole(reader: Reader, test_data: Path) -> None:
    stored = reader.read({f.name: f for f in (test_data / "mnist").glob("*.gz")})

    assert stored.parts() == {"train": 60_000, "test": 10_000}
    counts = {v.value: (v.count, v.train) for v in stored.column("label").values}
    assert counts[1] == (7_877, 6_742)
    train = stored.values("image")[:60_000]
    assert train.mean() == pytest.approx(33.318, abs=1e-3)
    assert stored.report["shared_rows"] == {"test": 0}
