"""With which arguments the modules of a network were made.

A module does not keep them all, and a script has to make the same modules. So the
network is made once more while the constructors of its modules take notes.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from trainer.modules.padding import Border
from trainer.modules.tail import Tail
from trainer.network import LayerDict, Network

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Construction:
    """How something was made."""

    made: object
    arguments: tuple[Any, ...]
    named: dict[str, Any]


Constructions = dict[int, Construction]
"""How things were made, by their ids; each is kept alive here."""


def rebuilt(network: Network) -> tuple[Network, Constructions]:
    """Return a network like the given one, with its weights, and how it was made."""
    kinds = {type(module) for module in network.modules()}
    kinds -= {Network, LayerDict, nn.Module}
    with _noted({*kinds, Tail, Border}) as found:
        again = Network(network.spec, network.shape)
    again.load_state_dict(network.state_dict())
    return again.eval(), found


@contextmanager
def _noted(kinds: set[type]) -> Iterator[Constructions]:
    """Note how things of some classes are made, for as long as this lasts."""
    found: Constructions = {}
    own = {kind: vars(kind).get("__init__") for kind in kinds}
    for kind in kinds:
        setattr(kind, "__init__", _noting(_constructor(kind), found))  # noqa: B010
    try:
        yield found
    finally:
        for kind, original in own.items():
            if original is None:
                delattr(kind, "__init__")
            else:
                setattr(kind, "__init__", original)  # noqa: B010


def _constructor(kind: Any) -> Any:
    return kind.__init__


def _noting(original: Any, found: Constructions) -> Any:
    def constructor(self: object, *arguments: Any, **named: Any) -> None:
        # The class that was asked for comes first, the classes it builds on after it.
        found.setdefault(id(self), Construction(self, arguments, named))
        original(self, *arguments, **named)

    return constructor
