"""Texts as the numbers of their tokens; the vocabulary is that of the training rows.

The tokenizers are those of the library ``tokenizers``, which is loaded with the first
text. What was trained is one JSON text; reading it runs nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from trainer.spec.base import Spec
from trainer.spec.data.layout import Tokens

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from trainer.preprocessing.encodings import Array
    from trainer.spec.data.encodings import BagOfWords, Text

FILLER, UNKNOWN = "[PAD]", "[UNK]"
"""Tokens 0 and 1. In a text they are words like any other."""
CHARACTERS_PER_TOKEN = 100
"""Of a text that is much longer than what is kept of it, the rest is not read."""
JSON_LIMIT = 256 * 2**20
"""Characters of a tokenizer that are read at most."""
KEPT_OPEN = 64


class NotATokenizer(ValueError):
    """A text that was to describe a tokenizer describes none."""


class TokenNumbers(Spec):
    """`length` features: the numbers of a text's first tokens, then 0.

    1 is a token that is not in the vocabulary; a missing text is an empty one.
    """

    kind: Literal["token_numbers"] = "token_numbers"
    column: str
    length: int = Field(ge=1)
    vocabulary_size: int = Field(ge=1)
    """Tokens that are told apart at most, with 0 and 1."""
    dimension: int = Field(ge=1)
    """Numbers of the vector that is learned for each."""
    tokenizer: str = Field(default="", exclude=True, repr=False)
    """The tokenizer as JSON; it lies beside the description, in a file."""

    @property
    def width(self) -> int:
        """Return the number of features."""
        return self.length

    @property
    def part(self) -> Tokens:
        """Return what the features are to a layer."""
        return Tokens(
            column=self.column,
            length=self.length,
            vocabulary_size=self.vocabulary_size,
            dimension=self.dimension,
        )

    @classmethod
    def fit(cls, column: str, texts: Iterable[str | None], text: Text) -> TokenNumbers:
        """Train a tokenizer on the texts."""
        assert text.length is not None
        assert text.dimension is not None
        return cls(
            column=column,
            length=text.length,
            vocabulary_size=text.vocabulary_size,
            dimension=text.dimension,
            tokenizer=trained(texts, text),
        )

    def write(self, stored: Array, features: Array) -> None:
        """Write the numbers of tokens into (rows, length) `features`."""
        features[:] = 0
        limit = CHARACTERS_PER_TOKEN * self.length
        for row, ids in enumerate(numbered(self.tokenizer, stored, limit)):
            kept = ids[: self.length]
            features[row, : len(kept)] = kept


class TokenCounts(Spec):
    """One feature per token of the vocabulary: that it occurs, or how often."""

    kind: Literal["token_counts"] = "token_counts"
    column: str
    vocabulary_size: int = Field(ge=2)
    """Tokens that are told apart at most, with 0 and 1; 0 has no feature."""
    weighting: Literal["multi_hot", "count", "tf_idf"]
    tokenizer: str = Field(default="", exclude=True, repr=False)
    """The tokenizer as JSON; it lies beside the description, in a file."""
    rarity: tuple[float, ...] = Field(default=(), exclude=True, repr=False)
    """For ``tf_idf``: log(1 + rows / (1 + rows with the token)) of each feature."""

    @property
    def width(self) -> int:
        """Return the number of features."""
        return self.vocabulary_size - 1

    @classmethod
    def fit(
        cls, column: str, texts: Collection[str | None], bag: BagOfWords
    ) -> TokenCounts:
        """Train a tokenizer on the texts, and count how rare its tokens are."""
        fitted = cls(
            column=column,
            vocabulary_size=bag.vocabulary_size,
            weighting=bag.weighting,
            tokenizer=trained(texts, bag),
        )
        if bag.weighting != "tf_idf":
            return fitted
        having = np.zeros(bag.vocabulary_size)
        for ids in numbered(fitted.tokenizer, texts):
            having[np.unique(ids)] += 1
        rarity = np.log1p(len(texts) / (1 + having[1:]))
        return fitted.model_copy(update={"rarity": tuple(rarity.tolist())})

    def write(self, stored: Array, features: Array) -> None:
        """Write the weights of tokens into (rows, width) `features`."""
        for row, ids in enumerate(numbered(self.tokenizer, stored)):
            counts = np.bincount(ids, minlength=self.vocabulary_size)[1:]
            features[row] = counts
        if self.weighting == "multi_hot":
            np.minimum(features, 1, out=features)
        elif self.weighting == "tf_idf":
            features *= np.asarray(self.rarity)


def trained(texts: Iterable[str | None], wish: Text | BagOfWords) -> str:
    """Return the JSON of a tokenizer that was trained on texts.

    The same texts give the same tokenizer.
    """
    from tokenizers import (  # noqa: PLC0415 - loaded with the first text
        Tokenizer,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    options: dict[str, Any] = {
        "vocab_size": wish.vocabulary_size,
        "min_frequency": wish.minimum_frequency,
        "special_tokens": [FILLER, UNKNOWN],
        "show_progress": False,
    }
    if wish.tokenizer == "byte_pair":
        tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
        pieces: Any = pre_tokenizers.ByteLevel(add_prefix_space=False)
        options["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = trainers.BpeTrainer(**options)
        tokenizer.normalizer = normalizers.NFKC()
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        pieces = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(**options)
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFKC(), normalizers.Lowercase()]
        )
    tokenizer.pre_tokenizer = pieces
    tokenizer.train_from_iterator((text or "" for text in texts), trainer)
    return str(tokenizer.to_str())


def numbered(
    tokenizer: str, texts: Iterable[str | None], characters: int | None = None
) -> Iterator[Array]:
    """Yield the numbers of each text's tokens; what is missing has none."""
    encode = opened(tokenizer).encode
    for text in texts:
        ids = encode(text[:characters], add_special_tokens=False).ids if text else []
        yield np.asarray(ids, np.int64)


@lru_cache(maxsize=KEPT_OPEN)
def opened(tokenizer: str) -> Any:
    """Return the tokenizer that a JSON text describes.

    Raises: NotATokenizer.
    """
    from tokenizers import Tokenizer  # noqa: PLC0415 - loaded with the first text

    if len(tokenizer) > JSON_LIMIT:
        raise NotATokenizer(f"a tokenizer of {len(tokenizer):,} characters")
    try:
        found = Tokenizer.from_str(tokenizer)
    except Exception as error:
        raise NotATokenizer(f"a tokenizer that cannot be read: {error}") from error
    found.encode_special_tokens = True  # "[PAD]" in a text is a word
    return found
