"""Files that would do harm, or cannot be: each refused with its reason, none run."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import save as safetensors_bytes

from tests.trainer import imports
from tests.trainer.imports import RAW, refusal
from tests.trainer.test_importing import matrix_product, saved
from trainer.spec.imports import ImportLimits

CANARY = Path("canary-of-a-pickle")


class Harmful:
    """Would leave a file behind if it were ever unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (CANARY.write_text, ("harm",))


def pickled() -> bytes:
    return saved({"weight": torch.ones(2), "extra": Harmful()})


def renamed(content: bytes, old: str, new: str) -> bytes:
    """Return a zip with one member under another name."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as given,
        zipfile.ZipFile(stream, "w") as made,
    ):
        for name in given.namelist():
            made.writestr(name.replace(old, new), given.read(name))
    return stream.getvalue()


def link() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        member = zipfile.ZipInfo("model.onnx")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    return stream.getvalue()


def npz_claiming(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(117) + "\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("w.npy", array + bytes(16))
    return stream.getvalue()


def objects() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, w=np.array([Harmful()], object))
    return stream.getvalue()


def keras(
    layer: dict[str, Any], write: Callable[[Any], None] = lambda _: None
) -> bytes:
    """Return a Keras `.h5` with an input and one layer."""
    given = {
        "class_name": "InputLayer",
        "config": {"name": "i", "batch_input_shape": [None, 3]},
        "name": "i",
        "inbound_nodes": [],
    }
    whole = {"name": "d", "inbound_nodes": [[["i", 0, 0, {}]]], **layer}
    config = {"layers": [given, whole], "output_layers": [["d", 0, 0]]}
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        text = json.dumps({"class_name": "Model", "config": config})
        file.attrs["model_config"] = text
        write(file)
    return stream.getvalue()


DENSE = {
    "class_name": "Dense",
    "config": {"name": "d", "units": 2, "use_bias": False, "activation": "linear"},
}


def external_storage(file: Any) -> None:
    group = file.create_group("model_weights/d")
    group.attrs["weight_names"] = ["kernel:0"]
    group.create_dataset(
        "kernel:0", (3, 2), "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    )


def external_link(file: Any) -> None:
    group = file.create_group("model_weights/d")
    group.attrs["weight_names"] = ["kernel:0"]
    group["kernel:0"] = h5py.ExternalLink("/etc/passwd", "/")


def enormous(file: Any) -> None:
    group = file.create_group("model_weights/d")
    group.attrs["weight_names"] = ["kernel:0"]
    group.create_dataset("kernel:0", (10**6, 10**6), "f4", chunks=(1000, 1000))


def custom_onnx() -> bytes:
    model = matrix_product(np.zeros((2, 3), np.float32))
    model.graph.node[0].domain = "com.somebody"
    return bytes(model.SerializeToString())


def branching_onnx() -> bytes:
    model = matrix_product(np.zeros((2, 3), np.float32))
    inner = onnx.helper.make_graph([], "inner", [], [])
    node = onnx.helper.make_node("If", ["x"], ["z"], then_branch=inner)
    model.graph.node.append(node)
    return bytes(model.SerializeToString())


def outside_onnx(place: str) -> bytes:
    weight = np.zeros((2, 3), np.float32)
    return bytes(matrix_product(weight, place).SerializeToString())


TENSORS = {"fc.weight": np.zeros((2, 3), np.float32)}
PLAIN = safetensors_bytes(TENSORS)
LYING = len(lie := b'{"w":{"dtype":"F32","shape":[9,9],"data_offsets":[0,324]}}')
BUNDLE = imports.bundle({"fc/kernel": np.ones((3, 2))}, "m")
CAFFE = {
    "m.prototxt": imports.PROTOTXT.encode(),
    "m.caffemodel": imports.caffemodel({"conv": [np.ones((3, 2, 3, 3))]}),
}
FALSE_SHAPE = imports.part(5, bytes(16)) + imports.part(7, imports.part(1, b"\xff\x7f"))


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"m.pt": pickled()}, "unsafe_pickle"),
        ({"m.pt": b"\x80\x04\x95" + bytes(40)}, "unsafe_pickle"),
        ({"m.npz": objects()}, "unsafe_pickle"),
        (
            {"m.h5": keras({"class_name": "Lambda", "config": {"name": "d"}})},
            "custom_code",
        ),
        ({"m.onnx": custom_onnx()}, "custom_code"),
        ({"m.onnx": branching_onnx()}, "control_flow"),
        ({"m.onnx": outside_onnx("../../etc/passwd")}, "path_outside"),
        ({"m.onnx": outside_onnx("/etc/passwd")}, "path_outside"),
        ({"m.onnx": outside_onnx("weights.bin")}, "missing_external_data"),
        ({"m.onnx": outside_onnx("w"), "w": bytes(4)}, "damaged_file"),
        ({"m.onnx": b"\x08\x09 no protobuf"}, "damaged_file"),
        ({"m.h5": keras(DENSE, external_storage)}, "link"),
        ({"m.h5": keras(DENSE, external_link)}, "link"),
        ({"m.h5": keras(DENSE, enormous)}, "declared_too_large"),
        ({"m.h5": keras(DENSE)[:-600]}, "damaged_file"),
        ({"m.zip": renamed(pickled(), "archive/data.pkl", "../x")}, "path_outside"),
        ({"m.zip": link()}, "not_a_file"),
        ({"m.npz": imports.bomb("w.npy", 60_000_000)}, "unpacked_too_large"),
        ({"m.npz": npz_claiming("(10000, 10000)")}, "damaged_file"),
        ({"m.npz": npz_claiming("(-1, -4)")}, "damaged_file"),
        ({"m.safetensors": PLAIN[:-5]}, "damaged_file"),
        ({"m.safetensors": LYING.to_bytes(8, "little") + lie}, "damaged_file"),
        (BUNDLE | {"m.data-00000-of-00001": bytes(24)}, "damaged_file"),
        (BUNDLE | {"m.data-00000-of-00001": b""}, "damaged_file"),
        (BUNDLE | {"m.index": BUNDLE["m.index"][:-9]}, "damaged_file"),
        ({"m.index": BUNDLE["m.index"]}, "incomplete_checkpoint"),
        (imports.bundle({"w": np.ones(4)}, "m", claim=10**9), "damaged_file"),
        (CAFFE | {"m.caffemodel": CAFFE["m.caffemodel"][:-9]}, "damaged_file"),
        (
            CAFFE | {"m.caffemodel": imports.part(100, imports.part(7, FALSE_SHAPE))},
            None,
        ),
        (CAFFE | {"m.prototxt": b"layer { name: " * 3}, "damaged_file"),
        ({"m.prototxt": CAFFE["m.prototxt"]}, "incomplete_upload"),
        ({"m.bin": b"nothing that is known"}, "unknown_format"),
    ],
)
def test_it_is_refused_with_its_reason(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: Mapping[str, bytes],
    code: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)

    found = refusal(tmp_path / "import", files)

    assert found.code == (code or "damaged_file")
    assert found.detail
    assert not CANARY.exists()


NETWORK = {"layers": [{"name": "output", "kind": "dense", "units": 2, "bias": False}]}
GOOD: dict[str, Any] = {
    "network": NETWORK,
    "input": {"shape": [3]},
    "preprocessing": RAW,
}


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"preprocessing": None}, "/preprocessing", "preprocessing_missing"),
        ({"network": None}, "/network", "network_missing"),
        ({"input": {}}, "/input/shape", "input_missing"),
        ({"format": "onnx"}, "/format", "other_format"),
        ({"output": "fc"}, "/output", "no_graph"),
        ({"classes": ["a", "b", "c"]}, "/network/layers/0/units", "wrong_units"),
        ({"task": "multi_label", "classes": ["a", "a"]}, "/classes", "wrong_classes"),
        (
            {"map": {"hidden.weight": "fc.weight"}},
            "/map/hidden.weight",
            "unknown_tensor",
        ),
        (
            {"map": {"output.weight": "fc.wight"}},
            "/map/output.weight",
            "unknown_tensor",
        ),
        ({"input": {"shape": [4]}}, "/map/output", "no_tensor_fits"),
        ({"input": {"kind": "image", "shape": [3]}}, "/input/kind", "other_input"),
        (
            {"input": {"kind": "table", "shape": [3]}},
            "/input/columns",
            "columns_missing",
        ),
        (
            {"preprocessing": {"mean": [1, 2]}},
            "/preprocessing/mean",
            "wrong_preprocessing",
        ),
        (
            {"preprocessing": {"deviation": [1, 0, 1]}},
            "/preprocessing/deviation",
            "wrong_preprocessing",
        ),
        (
            {"expected": {"inputs": [[1, 2, 3]], "outputs": [[5, 5]]}},
            "/expected/outputs",
            "check_failed",
        ),
        (
            {"expected": {"inputs": [[1, "x", 3]], "outputs": [[5, 5]]}},
            "/expected/inputs",
            "bad_value",
        ),
    ],
)
def test_what_is_said_wrongly_is_named(
    tmp_path: Path, change: dict[str, Any], pointer: str, code: str
) -> None:
    form = {n: v for n, v in (GOOD | change).items() if v is not None}

    found = refusal(tmp_path, {"m.safetensors": PLAIN}, form)

    assert (found.pointer, found.code) == (pointer, code)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.full((2, 3), np.nan, np.float32), "not_finite"),
        (np.full((2, 3), 1e300), "not_finite"),
        (np.ones((2, 3), np.int8), "not_real"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(
    tmp_path: Path, values: Any, code: str
) -> None:
    files = {"m.safetensors": safetensors_bytes({"fc.weight": values})}

    assert refusal(tmp_path, files, GOOD).code == code


def test_a_network_beyond_the_limits_is_refused(tmp_path: Path) -> None:
    limits = ImportLimits(parameters=5)

    found = refusal(tmp_path, {"m.safetensors": PLAIN}, GOOD, limits)

    assert found.code == "too_many_parameters"


def test_a_layer_of_somebody_elses_class_is_refused_by_name(tmp_path: Path) -> None:
    layer = {"class_name": "Wavelet", "config": {"name": "d"}}

    found = refusal(tmp_path, {"m.h5": keras(layer)})

    assert found.code == "unsupported_layer"
    assert "'d' is a Wavelet" in found.detail
