"""A catalogued model as a source of layers, as its description tells it."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from trainer.spec.layers import OUTPUT
from trainer.spec.network import INPUT
from trainer.spec.reuse import Source, named_inputs
from trainer.transfer.errors import NotComparable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DESCRIPTION = "model.json"
DESCRIPTION_LIMIT = 64 * 2**20
"""Bytes of description that are read at most."""
PAIR = 2
LENDERS = ("of", "tied_to")
"""Fields of a layer that name another whose tensors it uses."""
MOST_CUTS = 8
"""Cut points of a model that are looked at; of more, some evenly over its depth."""


@dataclass(frozen=True)
class CutPoint:
    """A place above which other layers may be put."""

    layer: str
    """The layer whose outputs are taken."""
    below: tuple[str, ...]
    """That layer and all that it depends on, in order."""
    weighted: tuple[str, ...]
    """Those of them that have weights."""
    shape: tuple[int, ...]
    """Shape of one row's outputs."""


@dataclass(frozen=True)
class SourceLayers:
    """A source, as far as its layers go."""

    folder: Path
    word: str
    """What a spec calls it: name@version."""
    identity: str
    description: Mapping[str, Any]

    @cached_property
    def lines(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what the description says of each layer, by name."""
        return {line["name"]: line for line in self.description["layers"]}

    @cached_property
    def source(self) -> Source:
        """Return what the match table must know of it.

        Raises: NotComparable.
        """
        preprocessing = self.description["preprocessing"]
        name, _, version = self.word.rpartition("@")
        try:
            return Source(
                id=self.identity,
                name=name,
                version=int(version),
                order=tuple(self.lines),
                shapes={
                    layer: {
                        tensor["name"].partition(".")[2]: tuple(tensor["shape"])
                        for tensor in line["tensors"]
                    }
                    for layer, line in self.lines.items()
                },
                classes=tuple(self.description.get("classes") or ()),
                input_shape=tuple(preprocessing.get("shape", ())),
                columns=tuple(
                    (column["name"], column["kind"])
                    for column in preprocessing.get("columns", ())
                ),
                **named_inputs(preprocessing),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise NotComparable(
                "broken", f"its description is broken: {error}"
            ) from None

    @cached_property
    def written(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the layers as the spec of the network has them, by name."""
        return {each["name"]: each for each in self.description["network"]["layers"]}

    @property
    def of_pairs(self) -> bool:
        """Return whether an example of its input is two of the data set's."""
        return bool((self.description.get("input") or {}).get("examples", 1) == PAIR)

    def cuts(self) -> list[CutPoint]:
        """Return where a layer with weights takes its input, lowest first.

        Between two such places are only layers without weights, which come along. Of
        what sees a pair, only the branch of its first example can be taken.
        """
        taken = {
            name
            for name, line in self.lines.items()
            if line["tensors"] or name == OUTPUT
            for name in line["inputs"]
        }
        found = [
            cut
            for layer in self.lines
            if layer in taken and layer != OUTPUT and (cut := self.cut(layer)).weighted
            if not self.of_pairs or self._sees_one(cut)
        ]
        return thinned(found, MOST_CUTS)

    def network(self, cut: CutPoint) -> dict[str, Any]:
        """Return the network of a spec that ends at a cut; the output follows.

        Of a network on pairs it is the one on single examples.
        """
        taken = [self.written[name] for name in cut.below]
        if self.of_pairs:
            apart = {each["name"] for each in taken if each["kind"] == "select"}
            taken = [
                dict(each)
                | {"inputs": [INPUT if n in apart else n for n in each["inputs"]]}
                for each in taken
                if each["name"] not in apart
            ]
        return {"layers": taken}

    def below(self, layer: str) -> str | None:
        """Return the one layer that a layer takes; None: the input, or several."""
        inputs = self.lines[layer]["inputs"]
        return inputs[0] if len(inputs) == 1 and inputs[0] != INPUT else None

    def cut(self, layer: str) -> CutPoint:
        """Return the cut above a layer."""
        needed, waiting = {layer}, [layer]
        while waiting:
            name = waiting.pop()
            above = [*self.lines[name]["inputs"], *self._lender(name)]
            new = [each for each in above if each not in needed and each != INPUT]
            needed.update(new)
            waiting += new
        below = tuple(name for name in self.lines if name in needed)
        weighted = tuple(name for name in below if self.lines[name]["tensors"])
        return CutPoint(
            layer, below, weighted, tuple(self.lines[layer]["output_shape"])
        )

    def _lender(self, layer: str) -> list[str]:
        """Return the layer whose tensors one uses, in a list."""
        told = self.written[layer]
        return [told[word] for word in LENDERS if word in told]

    def _sees_one(self, cut: CutPoint) -> bool:
        """Return whether a cut depends on nothing but the first example of a pair."""
        for name in cut.below:
            told = self.written[name]
            first = told["kind"] == "select" and told.get("index", 0) == 0
            if INPUT in told["inputs"] and not first:
                return False
        return True


def thinned(cuts: Sequence[CutPoint], most: int) -> list[CutPoint]:
    """Return at most so many, evenly over the depth, the deepest among them."""
    if len(cuts) <= most:
        return list(cuts)
    step = (len(cuts) - 1) / (most - 1)
    return [cuts[round(number * step)] for number in range(most)]


def opened(folder: Path, word: str, identity: str) -> SourceLayers:
    """Read a model's description.

    Raises: NotComparable.
    """
    path = folder / DESCRIPTION
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > DESCRIPTION_LIMIT:
            raise NotComparable("broken", f"{DESCRIPTION} is no file of a usual size")
        description = json.loads(path.read_bytes())
        layers = SourceLayers(folder, word, identity, description)
        assert layers.source.order
        assert layers.written.keys() == layers.lines.keys()
    except OSError as error:
        why = f"{DESCRIPTION} cannot be read: {error.strerror}"
        raise NotComparable("broken", why) from None
    except (
        AssertionError,
        AttributeError,
        KeyError,
        RecursionError,
        TypeError,
        ValidationError,
        ValueError,
    ) as error:
        why = f"{DESCRIPTION} is not as models are described: {error!r:.200}"
        raise NotComparable("broken", why) from None
    return layers
