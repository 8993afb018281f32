"""Each format as its own framework writes it: the import answers as its source."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save as safetensors_bytes
from torch import nn
from torch.nn.functional import max_pool2d

from tests.trainer import imports
from tests.trainer.imports import (
    BARE,
    CONVOLUTIONAL,
    IMAGES,
    RAW,
    answers,
    asked,
    convolutional,
)
from trainer.preprocessing import Preprocessing

FORM = {
    "network": CONVOLUTIONAL,
    "input": {"kind": "array", "shape": [2, 6, 6]},
    "preprocessing": RAW,
}


def saved(value: Any) -> bytes:
    """Return what `torch.save` writes."""
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def scripted(model: nn.Module) -> bytes:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(model), stream)
    return stream.getvalue()


def exported(model: nn.Module) -> bytes:
    stream = io.BytesIO()
    program = torch.export.export(model, (torch.from_numpy(IMAGES),))
    torch.export.save(program, stream)
    return stream.getvalue()


def arrays(model: nn.Module) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **{n: t.numpy() for n, t in model.state_dict().items()})
    return stream.getvalue()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("file", "write", "format_"),
    [
        ("m.pt", lambda m: saved(m.state_dict()), "torch_state_dict"),
        ("m.pth", lambda m: saved({"epoch": 3, "state_dict": m.state_dict()}), None),
        ("m.pt", scripted, "torchscript"),
        ("m.pt2", exported, "torch_export"),
        ("m.safetensors", lambda m: safetensors_bytes(m.state_dict()), "safetensors"),
        ("m.npz", arrays, "npz"),
    ],
)
def test_weights_with_a_spec_answer_as_the_network_they_come_from(
    tmp_path: Path, file: str, write: Any, format_: str | None
) -> None:
    source = convolutional()

    ours, told = imports.network(tmp_path, {file: write(source)}, FORM)

    assert told["format"] == (format_ or "torch_state_dict")
    np.testing.assert_allclose(
        answers(ours, IMAGES), answers(source, IMAGES), rtol=1e-5, atol=1e-6
    )


def test_a_checkpoint_of_tensorflow_is_laid_out_anew(tmp_path: Path) -> None:
    source = convolutional()
    state = {name: tensor.numpy() for name, tensor in source.state_dict().items()}
    first = state["7.weight"].reshape(5, 6, 1, 1).transpose(2, 3, 1, 0).reshape(6, 5)
    files = imports.bundle(
        {
            "conv1/kernel": state["0.weight"].transpose(2, 3, 1, 0),
            "conv1/bias": state["0.bias"],
            "conv1_bn/gamma": state["1.weight"],
            "conv1_bn/beta": state["1.bias"],
            "conv1_bn/moving_mean": state["1.running_mean"],
            "conv1_bn/moving_variance": state["1.running_var"],
            "conv2/depthwise_kernel": state["3.weight"].transpose(2, 3, 0, 1),
            "hidden/kernel": first,
            "hidden/bias": state["7.bias"],
            "out/kernel": state["9.weight"].T,
            "out/bias": state["9.bias"],
            "conv1/kernel/Adam": state["0.weight"].transpose(2, 3, 1, 0),
            "beta1_power": np.ones((), np.float32),
        }
    )
    named = {"conv2.weight": "conv2/depthwise_kernel"}

    ours, told = imports.network(tmp_path, files, FORM | {"map": named})

    assert told["format"] == "tensorflow_checkpoint"
    assert "beta1_power" in told["notes"][0]
    np.testing.assert_allclose(
        answers(ours, IMAGES), answers(source, IMAGES), rtol=1e-5, atol=1e-6
    )


def test_a_saved_model_is_read_from_its_variables(tmp_path: Path) -> None:
    kernel = np.arange(6, dtype=np.float32).reshape(3, 2)
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    tensors = {
        f"layer_with_weights-0/kernel{suffix}": kernel,
        f"layer_with_weights-0/bias{suffix}": np.ones(2, np.float32),
        f"save_counter{suffix}": np.ones((), np.float32),
    }
    files = {"saved_model.pb": b"", **imports.bundle(tensors, "variables")}
    form = {
        "network": {"layers": [{"name": "output", "kind": "dense", "units": 2}]},
        "input": {"columns": ["a", "b", "c"]},
        "preprocessing": {"mean": [1, 2, 3], "deviation": [1, 2, 4]},
    }

    ours, told = imports.network(tmp_path, files, form)

    assert told["format"] == "tensorflow_saved_model"
    x = np.ones((1, 3), np.float32)
    np.testing.assert_allclose(answers(ours, x), x @ kernel + 1)


def test_an_onnx_file_answers_as_onnx_runtime_does(tmp_path: Path) -> None:
    source = convolutional()
    torch.onnx.export(
        source,
        (torch.from_numpy(IMAGES),),
        str(tmp_path / "m.onnx"),
        dynamo=False,
        input_names=["image"],
        dynamic_axes={"image": {0: "batch"}},
    )
    content = (tmp_path / "m.onnx").read_bytes()
    form = {"preprocessing": RAW, "input": {"kind": "array"}}

    ours, told = imports.network(tmp_path / "import", {"m.onnx": content}, form)

    assert told["checks"][0]["kind"] == "runtime"
    assert told["checks"][0]["maximum_difference"] < 1e-5
    np.testing.assert_allclose(
        answers(ours, IMAGES), answers(source, IMAGES), rtol=1e-5, atol=1e-6
    )


test_an_onnx_file_answers_as_onnx_runtime_does = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning"
)(test_an_onnx_file_answers_as_onnx_runtime_does)


def matrix_product(weight: Any, location: str | None = None) -> onnx.ModelProto:
    """Return an ONNX model that multiplies; its weights lie in a file beside it."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    tensor = onnx.numpy_helper.from_array(weight, "fc.weight")
    if location is not None:
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "4")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "fc.weight"], ["y"], transB=1, name="fc")],
        "g",
        [helper.make_tensor_value_info("x", kind, ["n", 3])],
        [helper.make_tensor_value_info("y", kind, ["n", 2])],
        [tensor],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


