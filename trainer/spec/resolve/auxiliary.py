"""Whether an auxiliary task can be made of the data set, and learned as is asked."""

from collections.abc import Iterator, Sequence

from trainer.spec.augmentation.augmented import layout_kind
from trainer.spec.auxiliary import Rotation, SameOrDifferent, by_label
from trainer.spec.data import DatasetRef, PerClass
from trainer.spec.data.answers import Answer
from trainer.spec.data.features import Inputs
from trainer.spec.errors import Problem, pointer
from trainer.spec.job import JobSpec
from trainer.spec.layers import OUTPUT
from trainer.spec.layers.pairs import Distance, DistanceThreshold
from trainer.spec.losses import Contrastive
from trainer.spec.network import NetworkSpec
from trainer.spec.resolve.phases import ResolvedPhase
from trainer.spec.training import Training

TASK = pointer("dataset", "auxiliary_task")


def with_verdict(spec: JobSpec) -> JobSpec:
    """Return a spec whose output answers by the distance, where the loss takes one.

    Doing it again changes nothing.
    """
    layers, loss = spec.network.layers, spec.training.loss
    pairs = spec.dataset.auxiliary_task.pairs_up
    if not pairs or not isinstance(loss, Contrastive):
        return spec
    if not layers or not isinstance(layers[-1], Distance) or layers[-1].name == OUTPUT:
        return spec
    last = DistanceThreshold(name=OUTPUT, threshold=loss.margin / 2)
    network = spec.network.model_copy(update={"layers": (*layers, last)})
    return spec.model_copy(update={"network": network})


def rows_problems(
    ref: DatasetRef, answer: Answer | None, inputs: Inputs | None
) -> list[Problem]:
    """Return why no rows for the task can be made of the data set."""
    task = ref.auxiliary_task
    if not task.made or answer is None or inputs is None:
        return []
    found = []
    if ref.windows is not None:
        detail = f"{task.kind} is for examples that are single rows, not for windows"
        place = pointer("dataset", "windows")
        found.append(Problem(place, "conflict", detail, "leave windows out"))
    if ref.examples_per_class is not None and not by_label(task):
        place = pointer("dataset", "examples_per_class")
        detail = f"{task.kind} learns without the classes of the target: use all rows"
        found.append(Problem(place, "conflict", detail, "leave it out"))
    if isinstance(task, Rotation):
        found += _angles(task, inputs)
    elif isinstance(task, SameOrDifferent):
        found += _pairs(task, ref.examples_per_class, inputs)
    return found


def learning_problems(
    dataset: DatasetRef,
    network: NetworkSpec,
    phases: Sequence[ResolvedPhase],
) -> list[Problem]:
    """Return what of the recipe does not go with the task, phase by phase."""
    task = dataset.auxiliary_task
    found = {
        problem
        for number, phase in enumerate(phases)
        for problem in _recipe(
            dataset,
            phase.recipe,
            ("phases", number) if len(phases) > 1 else ("training",),
        )
    }
    if isinstance(phases[0].recipe.loss, Contrastive):
        found.update(_distance(task.kind, network))
    return sorted(found, key=lambda problem: problem.detail)


def _angles(task: Rotation, inputs: Inputs) -> Iterator[Problem]:
    shape = inputs.shape
    if layout_kind(inputs.kind, shape) != "image":
        detail = f"only images can be turned, the inputs are {inputs.kind} of {shape}"
        yield Problem(TASK, "no_images", detail, "same_or_different")
    elif shape[1] != shape[2] and {90, 270}.intersection(task.angles):
        detail = (
            f"images of {shape[1]}x{shape[2]} have another shape when they are turned "
            "by 90 degrees"
        )
        yield Problem(f"{TASK}/angles", "impossible_shape", detail, "[0, 180]")


def _pairs(
    task: SameOrDifferent, few: PerClass | None, inputs: Inputs
) -> Iterator[Problem]:
    if inputs.kind == "tokens":
        detail = "texts cannot be paired as tokens: give the column a bag_of_words"
        yield Problem(TASK, "wrong_inputs", detail, "bag_of_words")
    if task.same == "label" and few is not None and 1 in {few.train, few.validation}:
        place = pointer("dataset", "examples_per_class")
        detail = "a class of one example has no pair of the same class: keep two"
        yield Problem(place, "too_few_examples", detail, "2")


def _recipe(
    dataset: DatasetRef, recipe: Training, place: tuple[str | int, ...]
) -> Iterator[Problem]:
    task = dataset.auxiliary_task
    if not isinstance(task, SameOrDifferent):
        return
    if recipe.mixing.kind != "none":
        detail = f"{recipe.mixing.kind} would mix pairs of either kind"
        yield Problem(pointer(*place, "mixing"), "conflict", detail, "none")
    if task.same == "example" and not recipe.augmentation:
        detail = (
            "two views of one example are equal without training.augmentation, and "
            "nothing would have to be learned to tell that"
        )
        suggestion = '[{"kind": "shift"}, {"kind": "noise"}]'
        where = pointer(*place, "augmentation")
        yield Problem(where, "missing", detail, suggestion)
    if recipe.frozen_cache == "required":
        detail = (
            "pairs are drawn anew in every epoch, so outputs of frozen layers cannot "
            "be kept"
        )
        yield Problem(pointer(*place, "frozen_cache"), "conflict", detail, "auto")


def _distance(kind: str, network: NetworkSpec) -> Iterator[Problem]:
    """Refuse the contrastive loss where no distance of a pair is answered."""
    if kind != "same_or_different":
        detail = (
            "contrastive is for pairs that are the same or different: set "
            "dataset.auxiliary_task to same_or_different"
        )
        place = pointer("training", "loss")
        yield Problem(place, "wrong_loss", detail, "softmax_cross_entropy")
        return
    last = network.layers[-1]
    named = {layer.name: layer for layer in network.layers}
    below = named.get((last.inputs or ("",))[0])
    if not isinstance(last, DistanceThreshold) or not isinstance(below, Distance):
        place = pointer("network", "layers", len(network.layers) - 1)
        detail = (
            "contrastive takes a distance: let euclidean_distance or cosine_distance "
            "be the last layer, and leave the output to the loss"
        )
        yield Problem(place, "wrong_output", detail, "euclidean_distance")
