"""Where files lie in the data folder.

Rows hold folders relative to the data folder; ``absolute`` is the way back. A folder
counts only when its row is committed, and is never overwritten.
"""

from pathlib import Path

from catalog.settings import settings


def absolute(relative: str) -> Path:
    """Return the place of a folder or file that a row names."""
    return settings().folder / relative


def dataset(sha256: str) -> str:
    """Return the folder of a data set's content."""
    return f"datasets/{sha256}"


def attempt(job_id: str, attempt: int) -> str:
    """Return the folder that only this attempt writes to."""
    return f"jobs/{job_id}/a{attempt}"


def checkpoints(job_id: str, number: int) -> str:
    """Return the folder of an attempt's checkpoints."""
    return f"{attempt(job_id, number)}/checkpoints"


def log(job_id: str, number: int) -> str:
    """Return the file of an attempt's log."""
    return f"{attempt(job_id, number)}/log.txt"


def model(job_id: str, number: int) -> str:
    """Return the folder of the model that an attempt makes."""
    return f"models/{job_id}-a{number}"


def imported(token: str) -> str:
    """Return the folder of a model that came from elsewhere."""
    return f"models/imported-{token}"
