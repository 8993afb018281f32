"""Model files as their own frameworks write them, and the importing of them."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from trainer.importing.checksum import masked_crc32c
from trainer.importing.reading import answered
from trainer.saved.model_folder import read
from trainer.saved.reopened import network_of
from trainer.spec.imports import (
    ImportAnswer,
    ImportFile,
    ImportForm,
    ImportLimits,
    ImportOrder,
)

Array = np.ndarray[Any, Any]
BARE = {"normalization": "none", "dropout": 0, "activation": "none"}
RAW = {"divide_by": 1}


def asked(
    folder: Path,
    files: Mapping[str, bytes],
    form: Mapping[str, Any],
    limits: ImportLimits | None = None,
) -> ImportAnswer:
    """Import files in this process; the model lies in `folder`/model."""
    (folder / "files").mkdir(parents=True)
    listed = []
    for number, (name, content) in enumerate(files.items()):
        (folder / "files" / str(number)).write_bytes(content)
        listed.append(
            ImportFile(
                stored=str(number),
                name=name,
                bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
        )
    order = ImportOrder(
        form=ImportForm.model_validate({"name": "foreign", **form}),
        files=tuple(listed),
        limits=limits or ImportLimits(),
    )
    return answered(order, folder)


def network(
    folder: Path, files: Mapping[str, bytes], form: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Import files; return the network in torch, and what the card says of it."""
    answer = asked(folder, files, form)
    assert not answer.refused, answer.refused
    read(folder / "model").verify()
    told: dict[str, Any] = answer.description["import"]
    return network_of(folder / "model").eval(), told


def refusal(
    folder: Path,
    files: Mapping[str, bytes],
    form: Mapping[str, Any] | None = None,
    limits: ImportLimits | None = None,
) -> Any:
    """Import files that must be refused; return the first reason."""
    given = {"preprocessing": RAW} if form is None else form
    answer = asked(folder, files, given, limits)
    assert answer.refused
    assert not answer.files
    return answer.refused[0]


def answers(model: nn.Module, x: Array) -> Array:
    """Return what a network answers."""
    with torch.inference_mode():
        found: Array = model(torch.from_numpy(np.ascontiguousarray(x))).numpy()
    return found


def convolutional() -> nn.Sequential:
    """Return a small trained-looking network of torch's own layers."""
    torch.manual_seed(3)
    layers = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, stride=2, groups=6, bias=False),
        nn.ELU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.Tanh(),
        nn.Linear(5, 3),
    )
    norm = layers[1]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
        norm.weight.uniform_(0.5, 2)
    return layers.eval()


CONVOLUTIONAL = {
    "defaults": BARE,
    "layers": [
        {
            "name": "conv1",
            "kind": "conv2d",
            "filters": 6,
            "padding": "same",
            "normalization": {"kind": "batch", "epsilon": 1e-5},
            "activation": "relu",
        },
        {
            "name": "conv2",
            "kind": "conv2d",
            "filters": 6,
            "stride": 2,
            "groups": 6,
            "bias": False,
            "activation": "elu",
        },
        {"name": "pool", "kind": "max_pool2d"},
        {"name": "hidden", "kind": "dense", "units": 5, "activation": "tanh"},
        {"name": "output", "kind": "dense", "units": 3},
    ],
}
"""The same network in our words, for images of 2 x 6 x 6."""

IMAGES = np.random.default_rng(5).standard_normal((4, 2, 6, 6)).astype(np.float32)

KERAS = """
import sys
import keras
import numpy as np
layers, folder = keras.layers, sys.argv[1]
keras.utils.set_random_seed(7)
given = keras.Input((9, 8, 2))
x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(given)
x = layers.BatchNormalization()(x)
skip = layers.SeparableConv2D(6, 3, padding="same", use_bias=False)(x)
x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=1)(x)
x = layers.Conv2D(6, 1)(x)
x = layers.Add()([x, skip])
x = layers.LeakyReLU()(x)
gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
x = layers.Multiply()([x, layers.Conv2D(6, 1, activation="sigmoid")(gate)])
x = layers.MaxPooling2D(2, padding="same")(x)
x = layers.Concatenate()([x, layers.AveragePooling2D(2, padding="same")(skip)])
x = layers.Flatten()(x)
x = layers.Dropout(0.3)(x)
x = layers.Dense(7, activation="elu", name="features")(x)
model = keras.Model(given, layers.Dense(3, activation="softmax", name="classes")(x))
for weight in model.weights:
    weight.assign(np.random.default_rng(1).uniform(0.2, 1.2, weight.shape))
model.save(folder + "/graph.keras")
model.save(folder + "/graph.h5")
x = np.random.default_rng(2).random((3, 9, 8, 2), dtype=np.float32)
np.savez(folder + "/graph.npz", x=x, y=model.predict(x, verbose=0))
row = keras.Sequential(
    [keras.Input((5,)), layers.Rescaling(0.5, offset=-1), layers.Dense(4),
     layers.ReLU(), layers.Dense(2, activation="sigmoid")]
)
row.save(folder + "/row.keras")
norm = layers.Normalization()
norm.adapt(np.random.default_rng(4).normal(5, 3, (50, 5)))
twice = layers.Rescaling(2.0, offset=1.0)
fitted = keras.Sequential([keras.Input((5,)), norm, twice, layers.Dense(2)])
fitted.save(folder + "/fitted.keras")
x = np.random.default_rng(3).random((3, 5), dtype=np.float32)
np.savez(folder + "/fitted.npz", x=x, y=fitted.predict(x, verbose=0))
np.savez(folder + "/row.npz", x=x, y=row.predict(x, verbose=0))
"""


