"""How many rows make an epoch, a step, and one pass through the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.modules.batchnorm import _BatchNorm

from trainer.errors import TooFewRows

if TYPE_CHECKING:
    from torch import nn

    from trainer.spec.training import Training as Recipe


def rows_per_epoch(network: nn.Module, rows: int, recipe: Recipe) -> int:
    """Return how many rows of each epoch's order are used: all, or all but one.

    Batch normalisation cannot learn from a last batch of a single row.

    Raises: TooFewRows.
    """
    normalised = any(isinstance(module, _BatchNorm) for module in network.modules())
    if recipe.optimizer.full_batch and rows > 1 and recipe.batch_size > 1:
        return rows  # a single row left over joins the part before it
    if not normalised or (rows % recipe.batch_size != 1 and recipe.batch_size > 1):
        return rows
    if rows == 1 or recipe.batch_size == 1:
        why = "batch normalisation needs at least two rows in a batch"
        raise TooFewRows(min(rows, recipe.batch_size), why)
    return rows - 1


def rows_per_step(rows: int, recipe: Recipe) -> int:
    """Return how many of an epoch's rows an optimizer step is over."""
    return rows if recipe.optimizer.full_batch else recipe.batch_size


def rows_at_once(recipe: Recipe, micro_batch: int | None) -> int | None:
    """Return how many rows go through the network at once; None: those of a step.

    Where a step is over all rows, `batch_size` bounds them; `micro_batch` is the bound
    that memory has set.
    """
    if not recipe.optimizer.full_batch:
        return micro_batch
    return min(recipe.batch_size, micro_batch or recipe.batch_size)
