"""Whether a network that is to learn by contrastive divergence is a Boltzmann machine.

A restricted one: hidden units between 0 and 1 on what is given back, and an output that
uses their weights turned round.
"""

from collections.abc import Iterator, Sequence

from trainer.spec.activity import PROBABILITIES
from trainer.spec.data import DatasetRef
from trainer.spec.data.answers import Answer
from trainer.spec.data.features import GRIDS, Inputs
from trainer.spec.data.schema import Schema
from trainer.spec.errors import Problem, pointer
from trainer.spec.layers import ActivationLayer, Dense
from trainer.spec.layers.blocks import Block, Step
from trainer.spec.layers.tied_dense import TiedDense
from trainer.spec.losses import ContrastiveDivergence
from trainer.spec.network import INPUT, NetworkSpec, Row
from trainer.spec.resolve.phases import ResolvedPhase
from trainer.spec.training import Training

GAUSSIAN = frozenset({"none", "linear"})
"""Activations of an output whose units are Gaussian rather than 0 or 1."""
BETWEEN = frozenset({"unscaled", "min_max", "one_hot", "as it is"})
"""Encodings whose numbers can all lie between 0 and 1."""
MACHINE = (
    "contrastive divergence trains a dense layer of sigmoid units under an output of "
    "kind tied_dense: "
)


def machine_problems(
    answer: Answer,
    network: NetworkSpec,
    rows: Sequence[Row],
    phases: Sequence[ResolvedPhase],
    given: tuple[Inputs, DatasetRef, Schema],
) -> list[Problem]:
    """Return why the network, its recipe or its data are none of a machine's."""
    recipe = phases[0].recipe
    if not isinstance(recipe.loss, ContrastiveDivergence):
        return []
    found = list(_shape(answer, network))
    if not found:
        found += _recipe(recipe, network)
        found += _still(rows, phases)
    if not found and gaussian(network):
        return found
    return found or list(_between(answer, network, given))


def gaussian(network: NetworkSpec) -> bool:
    """Return whether the visible units are Gaussian."""
    last = network.layers[-1]
    return isinstance(last, Block) and (
        last.activation is None or last.activation.kind in GAUSSIAN
    )


def _shape(answer: Answer, network: NetworkSpec) -> Iterator[Problem]:
    """Yield what of the two layers is missing or otherwise."""
    layers = {str(layer.name): layer for layer in network.layers}
    numbers = {name: number for number, name in enumerate(layers)}
    last = network.layers[-1]
    if not isinstance(last, TiedDense):
        place = pointer("network", "layers", len(layers) - 1, "kind")
        detail = f"{MACHINE}write out the layer 'output' so"
        yield Problem(place, "no_machine", detail, "tied_dense")
        return
    hidden = layers[last.tied_to]
    assert isinstance(hidden, Dense)
    bottom = answer.layer or INPUT
    for layer, below in ((last, last.tied_to), (hidden, bottom)):
        if layer.inputs != (below,):
            at = numbers[str(layer.name)]
            detail = f"{MACHINE}{layer.name!r} must stand on {below!r} itself"
            yield Problem(
                pointer("network", "layers", at, "inputs"), "no_machine", detail, below
            )
    for layer, known in (
        (hidden, frozenset({"sigmoid"})),
        (last, GAUSSIAN | {"sigmoid"}),
    ):
        yield from _plain(layer, known, numbers[str(layer.name)])


def _plain(layer: Block, known: frozenset[str], at: int) -> Iterator[Problem]:
    """Yield what stands between a layer's sums and its probabilities."""
    wrong = {
        "activation": layer.activation is not None
        and layer.activation.kind not in known,
        "normalization": layer.normalization is not None
        and layer.normalization.kind != "none",
        "dropout": bool(layer.dropout),
    }
    should = {"activation": "sigmoid", "normalization": "none", "dropout": "0"}
    for field in (field for field, is_wrong in wrong.items() if is_wrong):
        detail = f"{MACHINE}{layer.name!r} needs {field} {should[field]}"
        place = pointer("network", "layers", at, field)
        yield Problem(place, "no_machine", detail, should[field])


def _recipe(recipe: Training, network: NetworkSpec) -> Iterator[Problem]:
    """Yield what of the recipe changes rows, or asks for what is not measured."""
    if recipe.augmentation:
        detail = "the chains begin at the rows themselves, which nothing may change"
        yield Problem(pointer("training", "augmentation"), "conflict", detail, "[]")
    monitor = getattr(recipe.early_stopping, "monitor", "")
    if gaussian(network) and monitor.endswith("pseudo_likelihood"):
        detail = "only units of 0 and 1 have a pseudo-likelihood"
        place = pointer("training", "early_stopping", "monitor")
        yield Problem(place, "unknown_metric", detail, "validation_loss")


def _still(rows: Sequence[Row], phases: Sequence[ResolvedPhase]) -> Iterator[Problem]:
    """Yield a frozen layer of the machine: both learn together."""
    pair = {rows[-1].name, str(rows[-1].lender)}
    for phase in phases:
        for name in sorted(pair & phase.frozen):
            detail = f"{name!r} is frozen, but both layers of the machine learn"
            yield Problem(pointer("reuse"), "conflict", detail)


def _between(
    answer: Answer, network: NetworkSpec, given: tuple[Inputs, DatasetRef, Schema]
) -> Iterator[Problem]:
    """Yield what cannot lie between 0 and 1, as far as the schema tells."""
    inputs, dataset, schema = given
    outside = (
        "visible units of 0 and 1 take numbers from 0 to 1 (or give the output the "
        "activation none, for Gaussian units)"
    )
    if answer.layer is not None:
        kind = _activation(network, answer.layer)
        if kind is not None and kind not in PROBABILITIES:
            detail = f"{outside}; {answer.layer!r} gives what {kind} gives"
            yield Problem(pointer("training", "reconstruct"), "wrong_range", detail)
        return
    if inputs.kind in GRIDS and dataset.standardize:
        place = pointer("dataset", "standardize")
        detail = f"{outside}; standardised ones are not"
        yield Problem(place, "wrong_range", detail, "false")
    for feature in inputs.features:
        column = schema.column(feature.name)
        low = getattr(column, "minimum", None)
        high = getattr(column, "maximum", None)
        far = (low is not None and low < 0) or (high is not None and high > 1)
        raw = feature.encoded == "unscaled"
        if feature.encoded not in BETWEEN or (raw and far):
            place = pointer("dataset", "encodings", feature.name)
            detail = f"{outside}; {feature.name!r} is {feature.encoded}"
            yield Problem(place, "wrong_range", detail, "min_max")


def _activation(network: NetworkSpec, name: str) -> str | None:
    """Return the function that a layer's outputs have come out of, if it is known."""
    layers: dict[str, Step] = {str(layer.name): layer for layer in network.layers}
    while name in layers:
        layer = layers[name]
        if isinstance(layer, Block | ActivationLayer):
            return "none" if layer.activation is None else layer.activation.kind
        if not layer.inputs or len(layer.inputs) > 1:
            return None
        name = layer.inputs[0]
    return None
