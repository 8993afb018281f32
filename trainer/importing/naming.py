"""Names: of layers, as ours may be, and of tensors, as frameworks write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

RESERVED = frozenset({"input", "output"})

ROLES = {
    "weight": "weight",
    "weights": "weight",
    "kernel": "weight",
    "w": "weight",
    "gamma": "weight",
    "scale": "weight",
    "bias": "bias",
    "biases": "bias",
    "b": "bias",
    "beta": "bias",
    "offset": "bias",
    "running_mean": "running_mean",
    "moving_mean": "running_mean",
    "mean": "running_mean",
    "running_var": "running_var",
    "moving_variance": "running_var",
    "moving_var": "running_var",
    "variance": "running_var",
    "var": "running_var",
    "num_batches_tracked": "num_batches_tracked",
    "depthwise_kernel": "depthwise_weight",
    "depthwise_weight": "depthwise_weight",
    "pointwise_kernel": "pointwise_weight",
    "pointwise_weight": "pointwise_weight",
    "alpha": "weight",
}
"""The last word of a tensor's name → what the tensor is called in a layer here."""

_WORDS = "|".join(sorted(map(re.escape, ROLES), key=len, reverse=True))
_NAME = re.compile(
    rf"(?P<before>.*?)(?:^|[./_:])(?P<role>{_WORDS})(?P<number>\d*)(?::0)?",
    re.IGNORECASE,
)
_BARE = re.compile(r"(?P<role>[wb])(?P<number>\d+)", re.IGNORECASE)
_NATURAL = re.compile(r"(\d+)")
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


@dataclass(frozen=True)
class TensorName:
    """The name of a tensor, taken apart."""

    whole: str
    group: str
    """What tensors of one layer have in common; the whole name if it is one word."""
    role: str | None
    """What it is called in a layer here; None if its last word says nothing."""


def taken_apart(name: str) -> TensorName:
    """Return the layer's part of a tensor's name and what the tensor is there."""
    plain = name.removesuffix(VALUE)
    bare = _BARE.fullmatch(plain)
    if bare is not None:
        return TensorName(name, bare["number"], ROLES[bare["role"].lower()])
    found = _NAME.fullmatch(plain)
    if found is None:
        return TensorName(name, plain, None)
    group = found["before"] + (f"#{found['number']}" if found["number"] else "")
    return TensorName(name, group, ROLES[found["role"].lower()])


def natural(name: str) -> list[tuple[int, int | str]]:
    """Return a key that sorts layer 2 before layer 10."""
    parts = _NATURAL.split(name)
    return [(0, int(p)) if p.isdigit() else (1, p) for p in parts if p]


def plain(name: str) -> str:
    """Return a foreign name as a layer's name may be written here."""
    text = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:100]
    return text if text and text[0].isalnum() else f"layer_{text}"[:100]


def unique(name: str, taken: Container[str]) -> str:
    """Return the name, numbered where it is taken or has a meaning of its own."""
    wanted = plain(name)
    found, number = wanted, 1
    while found in taken or found in RESERVED:
        number += 1
        found = f"{wanted[:90]}_{number}"
    return found


def listed(names: Iterable[str], most: int = 20) -> str:
    """Return names in one line, the first of many."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(repr(name) for name in every[:most]) + more
