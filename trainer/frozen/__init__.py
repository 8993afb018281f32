"""Frozen layers: what keeps its values, what that makes a fixed function, the proof.

The cut, the outputs below it and the hashes are here; where those outputs are kept is
`frozen.cache`, when they are computed is `frozen.outputs`.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainer.errors import FrozenMoved
from trainer.frozen import room
from trainer.saved.model_folder import tensor_sha256

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from torch import Tensor

    from trainer.network import Cut, Network

CHUNK = 1024
"""Most rows in one forward pass through frozen layers."""
CHUNK_BYTES = {"cpu": 12 * 2**20, "cuda": 2**28}
"""Most bytes of one layer's output in a pass. On a CPU what leaves the second cache
halves the speed: conv32-conv64 on 28x28 took 0.83 ms a row at 64 rows, 1.71 at 1024."""

FLOAT_BYTES = 4

WITHOUT_EFFECT = {
    "initializer",
    "bias_initializer",
    "dropout",
    "regularization",
    "learning_rate_multiplier",
    "activity_regularization",
}
"""Fields of a layer that change nothing once its weights are given and it is frozen."""


class Rows(Protocol):
    """Rows of network input, sliced by position; a tensor is one."""

    def __len__(self) -> int:
        """Return how many rows there are."""

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Return the rows as the network takes them."""


