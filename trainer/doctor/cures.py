"""Treatments: what each changes in a spec. Add one: a function, named in TREATMENTS.

They work on the spec as it was submitted (`Draft.spec`), where almost everything may be
absent, and look up in the resolved spec what is in force.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainer.spec.base import variants
from trainer.spec.layers import OUTPUT, Layer
from trainer.spec.layers.blocks import Defaults
from trainer.spec.training import Training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trainer.doctor.course import Course
    from trainer.spec.job import JobSpec

Json = dict[str, Any]

FLAT = frozenset(
    {"sigmoid", "tanh", "softsign", "hard_sigmoid", "hard_tanh", "relu", "relu6"}
)
"""Activations that saturate on both sides or die; ELU does neither."""
SQUASHING = frozenset(
    {"sigmoid", "tanh", "softsign", "hard_sigmoid", "hard_tanh", "softmax"}
)
FITTING = ("he_", "glorot_", "lecun_", "orthogonal", "variance_scaling")
"""How the names of initialisers begin that follow from the number of inputs."""
PLAIN_DESCENT = frozenset({"gradient_descent", "sgd", "momentum", "nesterov"})
"""Optimizers whose step is proportional to the gradient."""
UNEVEN = frozenset(
    {"embedding", "column_embedding", "simple_rnn", "gru", "lstm", "transformer_block"}
)
"""Layers whose weights see gradients of very different size."""
USUAL_RATE = 0.1
"""Learning rate of plain gradient descent. With momentum β a lasting gradient moves the
weights 1 / (1 - β) times as far: the practical guide's 0.01 with 0.9 is the same."""
LIGHT = 1e-4
"""Coefficient of a penalty that does not hold a network back."""
SCALE = (0.1, 10.0)
"""Deviations of the input between which no layer needs it standardised."""
KINDS = {str(one.model_fields["kind"].default): one for one in variants(Layer)}
MANY = 2
"""Rows that batch normalisation needs in a batch."""


@dataclass
class Draft:
    """A copy of the submitted spec that treatments change."""

    spec: Json
    resolved: JobSpec
    course: Course
    mended: bool = False
    """Whether an earlier treatment has changed the network."""

    @property
    def training(self) -> Json:
        """Return the recipe, made if it was absent."""
        found: Json = self.spec.setdefault("training", {})
        return found

    @property
    def defaults(self) -> Json:
        """Return what hidden layers inherit, made if it was absent."""
        found: Json = self.spec["network"].setdefault("defaults", {})
        return found

    @property
    def normalized(self) -> bool:
        """Return whether the hidden layers normalise their sums, as changed so far."""
        written = self.spec["network"].get("defaults", {}).get("normalization")
        in_force = [_kind(one.normalization) for _, one in self.hidden("normalization")]
        return bool(in_force) and (
            written == "batch" or all(kind not in {"none", ""} for kind in in_force)
        )

    def hidden(self, field: str) -> Iterator[tuple[Json, Any]]:
        """Yield each hidden layer that has a field: as written, and in force."""
        pairs = zip(
            self.spec["network"]["layers"], self.resolved.network.layers, strict=False
        )
        for layer, resolved in pairs:
            if resolved.name != OUTPUT and field in type(resolved).model_fields:
                yield layer, resolved

    def inherit(self, field: str, value: Any, wrong: Callable[[Any], bool]) -> None:
        """Have every hidden layer use `value` where what is in force is wrong.

        Layers that say something wrong of their own say nothing afterwards.
        """
        layers = list(self.hidden(field))
        if not any(wrong(getattr(resolved, field)) for _, resolved in layers):
            return
        written = self.spec["network"].get("defaults", {})
        if field in Defaults.model_fields and (
            field in written or wrong(getattr(self.resolved.network.defaults, field))
        ):
            self.defaults[field] = value
        for layer, resolved in layers:
            if field in layer and wrong(getattr(resolved, field)):
                layer.pop(field)


def initialize(draft: Draft) -> None:
    """Draw weights by the initialiser that belongs to the activation."""
    kinds = [
        getattr(getattr(resolved, "activation", None), "kind", "none")
        for _, resolved in draft.hidden("activation")
    ]
    fitting = "he_normal"
    if kinds and all(kind in SQUASHING | {"none", "linear"} for kind in kinds):
        fitting = "glorot_uniform"
    elif kinds and all(kind == "selu" for kind in kinds):
        fitting = "lecun_normal"
    draft.inherit("initializer", fitting, _misfits)
    for layer, resolved in draft.hidden("bias_initializer"):
        if "bias_initializer" in layer and _shifts(resolved.bias_initializer):
            layer.pop("bias_initializer")
    last = _written_output(draft)
    drawn = getattr(draft.resolved.network.layers[-1], "initializer", None)
    if last is not None and "initializer" in last and _misfits(drawn):
        last.pop("initializer")


