"""The text form of protocol buffers, as `.prototxt` files are written."""

from __future__ import annotations

import re
from typing import Any

from trainer.importing.errors import damaged, oversized

TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*|(?P<word>[A-Za-z_][\w.]*)|(?P<number>[-+]?[\d.][\w.+-]*)"""
    r"""|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<mark>[{}:;,\[\]<>]))""",
    re.VERBOSE,
)
LARGEST = 16 * 2**20
DEEPEST = 50

Message = dict[str, list[Any]]


def parse(text: str) -> Message:
    """Return a message: each field's values in order; inner messages are such too.

    Raises:
        NotImportable: it is no such text.
    """
    if len(text) > LARGEST:
        raise oversized("prototxt_too_large", f"the prototxt has {len(text):,} bytes")
    return _Parser(text).message(0)


class _Parser:
    """The tokens of a text, taken one by one."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        end = len(text.rstrip())
        while at < end:
            found = TOKEN.match(text, at)
            if found is None or found.end() == at:
                line = text.count("\n", 0, at) + 1
                raise damaged("the prototxt", f"line {line} cannot be read")
            at = found.end()
            if found.lastgroup is not None:
                self._tokens.append((found.lastgroup, found[found.lastgroup]))
        self._tokens.reverse()

    def message(self, depth: int) -> Message:
        """Read fields up to the closing bracket or the end."""
        if depth > DEEPEST:
            raise damaged("the prototxt", "it is nested too deeply")
        found: Message = {}
        while self._tokens:
            kind, name = self._tokens.pop()
            if name in {"}", ">"}:
                return found
            if name in {",", ";"}:
                continue
            if kind != "word" or not self._tokens:
                raise damaged("the prototxt", f"a field's name is needed, not {name!r}")
            found.setdefault(name, []).extend(self._values(depth))
        if depth:
            raise damaged("the prototxt", "a bracket is not closed")
        return found

    def _values(self, depth: int) -> list[Any]:
        _, mark = self._tokens.pop()
        if mark == ":":
            if not self._tokens:
                raise damaged("the prototxt", "it ends after a colon")
            kind, mark = self._tokens.pop()
            if mark == "[":
                return self._list()
            if mark not in {"{", "<"}:
                return [_value(kind, mark)]
        if mark not in {"{", "<"}:
            raise damaged("the prototxt", f"a value is needed, not {mark!r}")
        return [self.message(depth + 1)]

    def _list(self) -> list[Any]:
        found: list[Any] = []
        while self._tokens:
            kind, text = self._tokens.pop()
            if text == "]":
                return found
            if text != ",":
                found.append(_value(kind, text))
        raise damaged("the prototxt", "a list is not closed")


def _value(kind: str, text: str) -> Any:
    if kind == "text":
        return text[1:-1]
    if kind == "number":
        try:
            return int(text, 0) if re.fullmatch(r"[-+]?\d+", text) else float(text)
        except ValueError as error:
            raise damaged("the prototxt", f"{text!r} is no number") from error
    if text in {"true", "false"}:
        return text == "true"
    return text
