"""Wishes of the training part that do not fit the data, the task or each other."""

from collections.abc import Iterator, Sequence

from trainer.spec.augmentation import Augmentation
from trainer.spec.augmentation.augmented import Augmented, layout_kind
from trainer.spec.base import variants
from trainer.spec.data.answers import Answer
from trainer.spec.data.features import Inputs
from trainer.spec.data.schema import Schema
from trainer.spec.errors import Problem, nearest, pointer
from trainer.spec.layers import BatchNormalization, Dense
from trainer.spec.layers.blocks import Block
from trainer.spec.network import NetworkSpec
from trainer.spec.normalizations import Batch
from trainer.spec.schedules.lengths import Epochs
from trainer.spec.training import Training
from trainer.spec.weighting import GivenClassWeights, class_text

POSITIVE = frozenset({"softplus", "sigmoid", "hard_sigmoid", "relu", "relu6"})
"""Activations whose values are never negative."""


def misfits(
    training: Training,
    answer: Answer,
    inputs: Inputs,
    network: NetworkSpec,
    schema: Schema,
) -> list[Problem]:
    """Return what is asked of the training that cannot be, or makes no sense."""
    return [
        *_augmentation(training, answer, inputs),
        *_mixing(training, answer, inputs),
        *_averaging(training),
        *_batches(training, network),
        *_imbalance(training, answer),
        *_decay(training),
        *_cache(training),
        *_counts(training, answer, network, schema),
    ]


def doubled(training: Training) -> list[str]:
    """Return a warning where rare classes are weighed up twice."""
    if training.sampling.kind == "shuffled" or training.class_weights.kind == "none":
        return []
    return ["sampling and class_weights both weigh rare classes up: twice over"]


def _augmentation(
    training: Training, answer: Answer, inputs: Inputs
) -> Iterator[Problem]:
    kind = layout_kind(inputs.kind, inputs.single)
    for number, each in enumerate(training.augmentation):
        place = pointer("training", "augmentation", number, "kind")
        if kind not in each.fits:
            names = [
                str(member.model_fields["kind"].default)
                for member in variants(Augmentation)
                if issubclass(member, Augmented) and kind in member.fits
            ]
            detail = (
                f"{each.kind} is for {_listed(sorted(each.fits))} inputs, here they "
                f"are {inputs.kind} of shape {list(inputs.single)}"
            )
            if names:
                detail += f"; for these there are {_listed(names)}"
            yield Problem(place, "wrong_augmentation", detail, next(iter(names), None))
        elif each.moves and answer.task == "reconstruction":
            detail = (
                f"{each.kind} would move what is to be reconstructed; noise and erase "
                "leave it in its place"
            )
            yield Problem(place, "wrong_augmentation", detail, "noise")
        elif (found := each.excess(inputs.shape)) is not None:
            field, why = found
            spot = pointer("training", "augmentation", number, field)
            yield Problem(spot, "too_large", why)


def _mixing(training: Training, answer: Answer, inputs: Inputs) -> Iterator[Problem]:
    mixing, place = training.mixing, pointer("training", "mixing")
    if mixing.kind == "none":
        return
    kind = layout_kind(inputs.kind, inputs.shape)
    if answer.task != "classification":
        detail = f"{mixing.kind} mixes classes; the task is {answer.task}"
        yield Problem(place, "wrong_mixing", detail, "none")
    elif mixing.images_only and kind != "image":
        detail = f"{mixing.kind} is for images, here the inputs are {inputs.kind}"
        yield Problem(place, "wrong_mixing", detail, "mixup")
    elif kind == "other" or _names_things(inputs):
        detail = "tokens and embedded categories are names, which cannot be mixed"
        yield Problem(place, "wrong_mixing", detail, "none")


def _averaging(training: Training) -> Iterator[Problem]:
    """Refuse an average that begins when training is over."""
    start = getattr(training.averaging, "start", None)
    if isinstance(start, Epochs) and start.epochs >= training.epochs:
        place = pointer("training", "averaging", "start")
        detail = (
            f"the average begins after {start.epochs:g} epochs, training ends after "
            f"{training.epochs}"
        )
        yield Problem(place, "too_late", detail)


