"""Blank out parts of each row."""

import torch
from torch import Tensor


def erased(x: Tensor, inside: Tensor, value: float) -> Tensor:
    """Return the batch with `value` wherever `inside` says so."""
    return x.masked_fill(inside, value)


def rectangles(x: Tensor, areas: Tensor, ratios: Tensor) -> Tensor:
    """Return for each image which pixels lie in a rectangle drawn somewhere in it.

    Shapes:
        areas: (batch,), shares of the image's; ratios: (batch,), height to width in
        units of the image's; returns (batch, 1, height, width).
    """
    inside = torch.ones((), dtype=torch.bool, device=x.device)
    sides = (areas * ratios).sqrt(), (areas / ratios).sqrt()
    for axis, side in zip((2, 3), sides, strict=True):
        size = x.shape[axis]
        length = (side * size).round().clamp(max=size)
        shape = [len(x), *(size if each == axis else 1 for each in (1, 2, 3))]
        inside = inside & _run(length, size).reshape(shape)
    return inside


def runs(x: Tensor, most: int) -> Tensor:
    """Return for each sequence which steps lie in a run of 0 to `most`, anywhere.

    Shapes:
        x: (batch, steps, features); returns (batch, steps, 1).
    """
    most = min(most, x.shape[1])
    length = torch.randint(0, most + 1, (len(x),), device=x.device)
    return _run(length, x.shape[1])[:, :, None]


def _run(lengths: Tensor, size: int) -> Tensor:
    """Return which of `size` places lie in a run of that length: (batch, size)."""
    room = size - lengths + 1
    start = (torch.rand(len(lengths), device=lengths.device) * room).floor()
    places = torch.arange(size, device=lengths.device)
    return (places >= start[:, None]) & (places < (start + lengths)[:, None])
