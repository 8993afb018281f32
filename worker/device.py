"""Which device a worker owns, and what its trainers must find in their environment.

Nothing here imports torch: the worker asks the driver's own files and tools.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/gpus")


class NoSuchDevice(Exception):
    """The worker was told to own a device that the machine does not show."""

    def __init__(self, asked: str, found: list[str]) -> None:
        shown = ", ".join(found) or "none"
        super().__init__(
            f"device {asked!r} was asked for, but the GPUs of this machine are: "
            f"{shown}; set FROSTLINE_DEVICE to one of them, to cpu or to auto"
        )
        self.asked, self.found = asked, found


@dataclass(frozen=True)
class Device:
    """What one worker owns."""

    kind: str
    """``cpu`` or ``cuda``: it names the queue that the worker listens to."""
    index: int | None = None
    gpu: str | None = None
    """The GPU's own name, which stays when the order of the cards changes."""

    def __str__(self) -> str:
        return self.kind if self.index is None else f"{self.kind}:{self.index}"

    @property
    def trainer_device(self) -> str:
        """Return the device as the trainer sees it: it is shown only this one."""
        return "cpu" if self.kind == "cpu" else "cuda:0"


def gpus() -> list[str]:
    """Return the unique names of the GPUs that the driver shows, in its order."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return (
            [f"{n}" for n, _ in enumerate(DRIVER.iterdir())] if DRIVER.is_dir() else []
        )
    try:
        answer = subprocess.run(
            [tool, "--query-gpu=uuid", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if answer.returncode:
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


def choose(asked: str, found: list[str] | None = None) -> Device:
    """Return the device that the setting asks for.

    Raises:
        NoSuchDevice: a GPU was named that the driver does not show.
    """
    if asked == "cpu":
        return Device("cpu")
    found = gpus() if found is None else found
    if asked == "auto" and not found:
        return Device("cpu")
    index = 0 if asked in {"auto", "cuda"} else int(asked.partition(":")[2])
    if index >= len(found):
        raise NoSuchDevice(asked, found)
    return Device("cuda", index, found[index])


def trainer_environment(
    device: Device, threads: int, inherited: dict[str, str]
) -> dict[str, str]:
    """Return the environment of a trainer that owns `device`.

    The numbers of threads and the cuBLAS workspace are fixed before anything is
    imported, because the last bits of a sum depend on them. A trainer is not shown
    where the database or Redis are.
    """
    kept = {k: v for k, v in inherited.items() if not k.startswith("FROSTLINE_")}
    return kept | {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "RAYON_NUM_THREADS": str(threads),  # the tokenizers'
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": device.gpu or "",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
    }
