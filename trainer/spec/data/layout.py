"""How one row of the network's input divides into columns.

Most columns are numbers that any layer can take. A category's place in a list and the
tokens of a text are numbers too, but only names: they mean something once a layer has
looked up the vector that it has learned for each.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from trainer.spec.base import Count, Spec


class Numbers(Spec):
    """Numbers that are taken as they are."""

    kind: Literal["numbers"] = "numbers"
    width: Count
    """How many of them."""

    @property
    def size(self) -> int:
        """Return how many numbers come out of a row's part."""
        return self.width


class Category(Spec):
    """One number that names a category: 0 is unknown, 1 is missing."""

    kind: Literal["category"] = "category"
    column: str
    """Name of the column."""
    vocabulary_size: Count
    """Categories, with unknown and missing."""
    dimension: Count
    """Numbers of the vector that is learned for each."""

    @property
    def width(self) -> int:
        """Return how many numbers of the row it takes: one."""
        return 1

    @property
    def size(self) -> int:
        """Return how many numbers come out of a row's part."""
        return self.dimension


class Tokens(Spec):
    """The numbers of a text's tokens: 0 fills the rest, 1 is an unknown token."""

    kind: Literal["tokens"] = "tokens"
    column: str
    """Name of the column."""
    length: Count
    """Tokens of a text that are kept."""
    vocabulary_size: Count
    """Tokens that are told apart, with 0 and 1."""
    dimension: Count
    """Numbers of the vector that is learned for each."""

    @property
    def width(self) -> int:
        """Return how many numbers of the row it takes."""
        return self.length

    @property
    def size(self) -> int:
        """Return how many numbers come out of a row's part."""
        return self.dimension


InputPart = Annotated[Numbers | Category | Tokens, Field(discriminator="kind")]
"""A run of numbers in a row of the input."""


def joined(parts: Sequence[Numbers | Category | Tokens]) -> tuple[InputPart, ...]:
    """Return the parts with neighbouring numbers as one."""
    found: list[Numbers | Category | Tokens] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, Numbers) and isinstance(last, Numbers):
            found[-1] = Numbers(width=last.width + part.width)
        else:
            found.append(part)
    return tuple(found)


def names_things(parts: Sequence[Numbers | Category | Tokens]) -> bool:
    """Return whether some of the numbers are names, which a layer must look up."""
    return any(not isinstance(part, Numbers) for part in parts)
