"""Which steps of a sequence are padding: where that is read off, and how steps move.

Ids of 0 in what an embedding is given are padding. A ``Mask`` names the layer that
gives those ids and how the steps have moved since; the network works the steps out
again wherever they are asked for, so a mask is no value beside the others: it need not
be kept at the frozen cut, saved or exported. It ends where the steps end.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Slide:
    """A window went over the steps.

    With padding ``valid`` an output is real where the window saw as many real steps as
    any window of that sequence: all that it has taps, or, in a sequence shorter than
    the window, every step there is. Otherwise it is real where the step is, at which
    the window stood.
    """

    size: int
    stride: int = 1
    padding: str = "valid"
    dilation: int = 1


@dataclass(frozen=True)
class Border:
    """Steps that are padding were put before and after; negative numbers cut off."""

    before: int
    after: int


@dataclass(frozen=True)
class Repeat:
    """Every step was given several times."""

    times: int


@dataclass(frozen=True)
class Spread:
    """Every step was spread over several, as a transposed convolution does."""

    size: int
    stride: int


Move = Slide | Border | Repeat | Spread


@dataclass(frozen=True)
class Mask:
    """Which steps of a layer's outputs are real."""

    source: str = ""
    """Name of the layer whose outputs are the ids: (steps,)."""
    moves: tuple[Move, ...] = ()
    """What has happened to the steps since, in order."""
    joined: tuple["Mask | int", ...] = ()
    """In place of a source: the masks of sequences that were put one behind the other,
    and the lengths of those that have no padding."""

    @property
    def sources(self) -> frozenset[str]:
        """Return the layers whose ids must be known."""
        parts = (part.sources for part in self.joined if isinstance(part, Mask))
        return frozenset({self.source} - {""}).union(*parts)

    def then(self, move: Move) -> "Mask":
        """Return the mask after one more move; one that moves nothing is left out."""
        same = isinstance(move, Slide) and move.stride == 1 and move.padding != "valid"
        return self if same else replace(self, moves=(*self.moves, move))
