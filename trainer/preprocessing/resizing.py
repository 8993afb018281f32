"""Images of one size and number of channels made into those of another.

Bilinear with antialiasing: each new pixel is the mean of the old ones under a triangle
as wide as the wider of the two pixels; both directions are a product with a matrix. The
same numbers as ``torch.nn.functional.interpolate(mode="bilinear", antialias=True)`` and
Pillow's ``BILINEAR`` (before it rounds). Grey from colour is Y' of ITU-R BT.601 (1982);
colour from grey is three times the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]

GREY, COLOUR = 1, 3
LUMA = (0.299, 0.587, 0.114)


def interpolation(size: int, wanted: int) -> Array:
    """Return the matrix (wanted, size) that resizes one direction."""
    scale = size / wanted
    centres = scale * (np.arange(wanted) + 0.5)
    reach = max(scale, 1.0)
    away = np.abs(np.arange(size)[None, :] + 0.5 - centres[:, None]) / reach
    weights = np.maximum(0, 1 - away)
    found: Array = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


def mixture(channels: int, wanted: int) -> Array | None:
    """Return the matrix (wanted, channels) between grey and colour; None: no change."""
    if channels == wanted:
        return None
    if (channels, wanted) == (GREY, COLOUR):
        return np.ones((COLOUR, GREY), np.float32)
    return np.asarray([LUMA], np.float32)


def resized(images: Array, shape: tuple[int, ...]) -> Array:
    """Return images in another size and number of channels.

    Shapes:
        images (rows, channels, height, width); returns (rows, *shape).
    """
    mixed = mixture(images.shape[1], shape[0])
    if mixed is not None:
        images = np.einsum("oc,rchw->rohw", mixed, images)
    down = interpolation(images.shape[2], shape[1])
    across = interpolation(images.shape[3], shape[2])
    found: Array = np.matmul(np.matmul(down, images), across.T)
    return found
