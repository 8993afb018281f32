"""What else could be tried: each as a JSON Merge Patch on the advised spec.

``POST /v1/jobs/{id}/clone`` takes the patches as they are. A few words have none,
because they name another job, not another spec of this one.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

from trainer.spec.advice import sources
from trainer.spec.advice.case import Case
from trainer.spec.advice.draft import difference

Json = dict[str, Any]


@dataclass(frozen=True)
class Alternative:
    """One other way, when it is worth trying, and what to change for it."""

    rule: str
    reason: str
    source: str
    patch: Json | None = None
    """JSON Merge Patch on the advised spec; None: it is another job."""
    model: str | None = None
    """The catalogued model that it speaks of, if it does."""

    def as_dict(self) -> Json:
        """Return the alternative as the JSON object that the API answers."""
        return asdict(self)


def alternatives(case: Case, spec: Json) -> list[Alternative]:
    """Return what else could be tried with this data set and these wishes."""
    return [found for each in _ALL for found in each(case, spec)]


def _changed(spec: Json, change: Callable[[Json], None]) -> Json:
    """Return the merge patch of a change made in place."""
    after = deepcopy(spec)
    change(after)
    patch: Json = difference(spec, after)
    return patch


def _rate(case: Case, spec: Json) -> Iterator[Alternative]:
    if not case.wants("slow_convergence", "no_good_learning_rate"):
        return

    def test(after: Json) -> None:
        after["training"]["schedule"] = {"kind": "range_test"}
        after["training"].pop("pruning", None)

    yield Alternative(
        "range_test",
        "finds a learning rate by raising it until the loss explodes; run it first and "
        "write its proposal into the optimizer",
        sources.RANGE_TEST,
        _changed(spec, test),
    )

    def react(after: Json) -> None:
        after["training"]["schedule"] = {"kind": "performance"}

    yield Alternative(
        "performance_schedule",
        "lowers the rate when the validation loss stands still: works as well as the "
        "exponential schedule and needs no length, but converges a little later",
        sources.SCHEDULES,
        _changed(spec, react),
    )


def _optimizer(case: Case, spec: Json) -> Iterator[Alternative]:
    kind = spec["training"]["optimizer"]["kind"]

    def steady(after: Json) -> None:
        after["training"]["optimizer"] = {
            "kind": "nesterov",
            "learning_rate": 0.01,
            "momentum": 0.9,
        }

    def adapt(after: Json) -> None:
        after["training"]["optimizer"] = {"kind": "adam", "learning_rate": 0.001}

    if kind == "adam":
        yield Alternative(
            "steady_optimizer",
            "if the validation loss stays far above the training loss: adaptive "
            "optimizers may generalise worse, then momentum or Nesterov",
            sources.ADAPTIVE,
            _changed(spec, steady),
        )
    elif not case.wants("overfitting"):
        yield Alternative(
            "adaptive_optimizer",
            "quick first results without looking for a rate; adaptive optimizers may "
            "generalise worse, so compare the validation loss",
            sources.ADAPTIVE,
            _changed(spec, adapt),
        )


def _sparser(case: Case, spec: Json) -> Iterator[Alternative]:
    if not case.wants("sparse_model"):
        return

    def follow(after: Json) -> None:
        training = after["training"]
        training["optimizer"] = {"kind": "ftrl", "learning_rate": 0.05, "l1": 0.001}
        training["regularization"].pop("l1")
        training.pop("pruning")

    yield Alternative(
        "ftrl",
        "FTRL with L1 makes weights exactly 0 as it goes: for models that must be "
        "sparser still, at the price of slower learning in deep networks",
        sources.FTRL,
        _changed(spec, follow),
    )

    def afterwards(after: Json) -> None:
        share = after["training"]["pruning"]["final_sparsity"]
        after["training"]["pruning"] = {"kind": "magnitude", "sparsity": share}

    yield Alternative(
        "magnitude_pruning",
        "sets small weights to 0 when training is over: simpler, and less accurate "
        "than doing it little by little",
        sources.MAGNITUDE,
        _changed(spec, afterwards),
    )


def _faster(case: Case, spec: Json) -> Iterator[Alternative]:
    if not case.wants("very_fast_model"):
        return

    def bend(after: Json) -> None:
        after["network"]["defaults"]["activation"] = "elu"

    yield Alternative(
        "elu_alone",
        "ELU with He initialisation, without batch normalisation: a little slower than "
        "leaky ReLU and often more accurate; see first how well it does",
        sources.GUIDE,
        _changed(spec, bend),
    )

    def fold(after: Json) -> None:
        after["network"]["defaults"]["normalization"] = "batch"
        after.setdefault("serving", {})["fold_normalization"] = True
        after["training"].get("regularization", {}).pop("max_norm", None)

    if not case.folds:
        yield Alternative(
            "folded_normalization",
            "train with batch normalisation and fold it into the weights for "
            "predictions: they are as fast, and training is faster",
            sources.FOLDING,
            _changed(spec, fold),
        )

    def quantise(after: Json) -> None:
        after.setdefault("serving", {})["precision"] = "int8"

    yield Alternative(
        "int8",
        "dense layers in 8-bit integers: a quarter of the size, faster where they are "
        "large; compare the accuracy",
        sources.QUANTISED,
        _changed(spec, quantise),
    )


def _fewer_rows(case: Case, spec: Json) -> Iterator[Alternative]:
    if not case.smallness or case.answer.task == "reconstruction":
        return
    yield Alternative(
        "autoencoder",
        "if there are more rows without a target: train an autoencoder on all of them "
        "(dataset.task reconstruction) and reuse its lower layers; today autoencoders "
        "are preferred to restricted Boltzmann machines",
        sources.AUTOENCODERS,
    )
    mixable = case.answer.task == "classification" and not case.mixes
    if mixable and case.form in {"image", "table"}:

        def mix(after: Json) -> None:
            after["training"]["mixing"] = "mixup"

        yield Alternative(
            "mixup",
            "trains on mixtures of two rows and their classes: smoother decisions from "
            "few rows",
            sources.MIXUP,
            _changed(spec, mix),
        )


def _flips(case: Case, spec: Json) -> Iterator[Alternative]:
    changes = spec["training"].get("augmentation")
    if case.form != "image" or not changes:
        return

    def flip(after: Json) -> None:
        after["training"]["augmentation"] = [{"kind": "flip"}, *changes]

    yield Alternative(
        "flips",
        "if a picture means the same seen in a mirror (animals and things, not digits)",
        sources.AUGMENTATION,
        _changed(spec, flip),
    )


def _restless(case: Case, spec: Json) -> Iterator[Alternative]:
    if not case.wants("overfitting") or case.wants("deterministic", "very_fast_model"):
        return

    def shake(after: Json) -> None:
        after["network"]["defaults"]["activation"] = "rrelu"

    yield Alternative(
        "randomized_leaky_relu",
        "a random slope while training works against overfitting as well",
        sources.LEAKY,
        _changed(spec, shake),
    )


def _draws(case: Case, spec: Json) -> Iterator[Alternative]:
    if not case.imbalance:
        return

    def draw(after: Json) -> None:
        after["training"]["class_weights"] = "none"
        after["training"]["sampling"] = "balanced"

    yield Alternative(
        "balanced_sampling",
        "draw each class equally often in place of weighing errors: where the rarest "
        "class has so few rows that most batches lack it",
        sources.SAMPLING,
        _changed(spec, draw),
    )


def _step_by_step(case: Case, spec: Json) -> Iterator[Alternative]:
    layers = spec["network"]["layers"]
    if case.form not in {"text", "sequence"} or "gru" in case.layers:
        return
    below = [layer for layer in layers if layer["kind"] == "embedding"]
    above = [layer for layer in layers if layer["kind"] == "dense"]

    def walk(after: Json) -> None:
        memory = {"name": "memory", "kind": "gru", "units": 64}
        after["network"]["layers"] = [*below, memory, *above]
        after["training"]["gradient_clipping"] = {"kind": "global_norm"}

    yield Alternative(
        "recurrent",
        "a gated recurrent layer reads in order: worth it where what is said last "
        "depends on what was said first; several times slower",
        sources.SERIES,
        _changed(spec, walk),
    )


_ALL = (
    _rate,
    _optimizer,
    _sparser,
    _faster,
    _fewer_rows,
    _flips,
    _restless,
    _draws,
    _step_by_step,
)
