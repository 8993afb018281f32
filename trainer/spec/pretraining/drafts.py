"""What a stage of pretraining is made of, before it becomes a job."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from trainer.spec.base import Spec
from trainer.spec.data import DatasetRef
from trainer.spec.errors import InvalidSpec, Problem, pointer
from trainer.spec.layers import OUTPUT, Layer
from trainer.spec.layers.blocks import Weighted
from trainer.spec.network import INPUT, NetworkSpec, filled, names_given
from trainer.spec.reuse import BadPattern, Selection, select
from trainer.spec.training import Training


@dataclass(frozen=True)
class Given:
    """What the stages of one entry start from."""

    number: int
    """Position of the entry in ``pretraining``, from 0."""
    network: NetworkSpec
    """The job's network."""
    dataset: DatasetRef
    training: Training
    features: tuple[str, ...]
    """The columns that the job's network sees."""
    learned: tuple[str, ...] = ()
    """The layers with weights that earlier entries have trained."""

    def problem(self, code: str, detail: str, *place: str) -> InvalidSpec:
        """Return the refusal of this entry."""
        at = pointer("pretraining", self.number, *place)
        return InvalidSpec([Problem(at, code, detail)])


@dataclass(frozen=True)
class Draft:
    """One stage: its network below the output, its rows, its recipe."""

    name: str
    """What is put behind the job's name."""
    layers: tuple[Layer, ...]
    dataset: DatasetRef
    training: Training
    rests: tuple[str, ...] = ()
    """Layers that come from the stages before and keep their values."""
    starts: tuple[str, ...] = ()
    """Layers that come from the stages before and learn on."""
    makes: tuple[str, ...] = ()
    """Layers of the job that are taken from this stage afterwards."""


class Pretrainer(Spec):
    """A way of giving layers values before the job itself is trained."""

    layers: Selection = ".*"
    """Which hidden layers are pretrained: those with weights that match; absent: all.
    What lies below one of them must be pretrained as well."""
    freeze: Selection | None = None
    """Which of them keep their values afterwards; absent: none, all are fine-tuned."""

    def drafts(self, given: Given) -> list[Draft]:
        """Return the stages in order.

        Raises:
            InvalidSpec: they do not fit the job's network.
        """
        raise NotImplementedError

    def frozen(self, given: Given) -> tuple[str, ...]:
        """Return the layers that keep their values in what follows."""
        if self.freeze is None:
            return ()
        chosen = self.chosen(given)
        try:
            names = select(self.freeze, chosen)
        except BadPattern as error:
            raise given.problem("bad_pattern", str(error), "freeze") from None
        if not names:
            detail = f"none of the pretrained layers matches: {', '.join(chosen)}"
            raise given.problem("nothing_matched", detail, "freeze")
        if names != chosen[: len(names)]:
            return tuple(names)
        return names_of(below(given.network, names[-1]))

    def chosen(self, given: Given) -> list[str]:
        """Return the names of the layers that are pretrained, lowest first."""
        known = [str(one.name) for one in hidden(given.network)]
        try:
            names = select(self.layers, known)
        except BadPattern as error:
            raise given.problem("bad_pattern", str(error), "layers") from None
        unknown = (
            [name for name in self.layers if name not in known]
            if isinstance(self.layers, tuple)
            else []
        )
        if unknown or not names:
            wanted = ", ".join(map(repr, unknown)) or "that matches"
            there = ", ".join(known) or "none"
            detail = f"no hidden layer with weights {wanted}; there are: {there}"
            raise given.problem("nothing_matched", detail, "layers")
        for lower, upper in pairwise(names):
            if lower not in names_of(below(given.network, upper)):
                detail = f"{upper!r} does not stand on {lower!r}: name one branch"
                raise given.problem("conflict", detail, "layers")
        below_all = [
            str(one.name)
            for one in below(given.network, names[-1])
            if isinstance(one, Weighted)
        ]
        for name in below_all:
            if name not in names and name not in given.learned:
                detail = (
                    f"{name!r} lies below {names[-1]!r} and is not pretrained: name it "
                    "as well"
                )
                raise given.problem("not_pretrained", detail, "layers")
        return names


def hidden(network: NetworkSpec) -> list[Layer]:
    """Return the layers with weights below the output."""
    named = names_given(network.layers)
    return [one for one in named if isinstance(one, Weighted) and one.name != OUTPUT]


def below(network: NetworkSpec, name: str) -> tuple[Layer, ...]:
    """Return a layer and all that it stands on, in order, as they are written."""
    whole = {str(one.name): one.inputs or () for one in filled(network, None).layers}
    wanted = {name}
    for one in reversed(whole):
        if one in wanted:
            wanted.update(whole[one])
    found: list[Layer] = []
    before = INPUT
    for layer in names_given(network.layers):
        if layer.name not in wanted:
            continue
        inputs = whole[str(layer.name)]
        if layer.inputs is None and inputs != (before,):
            layer = layer.model_copy(update={"inputs": inputs})  # noqa: PLW2901
        found.append(layer)
        before = str(layer.name)
    return tuple(found)


def names_of(layers: Sequence[Layer]) -> tuple[str, ...]:
    """Return the names of layers."""
    return tuple(str(layer.name) for layer in layers)
