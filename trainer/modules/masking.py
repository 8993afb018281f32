"""Which steps of a batch of sequences are real, and what becomes of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import conv1d, conv_transpose1d, pad

from trainer.spec.masks import Border, Mask, Slide, Spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from trainer.spec.masks import Move

Masks = tuple["Tensor | None", ...]
"""For each input of a layer which of its steps are real, (batch, steps); None: all."""


def first_of(masks: Masks) -> Tensor | None:
    """Return the mask of a layer's first input, if it has one."""
    return masks[0] if masks else None


def real_steps(ids: Tensor) -> Tensor:
    """Return where ids are no padding: (batch, steps), true or false."""
    return ids >= 1


def mask_of(mask: Mask, ids: Mapping[str, Tensor]) -> Tensor:
    """Return which steps are real after all that has happened to the ids' steps."""
    real = _joined(mask, ids) if mask.joined else real_steps(ids[mask.source])
    for move in mask.moves:
        real = _moved(real, move)
    return real


def _joined(mask: Mask, ids: Mapping[str, Tensor]) -> Tensor:
    """Return which steps of sequences are real that lie one behind the other."""
    real = [mask_of(part, ids) for part in mask.joined if isinstance(part, Mask)]
    some = real[0][:, :1]
    all_real = some | ~some  # of the batch's size, which no constant has
    rest = iter(real)
    parts = [
        all_real.expand(-1, part) if isinstance(part, int) else next(rest)
        for part in mask.joined
    ]
    return torch.cat([part.float() for part in parts], dim=1) >= 1


def _moved(real: Tensor, move: Move) -> Tensor:
    if isinstance(move, Slide):
        return _slid(real, move)
    if isinstance(move, Spread):
        reach = torch.ones(1, 1, max(move.size, move.stride), device=real.device)
        seen = conv_transpose1d(real.float().unsqueeze(1), reach, stride=move.stride)
        return seen.squeeze(1) >= 1
    if isinstance(move, Border):
        return pad(real.float(), (move.before, move.after)) >= 1
    return real.unsqueeze(2).expand(-1, -1, move.times).flatten(1)


def _slid(real: Tensor, move: Slide) -> Tensor:
    if move.padding != "valid":
        return real[:, :: move.stride]
    taps = torch.ones(1, 1, move.size, device=real.device)
    seen = conv1d(
        real.float().unsqueeze(1), taps, stride=move.stride, dilation=move.dilation
    ).squeeze(1)
    return seen >= seen.amax(dim=1, keepdim=True).clamp(min=1)


def only_real(x: Tensor, real: Tensor | None, value: float = 0.0) -> Tensor:
    """Return x (batch, steps, features) with `value` in the steps that are padding."""
    return x if real is None else x.masked_fill(~real.unsqueeze(-1), value)


def lengths(real: Tensor) -> Tensor:
    """Return how many steps of each sequence are real, at least 1: (batch, 1)."""
    return real.float().sum(dim=1, keepdim=True).clamp(min=1)


def masks_of(
    masks: Sequence[Mask | None], ids: dict[str, Tensor], known: dict[Mask, Tensor]
) -> Masks:
    """Return the masks of a layer's inputs; those worked out before are in `known`."""
    for mask in masks:
        if mask is not None and mask not in known:
            known[mask] = mask_of(mask, ids)
    return tuple(None if mask is None else known[mask] for mask in masks)
