"""How frameworks lay weights out, and how they lie here: (out, in, height, width)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trainer.importing.found import Array
    from trainer.spec.shapes import Shape


def from_hwio(kernel: Array) -> Array:
    """Return a kernel (height, width, in, out) as (out, in, height, width)."""
    return np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))


def from_depthwise(kernel: Array) -> Array:
    """Return (height, width, channels, multiplier) as (channels x multiplier, 1, …).

    Filter m of channel c is number c x multiplier + m, as in a grouped convolution.
    """
    height, width, channels, multiplier = kernel.shape
    turned = kernel.transpose(2, 3, 0, 1)
    return np.ascontiguousarray(turned.reshape(channels * multiplier, 1, height, width))


def dense_from_last(kernel: Array, image: Shape) -> Array:
    """Return a kernel (in, out) whose inputs are put from channels last to first.

    `image` is the (channels, height, width) that was flattened.
    """
    channels, *sizes = image
    units = kernel.shape[-1]
    laid = kernel.reshape(*sizes, channels, units)
    return np.ascontiguousarray(np.moveaxis(laid, -2, 0).reshape(-1, units))