def rectify(draft: Draft) -> None:
    """Use ELU, which neither saturates for large sums nor dies."""
    draft.inherit("activation", "elu", lambda one: getattr(one, "kind", "") in FLAT)
    for layer in draft.spec["network"]["layers"]:
        if layer.get("kind") == "activation":
            word = layer.get("activation")
            kind = word.get("kind") if isinstance(word, dict) else word
            if kind in FLAT:
                layer["activation"] = "elu"
    inherited = draft.spec["network"].get("defaults", {})
    chosen = (inherited.get("activation"), inherited.get("initializer"))
    if draft.mended and chosen == ("elu", "glorot_uniform"):
        # it was chosen for the activation that has just been replaced
        inherited["initializer"] = "he_normal"


def normalize(draft: Draft) -> None:
    """Normalise every hidden layer's sums over the batch."""
    alone = any(
        "normalization" in str(layer.get("kind"))
        for layer in draft.spec["network"]["layers"]
    )
    if alone or draft.resolved.training.batch_size < MANY:
        return
    draft.inherit("normalization", "batch", lambda one: _kind(one) in {"none", ""})


def standardize(draft: Draft) -> None:
    """Give every input mean 0 and deviation 1, after LeCun et al. (1998), 4.3.

    Not where the first layers are normalised, which does it for their sums.
    """
    if draft.normalized:
        return
    first = draft.course.first[0] if draft.course.first else None
    size = None if first is None else first.input_deviation
    if size is None or SCALE[0] <= size <= SCALE[1]:
        return
    if not draft.resolved.dataset.standardize:
        draft.spec["dataset"]["standardize"] = True


def clip(draft: Draft) -> None:
    """Bound the norm of all gradients, after Pascanu et al. (2013)."""
    rate, usual = _rates(draft.resolved.training.optimizer)
    if rate is not None and rate > 3 * usual:
        return  # the rate is at fault, and clipped gradients would hide it
    if draft.resolved.training.gradient_clipping.kind == "none":
        draft.training["gradient_clipping"] = {"kind": "global_norm", "threshold": 1.0}


def slow_down(draft: Draft) -> None:
    """Lower the learning rate: to the optimizer's usual one, or to a tenth."""
    optimizer = draft.resolved.training.optimizer
    rate, usual = _rates(optimizer)
    if rate is None:
        return
    if rate <= usual and draft.mended:
        return  # the network was at fault, its repair is part of this patch
    changes: Json = {"learning_rate": _rounded(min(usual, rate / 10))}
    momentum = getattr(optimizer, "momentum", None)
    if isinstance(momentum, float) and momentum > 0.95:  # noqa: PLR2004 - a mean over 20 steps
        changes["momentum"] = 0.9
    _optimizer(draft, changes)


def speed_up(draft: Draft) -> None:
    """Raise the learning rate: to the optimizer's usual one, or tenfold."""
    rate, usual = _rates(draft.resolved.training.optimizer)
    if rate is not None:
        faster = _rounded(usual if rate < usual else 10 * rate)
        _optimizer(draft, {"learning_rate": faster})


def adapt(draft: Draft) -> None:
    """Use Adam where vectors are looked up or steps are read one after another.

    A name that is rare has a gradient as rarely, and one rate for all moves its vector
    hardly at all, after Duchi et al. (2011), JMLR 12, section 1.
    """
    layers = draft.resolved.network.layers
    if not any(layer.kind in UNEVEN for layer in layers):
        return
    if draft.resolved.training.optimizer.kind in PLAIN_DESCENT:
        draft.training["optimizer"] = "adam"


def drop_schedule(draft: Draft) -> None:
    """Keep the learning rate as it is."""
    draft.training["schedule"] = "none"


def loosen(draft: Draft) -> None:
    """Make heavy penalties light."""
    wish = draft.resolved.training.regularization
    for name in ("l1", "l2", "weight_decay"):
        heavy = getattr(wish, name, 0.0)
        if isinstance(heavy, float) and heavy > 10 * LIGHT:
            draft.training.setdefault("regularization", {})[name] = (
                LIGHT if name != "l1" else LIGHT / 10
            )
    for layer, resolved in draft.hidden("regularization"):
        own = getattr(resolved, "regularization", None)
        heavy = max(getattr(own, "l1", 0) or 0, getattr(own, "l2", 0) or 0)
        if "regularization" in layer and heavy > 10 * LIGHT:
            layer.pop("regularization")


def less_dropout(draft: Draft) -> None:
    """Drop a fifth of the outputs, as by default."""
    draft.inherit("dropout", 0.2, lambda rate: (rate or 0.0) > 0.5)  # noqa: PLR2004
    for layer in draft.spec["network"]["layers"]:
        if layer.get("kind") == "dropout" and layer.get("rate", 0.5) > 0.5:  # noqa: PLR2004
            layer["rate"] = 0.2


