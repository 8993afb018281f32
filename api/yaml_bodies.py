"""YAML bodies: the part of YAML that means the same as JSON, and no bombs.

Only JSON's own scalar types are recognised, so ``no`` and ``2026-01-01`` stay text.
Anchors and merge keys work, but what they expand to is counted before it is built.
"""

import math
import re
from typing import Any

import yaml

from api.errors import Malformed, TooDeep

LARGEST_TEXT = 1024 * 1024
"""Most characters of YAML; the parser takes about a second for them."""

MOST_NODES = 200_000
"""Most values after every alias is written out."""

FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")


class _Loader(yaml.CSafeLoader):
    """A safe loader that knows JSON's types only."""


_Loader.yaml_implicit_resolvers = {}

_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,18})$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])


def decode(text: str, depth: int) -> Any:
    """Return what the YAML text says, in JSON's types."""
    if len(text) > LARGEST_TEXT:
        raise Malformed(
            f"YAML is read up to {LARGEST_TEXT:,} characters; send JSON instead",
            code="yaml_too_large",
        )
    try:
        _check_depth(text, depth)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise Malformed("the body is empty", code="empty_body")
        _count(node, {})
        value = loader.construct_document(node)
    except yaml.YAMLError as error:
        if "nesting depth" in str(error):  # the C parser's own bound
            raise TooDeep(depth) from error
        raise Malformed(_sentence(error), code="invalid_yaml") from error
    except ValueError as error:
        raise Malformed(
            f"the body is not YAML: {error}", code="invalid_yaml"
        ) from error
    return _plain(value)


def _check_depth(text: str, depth: int) -> None:
    """Count the nesting by events: composing the nodes recurses without a bound."""
    level = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            level += 1
            if level > depth:
                raise TooDeep(depth)
        elif isinstance(event, yaml.CollectionEndEvent):
            level -= 1


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values the node expands to; 0 marks one still being counted."""
    if id(node) in known:
        if known[id(node)] == 0:
            raise Malformed("an alias points into itself", code="invalid_yaml")
        return known[id(node)]
    known[id(node)] = 0
    size = 1
    for child in _children(node):
        size += _count(child, known)
        if size > MOST_NODES:
            raise Malformed(
                f"the aliases expand to more than {MOST_NODES:,} values",
                code="yaml_too_large",
            )
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise Malformed(f"the key {twice!r} occurs twice", code="duplicate_key")
    known[id(node)] = size
    return size


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    return []


def _plain(value: Any) -> Any:
    """Return the value with nothing shared and nothing JSON lacks."""
    if isinstance(value, dict):
        if odd := next((key for key in value if not isinstance(key, str)), None):
            raise Malformed(f"the key {odd!r} is not text", code="invalid_yaml")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Malformed(f"the number {value} is too large", code="not_finite")
        return value
    raise Malformed(f"{value!r} has no form in JSON", code="invalid_yaml")


def _sentence(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"the body is not YAML: {place}{problem}"
