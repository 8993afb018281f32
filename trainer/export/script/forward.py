"""The forward pass of a network, line by line, and which steps are padding in it."""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING, Any

from torch import nn

from trainer.export.script.expressions import assigned, called
from trainer.export.script.texts import SLID, SPREAD
from trainer.spec.masks import Border, Mask, Repeat, Slide, Spread
from trainer.spec.network import INPUT, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.export.script.parts import WrittenLayer
    from trainer.export.script.sources import Sources
    from trainer.spec.masks import Move

GIVEN = "x"
INDENT = 8
RESERVED = {GIVEN, "self", "real", "torch", "nn", "slid", "spread", "pad", "len"}


def identifiers(rows: Sequence[Row]) -> dict[str, str]:
    """Return the attribute that each layer has in the script, by its name.

    A name that will do is kept; what the others become is nobody else's name.
    """
    module = nn.Module()

    def is_free(word: str) -> bool:
        known = keyword.iskeyword(word) or keyword.issoftkeyword(word)
        return word.isidentifier() and not (
            known or word in RESERVED or hasattr(module, word)
        )

    found = {row.name: row.name for row in rows if is_free(row.name)}
    for row in rows:
        if row.name in found:
            continue
        word = re.sub(r"\W", "_", row.name)
        word = word if word.isidentifier() else f"layer_{word}"
        while not is_free(word) or word in found.values():
            word = f"{word}_"
        found[row.name] = word
    return found


class Forward:
    """Writes the lines of `forward`."""

    def __init__(
        self, words: dict[str, str], parts: dict[str, WrittenLayer], sources: Sources
    ) -> None:
        self._words, self._parts, self._sources = words, parts, sources
        self._masks: dict[Mask, str] = {}
        self._values = {INPUT: GIVEN} | words
        self.lines: list[str] = []

    def write(self, rows: Sequence[Row]) -> list[str]:
        """Return the lines that compute all layers in order."""
        for row in rows:
            self._layer(row, is_last=row is rows[-1])
        return self.lines

    def _layer(self, row: Row, *, is_last: bool) -> None:
        named: dict[str, Any] = {}
        if any(row.masks):
            masks = [self._mask(mask) if mask else "None" for mask in row.masks]
            named["masks"] = called("", *masks, *([""] if len(masks) == 1 else []))
        if row.lender is not None:
            named["lender"] = self._lender(row)
        given = [self._values[name] for name in row.inputs]
        word = self._words[row.name]
        said = called(f"self.{word}", *given, **named)
        if is_last:
            line = assigned("return", said, INDENT)
            self.lines += [line[0].replace("return = ", "return ", 1), *line[1:]]
        else:
            self.lines += assigned(word, said, INDENT)

    def _lender(self, row: Row) -> str:
        """Return the module whose tensors a layer uses: all of it, or its weights."""
        lender = str(row.lender)
        part = self._parts[lender].weights if row.kind == "tied_dense" else ""
        return f"self.{self._words[lender]}{part}"

    def _mask(self, mask: Mask) -> str:
        """Return the variable that says which steps are real, once it is known."""
        if mask in self._masks:
            return self._masks[mask]
        if mask.joined:
            known = self._joined(mask)
        elif mask.moves:
            base = Mask(mask.source, mask.moves[:-1])
            known = self._moved(self._mask(base), mask.moves[-1])
        else:
            known = f"{self._values[mask.source]} >= 1  # 0 is padding"
        number = len(self._masks) + 1
        word = "real" if number == 1 else f"real{number}"
        while word in self._values.values():
            word = f"{word}_"
        self.lines.append(f"{' ' * INDENT}{word} = {known}")
        self._masks[mask] = word
        return word

    def _joined(self, mask: Mask) -> str:
        parts = [p if isinstance(p, int) else self._mask(p) for p in mask.joined]
        first = next(p for p in parts if isinstance(p, str))
        told = [
            p if isinstance(p, str) else f"{first}.new_ones(len({first}), {p})"
            for p in parts
        ]
        return f"torch.cat([{', '.join(told)}], dim=1)"

    def _moved(self, real: str, move: Move) -> str:
        if isinstance(move, Slide):
            if move.padding != "valid":
                return f"{real}[:, :: {move.stride}]"
            self._sources.texts["slid"] = SLID
            self._sources.need("torch.nn.functional", "conv1d")
            return f"slid({real}, {move.size}, {move.stride}, {move.dilation})"
        if isinstance(move, Spread):
            self._sources.texts["spread"] = SPREAD
            self._sources.need("torch.nn.functional", "conv_transpose1d")
            return f"spread({real}, {max(move.size, move.stride)}, {move.stride})"
        if isinstance(move, Border):
            self._sources.need("torch.nn.functional", "pad")
            return f"pad({real}.float(), ({move.before}, {move.after})) >= 1"
        assert isinstance(move, Repeat)
        return f"{real}.repeat_interleave({move.times}, dim=1)"
