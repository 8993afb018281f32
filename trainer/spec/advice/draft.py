"""The spec while it is being made, and why each piece of it is as it is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from trainer.spec.advice.case import Case
from trainer.spec.errors import pointer

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Take:
    """A value for one place of the spec."""

    place: Place
    value: Any
    reason: str
    """Why, in a sentence."""
    source: str = ""
    """Where that is written; absent: as the rule says."""


@dataclass(frozen=True)
class Remark:
    """A word to the person: what could not be had, or was settled, and how."""

    text: str


Advised = Iterator[Take | Remark]


@dataclass(frozen=True)
class Rule:
    """One piece of knowledge: when it holds, what it chooses, who says so."""

    name: str
    source: str
    says: Callable[[Case], Advised]


def rule(source: str) -> Callable[[Callable[[Case], Advised]], Rule]:
    """Make a rule of a function; its name is the rule's."""
    return lambda says: Rule(says.__name__, source, says)


@dataclass(frozen=True)
class Choice:
    """One value of the spec, with its reason."""

    pointer: str
    """JSON Pointer to the value."""
    value: Any
    reason: str
    source: str
    rule: str

    def as_dict(self) -> dict[str, Any]:
        """Return the choice as the JSON object that the API answers."""
        return asdict(self)


@dataclass
class Draft:
    """A spec as plain JSON, its choices, and what is worth a word."""

    spec: dict[str, Any]
    choices: list[Choice] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def apply(self, rules: Sequence[Rule], case: Case) -> None:
        """Let each rule say its word; the last word about a place holds."""
        for each in rules:
            for said in each.says(case):
                if isinstance(said, Remark):
                    self.warnings.append(said.text)
                else:
                    self._take(said, each)

    def _take(self, said: Take, rule: Rule) -> None:
        put(self.spec, said.place, said.value)
        place = pointer(*said.place)
        self.choices = [c for c in self.choices if c.pointer != place]
        self.choices.append(
            Choice(
                place, said.value, said.reason, said.source or rule.source, rule.name
            )
        )


def put(spec: dict[str, Any], place: Place, value: Any) -> None:
    """Write a value into nested objects and lists, making objects on the way."""
    *above, last = place
    here: Any = spec
    for part in above:
        here = here[part] if isinstance(part, int) else here.setdefault(part, {})
    here[last] = value


def difference(before: Any, after: Any) -> Any:
    """Return the JSON Merge Patch (RFC 7396) that turns one object into another."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return after
    patch = {name: None for name in before if name not in after}
    for name, value in after.items():
        if name not in before:
            patch[name] = value
        elif before[name] != value:
            patch[name] = difference(before[name], value)
    return patch
