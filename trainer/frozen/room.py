"""How much memory is free where a device computes."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

CGROUP = Path("/sys/fs/cgroup")
CGROUP_FILES = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Where Linux says what a container may use and does use."""


def free(device: torch.device) -> int:
    """Return the bytes that are free where the device computes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([psutil.virtual_memory().available, *free_in_container(CGROUP)])


def free_in_container(root: Path) -> list[int]:
    """Return what the container's limit leaves, for either version of cgroups.

    Cached files count as used there, so this errs on the side of the disk.
    """
    found = []
    for limit, used in CGROUP_FILES:
        try:
            most, now = (root / limit).read_text(), (root / used).read_text()
            found.append(max(0, int(most) - int(now)))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return found
