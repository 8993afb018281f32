"""Telling that memory ran out from every other failure."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from trainer.errors import OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSALS = ("can't allocate memory", "not enough memory", "out of memory")
"""What torch's allocators say, on the CPU as a plain RuntimeError."""


@contextmanager
def in_memory(phase: str, rows: int, device: str) -> Iterator[None]:
    """Raise OutOfMemory where the block runs out of memory, and nothing else."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise OutOfMemory(phase=phase, rows=rows, device=device) from error
    except RuntimeError as error:
        if any(words in str(error) for words in REFUSALS):
            raise OutOfMemory(phase=phase, rows=rows, device=device) from error
        raise