def test_constants_at_the_input_of_onnx_are_its_preprocessing(tmp_path: Path) -> None:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    model = matrix_product(weight)
    helper, graph = onnx.helper, model.graph
    graph.node[0].input[0] = "scaled"
    mean = np.array([1, 2, 3], np.float32)
    graph.initializer.append(onnx.numpy_helper.from_array(mean, "mean"))
    graph.initializer.append(
        onnx.numpy_helper.from_array(np.array(4, np.float32), "four")
    )
    graph.node.insert(0, helper.make_node("Sub", ["x", "mean"], ["centred"]))
    graph.node.insert(1, helper.make_node("Div", ["centred", "four"], ["scaled"]))

    answer = asked(tmp_path, {"m.onnx": model.SerializeToString()}, {})

    assert not answer.refused, answer.refused
    assert answer.description["import"]["checks"][0]["passed"]
    x = Preprocessing.load(tmp_path / "model").apply([[5.0, 2.0, -1.0]])
    np.testing.assert_allclose(x, [[1, 0, -1]], atol=1e-6)


def test_external_data_of_onnx_comes_from_the_file_sent_along(tmp_path: Path) -> None:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    model = matrix_product(weight, "weights.bin").SerializeToString()
    files = {"m.onnx": model, "weights.bin": b"\0\0\0\0" + weight.tobytes()}

    ours, _ = imports.network(tmp_path, files, {"preprocessing": RAW})

    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(answers(ours, x), x @ weight.T)