class Frozen:
    """The layers of one network that keep their values.

    Making it takes their parameters out of training; `hold` must follow every
    `network.train()`, which would wake their dropout and batch normalisation.
    With `normalization="train"` their batch normalisation uses and tracks the new
    data's statistics, which are then no part of what is frozen.
    """

    def __init__(
        self,
        network: Network,
        layers: Collection[str],
        normalization: Literal["eval", "train"] = "eval",
    ) -> None:
        self.network = network
        self.layers = frozenset(layers)
        self.normalization = normalization
        for name in self.layers:
            network.layers[name].requires_grad_(requires_grad=False)
        self.awake = frozenset(
            name
            for name in self.layers
            if normalization == "train" and _normalizations(network.layers[name])
        )
        """Frozen layers that still depend on the other examples of a batch."""
        self.cut = network.cut(self.layers - self.awake)

    def __bool__(self) -> bool:
        """Tell whether any layer is frozen."""
        return bool(self.layers)

    def hold(self) -> None:
        """Put the frozen layers to sleep again after `network.train()`."""
        for name in self.layers:
            layer = self.network.layers[name].eval()
            if name in self.awake:
                for _, module in _normalizations(layer):
                    module.train()

    def learning(self) -> list[nn.Parameter]:
        """Return the parameters that training may change, in the network's order."""
        return [p for p in self.network.parameters() if p.requires_grad]

    def tensors(self) -> dict[str, Tensor]:
        """Return every parameter and buffer that must not change, by its name."""
        tensors = {}
        for name in sorted(self.layers):
            layer = self.network.layers[name]
            moving = {
                f"{prefix}.{buffer}".lstrip(".")
                for prefix, module in _normalizations(layer)
                if name in self.awake
                for buffer, _ in module.named_buffers()
            }
            for tensor, value in layer.state_dict().items():
                if tensor not in moving:
                    tensors[f"{name}.{tensor}"] = value
        return tensors

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of every tensor that must not change."""
        return {name: tensor_sha256(value) for name, value in self.tensors().items()}


def proof(before: Mapping[str, str], after: Mapping[str, str]) -> list[dict[str, str]]:
    """Set the hashes in the source's file beside those in the registered file.

    Raises:
        FrozenMoved: a tensor differs or is missing.
    """
    if moved := [name for name in before if before[name] != after.get(name)]:
        raise FrozenMoved(moved)
    return [
        {"tensor": name, "before": before[name], "after": after[name]}
        for name in before
    ]


def chunk_rows(network: Network, cut: Cut, device: torch.device) -> int:
    """Return how many rows go through the frozen layers at once.

    It follows from the network and the device, never from the batch: a product's last
    bits depend on its size, so kept and recomputed outputs must share one.
    """
    below = set(cut.below)
    widest = max(
        (prod(row.output_shape) for row in network.rows if row.name in below), default=1
    )
    chunk, limit = CHUNK, CHUNK_BYTES.get(device.type, CHUNK_BYTES["cuda"])
    while chunk > 1 and chunk * widest * FLOAT_BYTES > limit:
        chunk //= 2
    return chunk


def chunks(
    network: Network, cut: Cut, rows: Rows, device: torch.device, chunk: int
) -> Iterator[tuple[dict[str, Tensor], float]]:
    """Yield the outputs at the cut of fixed runs of rows, and the seconds they took.

    Rows come in their own order; reading and converting them is not in the seconds.

    This one function fills the cache and recomputes what is not kept, so both give
    the same bits. Layers below the cut are put to sleep for good: none of them ever
    trains. The outputs can be trained on, which those of inference mode cannot.
    """
    for name in cut.below:
        network.layers[name].eval()
    for start in range(0, len(rows), chunk):
        x = rows[start : start + chunk].to(device)
        started = time.perf_counter()
        with torch.no_grad():
            values = network.run_below(cut, x)
        settle(values)
        yield values, time.perf_counter() - started


def features(
    network: Network, cut: Cut, rows: Rows, device: torch.device, chunk: int
) -> tuple[dict[str, Tensor], float]:
    """Return the outputs at the cut of all rows, and the seconds they took.

    In evaluation mode a frozen layer is a fixed function of one example: training the
    layers above on these outputs is training the whole network. Source: Géron (2017),
    Hands-On Machine Learning, chapter 11, "Caching the Frozen Layers".

    Shapes:
        each value (rows, *shape of that layer's output), on `device`.
    """
    gathered: dict[str, Tensor] = {}
    start, seconds = 0, 0.0
    for values, took in chunks(network, cut, rows, device, chunk):
        for name, value in values.items():
            if name not in gathered:
                shape = (len(rows), *value.shape[1:])
                gathered[name] = room.empty(shape, value.dtype, value.device)
            gathered[name][start : start + len(value)] = value
        start += chunk
        seconds += took
    return gathered, seconds


def settle(values: Mapping[str, Tensor]) -> None:
    """Wait until the device has computed the values, so that the clock is honest."""
    for value in values.values():
        if value.device.type == "cuda":
            torch.cuda.synchronize(value.device)
            return


def layers_sha256(network: Network, cut: Cut) -> str:
    """Return a hash of all that the outputs at the cut depend on but the input."""
    lenders = [network.lenders[name] for name in cut.below if name in network.lenders]
    below = {*cut.below, *lenders}
    architecture = [
        layer.model_dump(mode="json", exclude=WITHOUT_EFFECT)
        for layer in network.spec.layers
        if layer.name in below
    ]
    tensors = {
        f"{name}.{tensor}": tensor_sha256(value)
        for name in dict.fromkeys([*cut.below, *lenders])
        for tensor, value in network.layers[name].state_dict().items()
    }
    text = json.dumps([architecture, tensors, list(network.shape)], sort_keys=True)
    return hashlib.sha256(text.encode(), usedforsecurity=False).hexdigest()


def numeric_route(device: torch.device) -> str:
    """Say which kernels compute on the device: others differ in the last bits."""
    facts: dict[str, object] = {
        "device": device.type,
        "matmul": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
    if device.type == "cuda":
        facts["name"] = torch.cuda.get_device_name(device)
        facts["cuda"] = str(torch.version.cuda)
        facts["cudnn"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        facts["tf32"] = torch.backends.cudnn.allow_tf32
    else:
        facts["name"] = _processor()
        facts["kernels"] = torch.backends.cpu.get_cpu_capability()
        facts["onednn"] = torch.backends.mkldnn.enabled
        facts["threads"] = torch.get_num_threads()
    return json.dumps(facts, sort_keys=True)


def _normalizations(layer: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(n, m) for n, m in layer.named_modules() if isinstance(m, _BatchNorm)]


def _processor() -> str:
    """Return the processor's name: libraries choose kernels by it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.machine()).strip()
