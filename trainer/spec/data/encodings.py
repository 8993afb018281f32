"""What a column of a table becomes. Add one: write its class, name it in ``Encoding``.

A spec's ``dataset.encodings`` chooses by column name; a column that it does not name
gets the default of its kind. An encoding says here, without reading a row, how much of
the input it takes; what is fitted to the training rows is in `trainer.preprocessing`.
"""

from collections.abc import Mapping
from math import ceil
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from trainer.spec.base import Count, Named, Spec, variants
from trainer.spec.data.calendar import CYCLES
from trainer.spec.data.layout import Category, InputPart, Numbers, Tokens
from trainer.spec.data.schema import Column, DatePart
from trainer.spec.data.words import WordCount, counted
from trainer.spec.shapes import Impossible

MOST_ONE_HOT = 50
"""A column with more categories is embedded, unless the spec says otherwise."""
MOST_DIMENSIONS = 50
"""Largest dimension that the rule for embeddings gives."""
TEXT_DIMENSION = 32
LONGEST = 256
"""Largest length that is taken from the data."""
PIECES_PER_WORD = 1.5
"""How many tokens of a byte-pair encoding a word has, generously."""
BYTES = 256
TEXTS = frozenset({"text", "bag_of_words"})
"""The encodings that take strings."""
RESERVED = 2
"""Tokens that stand for nothing and for something unknown."""


class _Encoding(Spec):
    """What all encodings can do."""

    takes: ClassVar[frozenset[str]] = frozenset()
    """The kinds of column it is for."""
    names: ClassVar[bool] = False
    """Whether it makes numbers that are only names, for a layer to look up."""

    def filled(self, column: Column) -> "Encoding":
        """Return the encoding with what is absent taken from the column.

        Raises:
            Impossible: the column does not tell, or cannot be encoded like this.
        """
        return self  # type: ignore[return-value]

    def part(self, column: Column) -> InputPart:
        """Return what a filled encoding makes of one row's value."""
        raise NotImplementedError


class _Scale(_Encoding):
    takes: ClassVar[frozenset[str]] = frozenset({"number", "integer"})
    missing: Literal["mean", "median", "indicator"] = "mean"
    """What a missing value becomes: the mean or the median of the training rows, or
    the mean and, in a feature of its own, a 1."""

    def part(self, column: Column) -> InputPart:
        """Return one number, or two with an indicator."""
        return Numbers(width=1 + (self.missing == "indicator"))


class Standardized(_Scale):
    """Numbers with mean 0 and deviation 1 over the training rows; the default."""

    kind: Literal["standardized"] = "standardized"


class Unscaled(_Scale):
    """Numbers as they are."""

    kind: Literal["unscaled"] = "unscaled"


class MinMax(_Scale):
    """Numbers from 0, the smallest of the training rows, to 1, their largest."""

    kind: Literal["min_max"] = "min_max"


class Logarithm(_Scale):
    """sign(x) · log(1 + |x|), then mean 0 and deviation 1: for amounts and counts."""

    kind: Literal["logarithm"] = "logarithm"


class OneHot(_Encoding):
    """One feature per category, 1 for the row's own; an unknown category is all 0."""

    kind: Literal["one_hot"] = "one_hot"
    takes: ClassVar[frozenset[str]] = frozenset({"category"})
    missing: Literal["most_frequent", "category"] = "most_frequent"
    """What a missing value becomes: the commonest category of the training rows, or a
    category of its own."""

    def part(self, column: Column) -> InputPart:
        """Return a number per category."""
        extra = self.missing == "category"
        return Numbers(width=len(column.categories) + extra)


class Embedding(_Encoding):
    """A vector per category, learned, after Guo and Berkhahn (2016), arXiv 1604.06737.

    Unknown and missing values have vectors of their own, which begin at 0. It is the
    default of columns with more than 50 categories.
    """

    kind: Literal["embedding"] = "embedding"
    takes: ClassVar[frozenset[str]] = frozenset({"category"})
    names: ClassVar[bool] = True
    dimension: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Numbers of the vector; absent: half the number of categories, rounded up, at
    most 50."""

    def filled(self, column: Column) -> "Encoding":
        """Return the encoding with its dimension."""
        half = max(1, min(MOST_DIMENSIONS, ceil(len(column.categories) / 2)))
        return self.model_copy(update={"dimension": self.dimension or half})

    def part(self, column: Column) -> InputPart:
        """Return the number of a category."""
        return Category(
            column=column.name,
            vocabulary_size=len(column.categories) + RESERVED,
            dimension=self.dimension or MOST_DIMENSIONS,
        )


class Date(_Encoding):
    """How long ago it is, standardised, and its place in each cycle as sine and cosine.

    A cycle of length c at position p becomes sin(2πp/c) and cos(2πp/c), so that
    December is near January; the default of dates.
    """

    kind: Literal["date"] = "date"
    takes: ClassVar[frozenset[str]] = frozenset({"date"})
    parts: Annotated[tuple[DatePart, ...], Field(min_length=1)] | None = None
    """``time`` (seconds, standardised), ``month``, ``weekday``, ``day_of_year``,
    ``hour`` (the time of day); absent: those that differ among the training rows."""
    missing: Literal["mean", "indicator"] | None = None
    """What a missing date becomes: the mean time with sine and cosine 0, or that and,
    in a feature of its own, a 1; absent: the latter where the column has gaps."""

    @model_validator(mode="after")
    def _once(self) -> "Date":
        if self.parts is not None and len(set(self.parts)) < len(self.parts):
            raise ValueError("name each part once")
        return self

    def filled(self, column: Column) -> "Encoding":
        """Return the encoding with its parts."""
        parts = self.parts or column.varies or ("time",)
        missing = self.missing or ("indicator" if column.missing else "mean")
        return self.model_copy(update={"parts": parts, "missing": missing})

    def part(self, column: Column) -> InputPart:
        """Return one number for the time, two for each cycle, one for an indicator."""
        parts = self.parts or ("time",)
        width = sum(2 if part in CYCLES else 1 for part in parts)
        return Numbers(width=width + (self.missing == "indicator"))


class _Vocabulary(_Encoding):
    takes: ClassVar[frozenset[str]] = frozenset({"text", "category"})
    tokenizer: Literal["words", "byte_pair"] = "words"
    """``words``: runs of letters and digits, and of other signs, in lower case;
    ``byte_pair``: the commonest sequences of bytes, after Sennrich et al. (2016), ACL,
    in which no word is unknown."""
    minimum_frequency: Count = 2
    """How often a token must occur in the training rows to be told from others."""

    def _size(self, asked: int, column: Column) -> int:
        """Return the largest vocabulary that the column's training rows can fill."""
        if self.tokenizer == "byte_pair":
            if asked < BYTES + RESERVED:
                raise Impossible(
                    f"a byte-pair encoding has a token for each of {BYTES} bytes and "
                    f"{RESERVED} more, so at least {BYTES + RESERVED}",
                    field="vocabulary_size",
                    suggestion="words",
                )
            found = words_of(column).distinct
            most = asked if found is None else BYTES + RESERVED + 2 * found
        else:
            found = words_of(column).distinct
            most = asked if found is None else RESERVED + found
        return min(asked, most)


