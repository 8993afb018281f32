"""Rules about what every hidden layer has: activation, first weights, limits."""

from trainer.spec.advice import sources
from trainer.spec.advice.case import Case
from trainer.spec.advice.draft import Advised, Remark, Take, rule
from trainer.spec.advice.wishes import Wish

NORM = 3.0
DEFAULTS = ("network", "defaults")


@rule(sources.HE)
def initialize_for_rectifiers(_: Case) -> Advised:
    """He initialisation, which keeps the variance through rectifiers."""
    yield Take(
        (*DEFAULTS, "initializer"),
        "he_normal",
        "the guide's default: signals keep their variance through ELU and its kin",
    )


@rule(sources.ELU)
def activate(case: Case) -> Advised:
    """ELU before leaky ReLU, that before ReLU, tanh and logistic."""
    yield Take(
        (*DEFAULTS, "activation"),
        "elu",
        "the guide's default: as a rule ELU does better than leaky ReLU and its "
        "variants, those better than ReLU, tanh and logistic"
        + (
            "; a parametric ReLU would overfit, because " + case.smallness
            if case.smallness
            else ""
        ),
    )


@rule(sources.LEAKY)
def activate_fast(case: Case) -> Advised:
    """Leaky ReLU where speed matters: no exponential."""
    if case.wants("very_fast_model"):
        yield Take(
            (*DEFAULTS, "activation"),
            "leaky_relu",
            f"{case.asked('very_fast_model')}: leaky ReLU needs no exponential; ELU is "
            "a little more accurate",
        )


@rule(sources.BATCH)
def normalize(case: Case) -> Advised:
    """Batch normalisation, unless predictions must be very fast."""
    if case.keeps_batch_normalization and not case.folds:
        yield Take(
            (*DEFAULTS, "normalization"),
            "batch",
            "the guide's default: gradients neither vanish nor explode, training is "
            "faster, and it regularises a little",
        )


@rule(sources.GUIDE)
def do_without_normalization(case: Case) -> Advised:
    """No batch normalisation where each microsecond of a prediction counts."""
    if not case.keeps_batch_normalization:
        yield Take(
            (*DEFAULTS, "normalization"),
            "none",
            f"{case.asked('very_fast_model')}: batch normalisation costs time in each "
            "layer of each prediction; He initialisation does its part without",
        )


@rule(sources.FOLDING)
def fold_normalization(case: Case) -> Advised:
    """Train with batch normalisation and predict without, where both are wanted."""
    if not case.folds:
        return
    slow: Wish = (
        "slow_convergence"
        if case.wants("slow_convergence")
        else "no_good_learning_rate"
    )
    yield Take(
        (*DEFAULTS, "normalization"),
        "batch",
        f"{case.asked(slow)}: batch normalisation makes training faster and larger "
        "learning rates safe",
    )
    yield Take(
        ("serving", "fold_normalization"),
        True,
        f"{case.asked('very_fast_model')}: batch normalisation is worked into the "
        "weights below it, so predictions do not pay for it",
    )
    yield Remark(
        "a very fast model would do without batch normalisation, fast training would "
        "not: it is there in training and folded away for predictions"
    )


@rule(sources.MAX_NORM)
def bound_norms(case: Case) -> Advised:
    """Bound the weights' norm where batch normalisation is absent."""
    if not case.keeps_batch_normalization:
        yield Take(
            ("training", "regularization", "max_norm"),
            NORM,
            "without batch normalisation a bound on the weights of each unit keeps "
            "gradients from exploding, and regularises",
        )


@rule(sources.DROPOUT)
def drop_units(case: Case) -> Advised:
    """Dropout after dense layers: more of it against overfitting."""
    rate, reason = 0.2, "the guide's default after dense layers"
    if case.wants("overfitting"):
        rate, reason = 0.5, f"{case.asked('overfitting')}: half of the units rest"
    elif case.smallness:
        rate, reason = 0.3, f"{case.smallness}: more units rest than usual"
    yield Take(
        (*DEFAULTS, "dropout"), 0.0, "said for each dense layer; others need little"
    )
    for number, layer in enumerate(case.layers):
        if layer == "dense":
            yield Take(("network", "layers", number, "dropout"), rate, reason)
