"""The process that trains: threads, kernels, what the exact bits depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from trainer.frozen import numeric_route

if TYPE_CHECKING:
    from collections.abc import Mapping

EXACT = 2e-3
"""Largest error of a float32 product of 1024 terms of size one; bfloat16 makes 0.1."""
SHAPES = ((50, 784, 300), (256, 300, 100), (1024, 1024, 64))
"""Products whose error is looked at before other kernels are trusted."""


def choose_device(name: str) -> torch.device:
    """Return the device that a name means; ``auto`` is the first GPU or the CPU."""
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def settle(threads: int) -> None:
    """Fix what the exact bits depend on, the same way in every process of a machine.

    On x86 processors that are not Intel's, with AVX-512 and without AMX, the products
    of MKL take half the processor's width; "medium" sends them to oneDNN, which takes
    all of it. The choice follows from the processor and from the error of a few
    products, never from a timing, so that two runs on one machine choose alike.
    """
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("highest")
    if _wide_and_not_intel():
        torch.set_float32_matmul_precision("medium")
        if not _products_are_exact():
            torch.set_float32_matmul_precision("highest")


def fingerprint(
    device: torch.device, micro_batch: int | None = None
) -> dict[str, object]:
    """Return what the exact bits of a training depend on beside the spec and data."""
    return {
        "frostline": _version("frostline"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "route": numeric_route(device),
        "threads": torch.get_num_threads(),
        "micro_batch": micro_batch,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _wide_and_not_intel() -> bool:
    facts = _processor_facts()
    flags = facts.get("flags", "").split()
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and "amx_tile" not in flags
        and facts.get("vendor_id") != "GenuineIntel"
    )


def _processor_facts() -> Mapping[str, str]:
    """Return what Linux says of the first processor; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    lines = text.partition("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _products_are_exact() -> bool:
    """Return whether products at the chosen precision have the error of float32."""
    generator = torch.Generator().manual_seed(1)
    for rows, terms, columns in SHAPES:
        left = torch.randn(rows, terms, generator=generator)
        right = torch.randn(terms, columns, generator=generator)
        true = left.double() @ right.double()
        if float(((left @ right).double() - true).abs().max()) > EXACT:
            return False
    return True
