"""The text of our own modules, with all that they need and nothing else of ours.

A class is copied as it is written, after whatever of our house it names: functions,
classes it builds on, constants. What it names of Python, torch or numpy is imported.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from trainer.export.errors import CannotExport

OURS = "trainer"
SUPPRESSED = re.compile(r"[ \t]*# (?:noqa|type: ignore)\b.*$", re.MULTILINE)
"""Remarks to our own linters."""


@dataclass
class Sources:
    """Definitions in the order in which they must be written, and their imports."""

    texts: dict[str, str] = field(default_factory=dict)
    """Name → its definition."""
    imports: dict[str, set[str]] = field(default_factory=dict)
    """Module → the names that are taken from it; an empty one is the module itself."""
    _origins: dict[str, str] = field(default_factory=dict)

    def take(self, kind: type) -> str:
        """Copy a class and all that it needs; return its name.

        Raises:
            CannotExport: two different things of one name would be needed.
        """
        self._copy(kind.__module__, kind.__name__)
        return kind.__name__

    def need(self, module: str, *names: str) -> None:
        """Import names of a module, or the module itself."""
        self.imports.setdefault(module, set()).update(names)

    def _copy(self, module: str, name: str) -> None:
        origin = f"{module}.{name}"
        text, needed = _definition(module, name)
        known = self.texts.get(name)
        if known is not None:
            if known != text:
                why = f"{self._origins[name]} and {origin} have the same name"
                raise CannotExport("a script", "two modules", why)
            return
        if name in self._origins:  # being copied: it names itself
            return
        self._origins[name] = origin
        for other in needed:
            self._bring(module, other)
        self.texts[name] = text

    def _bring(self, module: str, name: str) -> None:
        """Copy or import what a definition names, if it is no built-in."""
        defined, imported = _names(module)
        if name in defined:
            self._copy(module, name)
        elif name in imported:
            source, original = imported[name]
            if source.split(".")[0] != OURS:
                self.need(source, original)
            elif original:
                self._copy(source, original)


@cache
def _tree(module: str) -> tuple[str, ast.Module]:
    file = inspect.getsourcefile(importlib.import_module(module))
    assert file is not None
    text = Path(file).read_text(encoding="utf-8")
    return text, ast.parse(text)


@cache
def _names(module: str) -> tuple[dict[str, ast.stmt], dict[str, tuple[str, str]]]:
    """Return what a module defines, and what it imports from where."""
    defined: dict[str, ast.stmt] = {}
    imported: dict[str, tuple[str, str]] = {}
    waiting = list(_tree(module)[1].body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.If):  # imports for types alone
            waiting += node.body
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                imported[alias.asname or alias.name] = (node.module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                imported[alias.asname or alias.name] = (alias.name, "")
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            defined[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            defined[node.targets[0].id] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined[node.target.id] = node
    return defined, imported


@cache
def _definition(module: str, name: str) -> tuple[str, tuple[str, ...]]:
    """Return the text of a definition, and the names that occur in it, in order."""
    text, _ = _tree(module)
    node = _names(module)[0][name]
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(each.lineno for each in decorators)])
    lines = text.splitlines()[first - 1 : node.end_lineno]
    found = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
    # An annotation that is a text names things too.
    texts = [
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]
    for quoted in filter(re.compile(r"[A-Za-z_. |\[\]]{1,60}").fullmatch, texts):
        found += re.findall(r"\b[A-Z][A-Za-z]+", quoted)
    needed = dict.fromkeys(other for other in found if other != name)
    return SUPPRESSED.sub("", "\n".join(lines)), tuple(needed)
