"""Turn and zoom images about their centre; between pixels values are interpolated."""

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

PADDING = {"zeros": "zeros", "edge": "border", "reflect": "reflection"}
"""torch's words for what lies outside."""
DIGITS = 6
"""Decimals of sines and cosines: a right angle then is one."""


def turned(x: Tensor, angles: Tensor, fill: str) -> Tensor:
    """Return images turned counter-clockwise by angles in radians: (batch,)."""
    height, width = x.shape[2:]
    cosine = angles.cos().round(decimals=DIGITS)
    sine = angles.sin().round(decimals=DIGITS)
    zero = torch.zeros_like(cosine)
    # the grid counts from -1 to 1 along either side: a pixel is 2 / width, 2 / height
    rows = [
        torch.stack([cosine, -sine * (height / width), zero], dim=1),
        torch.stack([sine * (width / height), cosine, zero], dim=1),
    ]
    return _warped(x, torch.stack(rows, dim=1), fill)


def zoomed(x: Tensor, factors: Tensor, fill: str) -> Tensor:
    """Return images enlarged by factors (batch,) about their centre."""
    shrink = 1 / factors
    zero = torch.zeros_like(shrink)
    rows = [
        torch.stack([shrink, zero, zero], dim=1),
        torch.stack([zero, shrink, zero], dim=1),
    ]
    return _warped(x, torch.stack(rows, dim=1), fill)


def _warped(x: Tensor, places: Tensor, fill: str) -> Tensor:
    """Return images whose pixel p shows the place `places` · p of the given ones.

    Shapes:
        places: (batch, 2, 3), for places (x, y, 1) from -1 to 1.
    """
    grid = affine_grid(places.to(x.dtype), list(x.shape), align_corners=False)
    return grid_sample(x, grid, padding_mode=PADDING[fill], align_corners=False)