def test_keras_weights_without_a_description_take_a_network(tmp_path: Path) -> None:
    stream = io.BytesIO()
    kernel = np.arange(6, dtype=np.float32).reshape(3, 2)
    with h5py.File(stream, "w") as file:
        file["dense/dense/kernel:0"] = kernel
        file["dense/dense/bias:0"] = np.ones(2, np.float32)
    layer = {"name": "output", "kind": "dense", "units": 2}
    form = {
        "network": {"layers": [layer]},
        "input": {"shape": [3]},
        "preprocessing": RAW,
    }

    ours, told = imports.network(tmp_path, {"w.h5": stream.getvalue()}, form)

    assert told["table"][0]["source"] == "dense/dense/kernel:0"
    x = np.ones((1, 3), np.float32)
    np.testing.assert_allclose(answers(ours, x), x @ kernel + 1)


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of models that Keras wrote, with its answers."""
    folder = tmp_path_factory.mktemp("keras")
    imports.keras_files(folder)
    return folder


@pytest.mark.parametrize("file", ["graph.keras", "graph.h5"])
def test_a_keras_model_answers_as_keras_does(
    tmp_path: Path, keras: Path, file: str
) -> None:
    known = np.load(keras / "graph.npz")
    x = np.moveaxis(known["x"], 3, 1)
    stated = {"inputs": x.tolist(), "outputs": known["y"].tolist(), "tolerance": 1e-5}
    form = {"preprocessing": RAW, "input": {"kind": "array"}, "expected": stated}

    ours, told = imports.network(tmp_path, {file: (keras / file).read_bytes()}, form)

    assert told["format"] == ("keras" if file.endswith(".keras") else "keras_h5")
    assert told["checks"][0]["compared"] == "probabilities"
    logits = torch.from_numpy(answers(ours, x))
    np.testing.assert_allclose(torch.softmax(logits, 1).numpy(), known["y"], atol=1e-5)


def test_a_keras_model_ends_at_the_layer_that_is_named(
    tmp_path: Path, keras: Path
) -> None:
    files = {"graph.keras": (keras / "graph.keras").read_bytes()}
    form = {"preprocessing": RAW, "input": {"kind": "array"}, "output": "features"}

    ours, _ = imports.network(tmp_path, files, form)

    assert answers(ours, np.zeros((1, 2, 9, 8), np.float32)).shape == (1, 7)


@pytest.mark.parametrize(
    ("file", "task"), [("row", "multi_label"), ("fitted", "regression")]
)
def test_the_scaling_inside_a_keras_file_is_its_preprocessing(
    tmp_path: Path, keras: Path, file: str, task: str
) -> None:
    known = np.load(keras / f"{file}.npz")
    stated = {"inputs": known["x"].tolist(), "outputs": known["y"].tolist()}

    answer = asked(
        tmp_path,
        {"m.keras": (keras / f"{file}.keras").read_bytes()},
        {"expected": stated},
    )

    assert not answer.refused, answer.refused
    assert answer.description["task"] == task
    assert answer.description["preprocessing"]["standardized"]


def test_a_caffe_model_computes_what_its_prototxt_says(tmp_path: Path) -> None:
    draws = np.random.default_rng(9)
    kernel = draws.standard_normal((3, 2, 3, 3)).astype(np.float32)
    mean, variance, gamma, beta = draws.uniform(0.5, 2, (4, 3)).astype(np.float32)
    weight = draws.standard_normal((4, 27)).astype(np.float32)
    bias = draws.standard_normal(4).astype(np.float32)
    factor = np.full(1, 2, np.float32)
    layers = {
        "conv": [kernel],
        "norm": [mean * 2, variance * 2, factor],
        "scale": [gamma, beta],
        "out": [weight, bias],
    }
    files = {
        "m.caffemodel": imports.caffemodel(layers),
        "m.prototxt": imports.PROTOTXT.encode(),
    }
    x = draws.standard_normal((3, 2, 7, 7)).astype(np.float32)

    ours, _ = imports.network(
        tmp_path, files, {"preprocessing": RAW, "input": {"kind": "array"}}
    )

    given = [torch.from_numpy(a) for a in (x, kernel, mean, variance, gamma, beta)]
    sums = torch.conv2d(given[0], given[1], padding=1)
    normed = torch.batch_norm(
        sums, given[4], given[5], given[2], given[3], False, 0, 1e-5, False
    )
    pooled = max_pool2d(normed.relu(), 3, 2, ceil_mode=True).flatten(1).numpy()
    np.testing.assert_allclose(
        answers(ours, x), pooled @ weight.T + bias, rtol=1e-4, atol=1e-4
    )


def test_raw_pixels_come_back_exactly_from_a_division_by_255(tmp_path: Path) -> None:
    weight = np.eye(4, dtype=np.float32)
    form = {
        "network": {"layers": [{"name": "output", "kind": "dense", "units": 4}]},
        "input": {"shape": [1, 2, 2]},
        "preprocessing": RAW,
    }
    content = safetensors_bytes(
        {"fc.weight": torch.from_numpy(weight), "fc.bias": torch.zeros(4)}
    )

    imports.network(tmp_path, {"m.safetensors": content}, form)
    pixels = np.arange(256, dtype=np.uint8).reshape(64, 2, 2, 1)
    found = Preprocessing.load(tmp_path / "model").apply({"image": pixels})

    np.testing.assert_array_equal(found.ravel(), pixels.ravel())


def test_what_more_than_one_tensor_could_be_is_asked_for(tmp_path: Path) -> None:
    square = torch.eye(3)
    tensors = {f"layer{n}.weight": square * n for n in (1, 2, 3)}
    network = {
        "defaults": BARE | {"bias": None},
        "layers": [
            {"name": "first", "kind": "dense", "units": 3, "bias": False},
            {"name": "output", "kind": "dense", "units": 3, "bias": False},
        ],
    }
    network["defaults"] = BARE
    form = {"network": network, "input": {"shape": [3]}, "preprocessing": RAW}
    files = {"m.safetensors": safetensors_bytes(tensors)}

    answer = asked(tmp_path / "a", files, form)
    chosen = {"first": "layer3", "output.weight": "layer1.weight"}
    ours, told = imports.network(tmp_path / "b", files, form | {"map": chosen})

    assert [p.code for p in answer.refused] == ["ambiguous_tensor"] * 2
    assert answer.refused[0].pointer == "/map/first"
    assert "'layer1' (weight [3, 3]), 'layer2'" in answer.refused[0].detail
    assert answers(ours, np.ones((1, 3), np.float32)).tolist() == [[3.0, 3.0, 3.0]]
    assert told["notes"][0] == "not used: 'layer2.weight'"