def keras_files(folder: Path) -> None:
    """Have Keras itself write two models and its answers."""
    program = [sys.executable, "-c", KERAS, str(folder)]
    environment = os.environ | {"KERAS_BACKEND": "torch", "KERAS_HOME": str(folder)}
    done = subprocess.run(
        program, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def number(value: int) -> bytes:
    """Return a protobuf varint."""
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def part(field: int, content: bytes | int) -> bytes:
    """Return one protobuf field."""
    if isinstance(content, int):
        return number(field << 3) + number(content)
    return number(field << 3 | 2) + number(len(content)) + content


def bundle(
    tensors: Mapping[str, Array], stem: str = "model.ckpt", claim: int = 1
) -> dict[str, bytes]:
    """Return a TensorFlow V2 checkpoint; `claim` multiplies the stated sizes."""
    content, entries = b"", [(b"", part(1, 1) + part(3, b"\x08\x01"))]
    for name, array in sorted(tensors.items()):
        raw = array.astype("<f4").tobytes()
        shape = b"".join(part(2, part(1, size)) for size in array.shape)
        fields = [part(1, 1), part(2, shape), part(4, len(content)), part(5, len(raw))]
        if claim != 1:
            fields[1] = part(2, part(2, part(1, array.size * claim)))
            fields[3] = part(5, len(raw) * claim)
        crc = struct.pack("<I", masked_crc32c(raw))
        entries.append((name.encode(), b"".join(fields) + number(6 << 3 | 5) + crc))
        content += raw
    block = _block(entries)
    index = _block([(b"\xff", number(0) + number(len(block) - 5))])
    handles = number(0) + number(0) + number(len(block)) + number(len(index) - 5)
    footer = handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    return {
        f"{stem}.index": block + index + footer,
        f"{stem}.data-00000-of-00001": content,
    }


def _block(entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(
        number(0) + number(len(k)) + number(len(v)) + k + v for k, v in entries
    )
    body += struct.pack("<II", 0, 1)
    return body + b"\0" + struct.pack("<I", masked_crc32c(body + b"\0"))


PROTOTXT = """
name: "small"  # a comment
input: "data" input_dim: 1 input_dim: 2 input_dim: 7 input_dim: 7
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 bias_term: false } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv"
  scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "out" type: "InnerProduct" bottom: "pool" top: "out"
  inner_product_param { num_output: 4 } }
layer { name: "prob" type: "Softmax" bottom: "out" top: "prob" }
"""


def caffemodel(layers: Mapping[str, Sequence[Array]]) -> bytes:
    """Return a `.caffemodel` with the arrays of each layer."""
    return b"".join(
        part(100, part(1, name.encode()) + b"".join(part(7, _blob(a)) for a in arrays))
        for name, arrays in layers.items()
    )


def _blob(array: Array) -> bytes:
    shape = part(1, b"".join(number(size) for size in array.shape))
    return part(5, array.astype("<f4").tobytes()) + part(7, shape)


def bomb(name: str, size: int) -> bytes:
    """Return a zip whose one member of zeros is packed a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(size)) + packer.flush()
    crc, title = zlib.crc32(bytes(size)), name.encode()
    local = struct.pack(
        "<IHHHHHIIIHH",
        0x04034B50,
        20,
        0,
        8,
        0,
        0,
        crc,
        len(packed),
        size,
        len(title),
        0,
    )
    central = struct.pack(
        "<IHHHHHHIIIHHHHHII",
        *(0x02014B50, 20, 20, 0, 8, 0, 0, crc, len(packed), size),
        *(len(title), 0, 0, 0, 0, 0, 0),
    )
    body = local + title + packed
    end = struct.pack(
        "<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(central + title), len(body), 0
    )
    return body + central + title + end