def regularize(draft: Draft) -> None:
    """Use dropout, or more of it, and a light penalty on the weights."""
    rates = [resolved.dropout or 0.0 for _, resolved in draft.hidden("dropout")]
    if rates:
        wanted = 0.5 if max(rates) >= 0.2 else 0.3  # noqa: PLR2004 - the default's 0.2
        draft.inherit("dropout", wanted, lambda rate: (rate or 0.0) < wanted)
        if all("dropout" not in layer for layer, _ in draft.hidden("dropout")):
            draft.defaults["dropout"] = wanted
    wish = draft.resolved.training.regularization
    if not any(getattr(wish, name, 0) for name in ("l1", "l2", "weight_decay")):
        draft.training.setdefault("regularization", {})["l2"] = LIGHT


def stop_early(draft: Draft) -> None:
    """Stop when the validation loss rises, and keep the best weights."""
    if draft.resolved.training.early_stopping != "none":
        return
    if draft.resolved.dataset.split.validation != "none":
        draft.training["early_stopping"] = {"patience": 10}


def augment(draft: Draft) -> None:
    """Move images a little, so that no epoch shows the same ones."""
    if "augmentation" not in Training.model_fields or not draft.course.situation.images:
        return
    if not getattr(draft.resolved.training, "augmentation", None):
        draft.training["augmentation"] = ["shift"]


def more_rows(draft: Draft) -> None:
    """Train on all rows there are."""
    draft.spec["dataset"].pop("examples_per_class", None)


def widen(draft: Draft) -> None:
    """Give narrow layers room, and a linear model a hidden layer."""
    classes = len(draft.course.situation.class_counts)
    layers: list[Json] = draft.spec["network"]["layers"]
    if not draft.course.situation.hidden:
        hidden = {"kind": "dense", "units": 100}
        at = len(layers) if _written_output(draft) is None else len(layers) - 1
        draft.spec["network"]["layers"] = [*layers[:at], hidden, *layers[at:]]
        return
    for field in ("units", "filters"):
        for layer, resolved in draft.hidden(field):
            if (getattr(resolved, field) or 0) < max(32, 2 * classes):
                layer[field] = 100 if field == "units" else 32


def longer(draft: Draft) -> None:
    """Train four times as long."""
    draft.training["epochs"] = min(10**6, 4 * draft.resolved.training.epochs)


def weigh_classes(draft: Draft) -> None:
    """Give every class the same weight in the loss, however rare it is."""
    if draft.course.situation.unequal and "class_weights" in Training.model_fields:
        draft.training["class_weights"] = "balanced"


TREATMENTS: dict[str, Callable[[Draft], None]] = {
    "initialize": initialize,
    "rectify": rectify,
    "normalize": normalize,
    "standardize": standardize,
    "loosen": loosen,
    "less_dropout": less_dropout,
    "widen": widen,
    "clip": clip,
    "slow_down": slow_down,
    "speed_up": speed_up,
    "adapt": adapt,
    "drop_schedule": drop_schedule,
    "longer": longer,
    "weigh_classes": weigh_classes,
    "more_rows": more_rows,
    "augment": augment,
    "regularize": regularize,
    "stop_early": stop_early,
}
"""What can be done, in the order in which it is done: the network first."""


def _kind(value: Any) -> str:
    return str(getattr(value, "kind", value or ""))


def _misfits(initializer: Any) -> bool:
    """Return whether an initialiser knows nothing of the layer that it fills."""
    kind = _kind(initializer)
    scale = getattr(initializer, "gain", getattr(initializer, "scale", 1.0))
    return bool(kind) and not (kind.startswith(FITTING) and 0.25 <= scale <= 4)  # noqa: PLR2004


def _shifts(initializer: Any) -> bool:
    """Return whether initial biases may switch units off."""
    return _kind(initializer) not in {"zeros", ""}


def _rates(optimizer: Any) -> tuple[float | None, float]:
    """Return the learning rate in force and the optimizer's usual one."""
    rate = getattr(optimizer, "learning_rate", None)
    if optimizer.kind in PLAIN_DESCENT:
        return rate, USUAL_RATE * (1 - min(0.9, getattr(optimizer, "momentum", 0.0)))
    field = type(optimizer).model_fields.get("learning_rate")
    usual = field.default if field is not None else None
    return rate, usual if isinstance(usual, float) else USUAL_RATE


def _rounded(rate: float) -> float:
    return float(f"{rate:.2g}")


def _optimizer(draft: Draft, changes: Json) -> None:
    """Change fields of the optimizer, however it was written."""
    written = draft.training.get("optimizer")
    if isinstance(written, dict):
        draft.training["optimizer"] = {**written, **changes}
    else:
        kind = draft.resolved.training.optimizer.kind
        draft.training["optimizer"] = {"kind": kind, **changes}


def _written_output(draft: Draft) -> Json | None:
    layers = draft.spec["network"]["layers"]
    return layers[-1] if layers and layers[-1].get("name") == OUTPUT else None
