"""What a time series asks of the way in which rows are held back."""

from trainer.spec.data import DatasetRef, Rows, Windows
from trainer.spec.data.schema import Schema
from trainer.spec.errors import Problem, pointer


def reach(windows: Windows) -> int:
    """Return how many rows lie between the first row of a window and its target."""
    return windows.length + windows.horizon - 1


def series_problems(ref: DatasetRef, schema: Schema) -> list[Problem]:
    """Say what does not go with examples that overlap and are divided by time."""
    if ref.windows is None:
        return []
    problems = []
    for use in ("validation", "test"):
        if isinstance(getattr(ref.split, use), Rows):
            detail = (
                "a time series is divided by time: the windows after these rows would "
                "know them; give a share, which takes the latest, or an uploaded part"
            )
            place = pointer("dataset", "split", use)
            problems.append(Problem(place, "not_by_time", detail, "0.1"))
    if ref.split.stratify:
        detail = "a time series is divided by time, not by the shares of its classes"
        place = pointer("dataset", "split", "stratify")
        problems.append(Problem(place, "not_by_time", detail, "false"))
    longest = max(part.rows for part in schema.parts)
    if longest <= reach(ref.windows):
        detail = (
            f"a window of {ref.windows.length} rows with its target "
            f"{ref.windows.horizon} steps on takes {reach(ref.windows) + 1} rows, the "
            f"data set has {longest}"
        )
        place = pointer("dataset", "windows", "length")
        problems.append(Problem(place, "too_few_rows", detail))
    return problems


def windows_in(rows: float, windows: Windows | None) -> float:
    """Return about how many examples so many rows make; one each without windows."""
    if windows is None:
        return rows
    return max(1.0, (rows - reach(windows)) / windows.stride)