def _batches(training: Training, network: NetworkSpec) -> Iterator[Problem]:
    """Refuse batches of one row where they are to be normalised."""
    if training.batch_size > 1:
        return
    for number, layer in enumerate(network.layers):
        norm = layer.normalization if isinstance(layer, Block) else layer
        if isinstance(norm, Batch | BatchNormalization):
            detail = (
                "batch normalisation needs at least two rows in a batch, or the "
                f"normalization of {layer.name or f'layer {number + 1}'} another kind"
            )
            yield Problem(pointer("training", "batch_size"), "conflict", detail, "2")
            return


def _names_things(inputs: Inputs) -> bool:
    """Return whether some inputs are numbers of categories or tokens."""
    return bool(inputs.layout)


def _imbalance(training: Training, answer: Answer) -> Iterator[Problem]:
    for name in ("class_weights", "sampling"):
        kind = getattr(training, name).kind
        if kind in {"none", "shuffled"} or answer.task == "classification":
            continue
        detail = (
            f"{name} needs one class per example; the task is {answer.task}"
            + ", where an example may have several labels"
            * (answer.task == "multi_label")
        )
        suggestion = "none" if name == "class_weights" else "shuffled"
        yield Problem(pointer("training", name), "no_classes", detail, suggestion)
    if isinstance(training.class_weights, GivenClassWeights):
        yield from _unknown_classes(training.class_weights, answer)


def _unknown_classes(wish: GivenClassWeights, answer: Answer) -> Iterator[Problem]:
    known = [class_text(value) for value in answer.classes]
    if answer.task != "classification":
        return
    for name in wish.weights_of:
        if name not in known:
            place = pointer("training", "class_weights", name)
            detail = f"there is no class {name!r}; there are {_listed(known[:20])}"
            yield Problem(place, "unknown_class", detail, nearest(name, known))


def _decay(training: Training) -> Iterator[Problem]:
    optimizer = training.optimizer
    if not training.regularization.weight_decay:
        return
    own = float(getattr(optimizer, "weight_decay", 0.0))
    place = pointer("training", "regularization", "weight_decay")
    if optimizer.kind == "ftrl":
        detail = (
            "ftrl works its weights out anew at each step, so they cannot decay in "
            "between; use its own l2"
        )
        yield Problem(place, "conflict", detail, "0")
    elif own:
        detail = (
            f"{optimizer.kind} has a weight_decay of its own, {own:g}; set one of the "
            "two to 0"
        )
        yield Problem(place, "conflict", detail, "0")


def _cache(training: Training) -> Iterator[Problem]:
    names: list[str] = [each.kind for each in training.augmentation]
    names += [training.mixing.kind] if training.mixing.kind != "none" else []
    if names and training.frozen_cache == "required":
        detail = (
            f"{_listed(names)} changes the input of the frozen layers in every epoch, "
            "so their outputs cannot be kept"
        )
        place = pointer("training", "frozen_cache")
        yield Problem(place, "conflict", detail, "auto")


def _counts(
    training: Training, answer: Answer, network: NetworkSpec, schema: Schema
) -> Iterator[Problem]:
    """Refuse a loss of positive numbers where some may be negative."""
    if training.loss is None or not training.loss.positive:
        return
    last = network.layers[-1]
    activation = last.activation if isinstance(last, Dense) else None
    if activation is None or activation.kind not in POSITIVE:
        place = pointer("network", "layers", len(network.layers) - 1, "activation")
        detail = (
            f"the loss {training.loss.kind} needs outputs that are positive: write out "
            "the layer 'output' with an activation such as softplus"
        )
        yield Problem(place, "wrong_activation", detail, "softplus")
    for name in answer.target:
        column = schema.column(name)
        if column is not None and column.minimum is not None and column.minimum < 0:
            place = pointer("training", "loss")
            detail = (
                f"the loss {training.loss.kind} is for counts; {name!r} goes down to "
                f"{column.minimum:g}"
            )
            yield Problem(place, "wrong_loss", detail, "mean_squared_error")


def _listed(words: Sequence[str]) -> str:
    """Return words as a sentence has them."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
