"""Every encoding that a column can be fitted with, and which of them it gets.

To add one: write its class in a file beside this one, name it in ``FittedEncoding``,
and say in ``fit_encoding`` which of
`trainer.spec.data.encodings` it carries out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from trainer.preprocessing.categories import CategoryNumber
from trainer.preprocessing.dates import DateFeatures
from trainer.preprocessing.encodings import Array, Flag, Imputed, OneHot, Standardised
from trainer.preprocessing.scales import Scaled
from trainer.preprocessing.tokens import TokenCounts, TokenNumbers
from trainer.spec.data import encodings as asked
from trainer.spec.data.layout import Numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.spec.data.encodings import Encoding
    from trainer.spec.data.layout import InputPart
    from trainer.spec.data.schema import Column

FittedEncoding = Annotated[
    Standardised
    | Imputed
    | OneHot
    | Flag
    | Scaled
    | DateFeatures
    | CategoryNumber
    | TokenNumbers
    | TokenCounts,
    Field(discriminator="kind"),
]

Tokenized = TokenNumbers | TokenCounts
"""The encodings that have a tokenizer."""


_FITS: dict[type, Callable[[Column, Array, Any], FittedEncoding]] = {
    asked.OneHot: lambda column, stored, _: OneHot.fit(column, stored, missing=True),
    asked.Embedding: CategoryNumber.fit,
    asked.Date: DateFeatures.fit,
    asked.Text: lambda c, stored, wish: TokenNumbers.fit(c.name, stored, wish),
    asked.BagOfWords: lambda c, stored, wish: TokenCounts.fit(c.name, stored, wish),
}


def fit_encoding(
    column: Column, stored: Array, wish: Encoding | None, *, standardize: bool
) -> FittedEncoding:
    """Fit the encoding that was asked for, or that a column's kind calls for.

    `stored` are the column's training rows; those of texts are strings and None, which
    can be gone through again and again.
    """
    if wish is not None and not _is_default(wish):
        return _FITS.get(type(wish), Scaled.fit)(column, stored, wish)
    if column.kind == "category":
        return OneHot.fit(column, stored)
    if column.kind == "boolean":
        return Flag.fit(column, stored)
    plain = isinstance(wish, asked.Unscaled) or (wish is None and not standardize)
    return (Imputed if plain else Standardised).fit(column, stored)


def _is_default(wish: Encoding) -> bool:
    """Return whether an encoding says what holds if nothing is said."""
    if isinstance(wish, asked.OneHot):
        return wish.missing == "most_frequent"
    if isinstance(wish, asked.Standardized | asked.Unscaled):
        return wish.missing == "mean"
    return False


def part_of(encoding: FittedEncoding) -> InputPart:
    """Return what an encoding's features are to a layer."""
    if isinstance(encoding, CategoryNumber | TokenNumbers):
        return encoding.part
    return Numbers(width=encoding.width)
