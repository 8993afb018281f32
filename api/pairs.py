"""Rows for a model of pairs: each is a list of two examples, in their usual form."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from api.errors import InvalidInput
from api.problems import Fault

PAIR = 2
MOST_FAULTS = 100


def members(rows: Sequence[Any], place: str, columns: int) -> list[Any]:
    """Return the examples of all pairs, the two of each side by side.

    Raises:
        InvalidInput: a row is no list of two.
    """
    faults = [
        Fault(
            pointer=f"/{place}/{number}",
            code="not_a_pair",
            detail="this model compares two examples: give a list of two, each as "
            + ("an object of its columns" if columns > 1 else "the data set has it"),
        )
        for number, row in enumerate(rows)
        if not isinstance(row, list) or len(row) != PAIR
    ]
    if faults:
        raise InvalidInput(faults[:MOST_FAULTS], code="invalid_rows")
    return [example for pair in rows for example in pair]


@contextmanager
def told_by_pair(place: str) -> Iterator[None]:
    """Name examples by their pair and their place in it, where some are refused.

    Raises:
        InvalidInput: as raised inside, with other pointers.
    """
    try:
        yield
    except InvalidInput as error:
        faults = [
            fault.model_copy(update={"pointer": _in_pair(fault.pointer, place)})
            for fault in error.faults
        ]
        raise InvalidInput(faults, code=error.code) from error


def _in_pair(pointer: str, place: str) -> str:
    """Return /rows/1/0/length for /rows/2/length."""
    start = f"/{place}/"
    number, *rest = pointer.removeprefix(start).split("/")
    if not pointer.startswith(start) or not number.isdigit():
        return pointer
    pair, member = divmod(int(number), PAIR)
    return "/".join([f"/{place}", str(pair), str(member), *rest])
