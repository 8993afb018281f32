"""How many words texts have: what the width of a text column follows from.

The words are those of the tokenizer that is trained later (`trainer.preprocessing.
tokens`): runs of letters and digits, runs of other signs, in lower case.
"""

import re
import unicodedata
from collections.abc import Iterable

from pydantic import Field

from trainer.spec.base import Spec

WORD = re.compile(r"\w+|[^\w\s]+")
SEEN = 20_000
"""Texts that are counted; more change nothing that follows from them."""
CHARACTERS = 20_000
"""Characters of one text that are looked at."""
SHARE = 0.95
"""Share of the texts that the stated length holds in full."""


class WordCount(Spec):
    """How many words the texts of a column have, over its training rows."""

    length: int = Field(ge=0)
    """Words that 95 % of the texts do not exceed."""
    distinct: int | None = None
    """Different words, in lower case; None where not all texts were counted."""


class Counting:
    """Counts the words of texts as they come."""

    def __init__(self) -> None:
        self._lengths: list[int] = []
        self._words: set[str] = set()
        self._all = True

    def see(self, texts: Iterable[str | None]) -> None:
        """Count a few texts; what is missing has no words."""
        for text in texts:
            if len(self._lengths) >= SEEN:
                self._all = False
                return
            found = words(text or "")
            self._all &= len(text or "") <= CHARACTERS
            self._lengths.append(len(found))
            self._words.update(found)

    def counted(self) -> WordCount:
        """Return what was found so far."""
        lengths = sorted(self._lengths) or [0]
        rank = min(len(lengths) - 1, int(SHARE * len(lengths)))
        distinct = len(self._words) if self._all else None
        return WordCount(length=lengths[rank], distinct=distinct)


def words(text: str) -> list[str]:
    """Return the words of the beginning of a text."""
    plain = unicodedata.normalize("NFKC", text[:CHARACTERS]).lower()
    return WORD.findall(plain)


def counted(texts: Iterable[str | None]) -> WordCount:
    """Return how many words some texts have."""
    counting = Counting()
    counting.see(texts)
    return counting.counted()