class Text(_Vocabulary):
    """The numbers of a text's tokens, for a layer that looks up a vector for each.

    The vocabulary is trained on the training rows alone. 0 fills what a text is
    shorter than `length`, 1 is an unknown token; longer texts are cut. The default of
    text columns. The first layer may be ``embedding`` if the text is the only feature;
    else a layer is put in front in which the text becomes the mean of its tokens'
    vectors, after Joulin et al. (2017), EACL.
    """

    kind: Literal["text"] = "text"
    names: ClassVar[bool] = True
    vocabulary_size: Annotated[int, Field(ge=2, le=1_000_000)] = 10_000
    """Most tokens that are told apart, with 0 and 1."""
    length: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Tokens of a text that are kept; absent: what 95 % of the training rows do not
    exceed, at most 256."""
    dimension: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Numbers of a token's vector where the text becomes the mean of them; absent:
    32."""

    def filled(self, column: Column) -> "Encoding":
        """Return the encoding with its length, its dimension and its vocabulary."""
        length = self.length
        if length is None:
            known = column.words or column.categories
            if not known:
                raise Impossible(
                    f"the words of {column.name!r} were not counted when the data set "
                    "was stored: give a length, or upload it again",
                    field="length",
                    suggestion="100",
                )
            pieces = PIECES_PER_WORD if self.tokenizer == "byte_pair" else 1
            length = max(1, min(LONGEST, ceil(words_of(column).length * pieces)))
        return self.model_copy(
            update={
                "length": length,
                "dimension": self.dimension or TEXT_DIMENSION,
                "vocabulary_size": self._size(self.vocabulary_size, column),
            }
        )

    def part(self, column: Column) -> InputPart:
        """Return the numbers of its tokens."""
        return Tokens(
            column=column.name,
            length=self.length or LONGEST,
            vocabulary_size=self.vocabulary_size,
            dimension=self.dimension or TEXT_DIMENSION,
        )


class BagOfWords(_Vocabulary):
    """One feature per token of the vocabulary: which a text has, in any order."""

    kind: Literal["bag_of_words"] = "bag_of_words"
    vocabulary_size: Annotated[int, Field(ge=2, le=100_000)] = 1_000
    """Most tokens that are told apart, with 0 and 1."""
    weighting: Literal["multi_hot", "count", "tf_idf"] = "multi_hot"
    """A 1 for each token that occurs, how often it does, or that times
    log(1 + rows / (1 + rows with the token)), as in Keras."""

    def filled(self, column: Column) -> "Encoding":
        """Return the encoding with the vocabulary that the column can fill."""
        size = self._size(self.vocabulary_size, column)
        return self.model_copy(update={"vocabulary_size": size})

    def part(self, column: Column) -> InputPart:
        """Return a number for each token but the filler."""
        return Numbers(width=self.vocabulary_size - 1)


Encoding = Annotated[
    Standardized
    | Unscaled
    | MinMax
    | Logarithm
    | OneHot
    | Embedding
    | Date
    | Text
    | BagOfWords,
    Field(discriminator="kind"),
    Named,
]

Encodings = Mapping[str, Encoding]


def words_of(column: Column) -> WordCount:
    """Return how many words a column has; those of categories are at hand."""
    if column.words is not None:
        return column.words
    if column.categories:
        return counted(column.categories)
    return WordCount(length=LONGEST)


def default_encoding(column: Column, *, scaled: bool) -> Encoding | None:
    """Return what a column becomes if the spec says nothing.

    None stands for what needs no saying: numbers are standardised unless `scaled` is
    off, a few categories become one feature each, yes and no become 1 and 0.
    """
    if column.kind == "category" and len(column.categories) > MOST_ONE_HOT:
        return Embedding()
    if column.kind == "date" and scaled and column.varies is not None:
        return Date()
    if column.kind == "text" and column.words is not None:
        return Text()
    return None


def fitting(kind: str) -> list[str]:
    """Return the encodings that are for a kind of column."""
    members = [m for m in variants(Encoding) if issubclass(m, _Encoding)]
    return [str(m.model_fields["kind"].default) for m in members if kind in m.takes]
