"""Rules about what keeps a network modest: rows, penalties, zeros."""

from trainer.spec.advice import sources
from trainer.spec.advice.case import LARGE_ROWS, Case
from trainer.spec.advice.draft import Advised, Remark, Take, rule

TRAINING = ("training",)
L1 = 1e-4
L2 = 1e-4
SPARSITY = 0.8
MILD_SPARSITY = 0.5
FEW_ROWS = 1_000
"""Training rows of which a tenth says too little."""


@rule(sources.GUIDE)
def hold_more_back(case: Case) -> Advised:
    """Hold back a fifth of few rows, or validation says nothing."""
    given = case.schema.part("validation") is not None
    if case.rows >= FEW_ROWS or given or case.inputs.windows is not None:
        return
    yield Take(
        ("dataset", "split", "validation"),
        0.2,
        f"a tenth of {case.rows:,} rows would say little about the rest",
    )


@rule(sources.AUGMENTATION)
def make_more_rows(case: Case) -> Advised:
    """Augment the rows of a small or overfitted set, as far as its kind allows."""
    why = case.smallness
    if why is None and case.wants("overfitting"):
        why = case.asked("overfitting")
    if why is None or case.answer.task == "reconstruction":
        return
    place = (*TRAINING, "augmentation")
    if case.form == "image":
        yield Take(
            place,
            [
                {"kind": "shift", "height": 0.1, "width": 0.1},
                {"kind": "rotate", "degrees": 10.0},
                {"kind": "scale", "minimum": 0.9, "maximum": 1.1},
            ],
            f"{why}: pictures that are moved, turned and scaled a little count as new "
            "ones; no flips, which would change digits and letters",
        )
    elif case.form == "table" and not case.mixes:
        yield Take(
            place,
            [{"kind": "swap_noise", "rate": 0.1}],
            f"{why}: a tenth of the values is taken from other rows, so no single "
            "column is relied on",
            sources.SWAP_NOISE,
        )
    elif case.form == "sequence" and case.inputs.windows is None:
        yield Take(
            place,
            [{"kind": "noise", "deviation": 0.05}],
            f"{why}: a little noise makes sequences that were not seen before",
        )


@rule(sources.HOUSE)
def doubt_smallness(case: Case) -> Advised:
    """Say where a set is not as small as was said."""
    if case.wants("small_training_set") and case.rows >= LARGE_ROWS:
        yield Remark(
            f"{case.rows:,} training rows are many: the wish for small_training_set is "
            "followed, but try without it"
        )


@rule(sources.WEIGHTS)
def weigh_classes(case: Case) -> Advised:
    """Let an error on a rare class cost more."""
    if case.imbalance:
        yield Take(
            (*TRAINING, "class_weights"),
            "balanced",
            f"{case.imbalance}: an error costs the more, the rarer its class; judge by "
            "more than accuracy",
        )
    elif case.wants("imbalance"):
        yield Remark(
            f"class weights are for classification, and the task is {case.answer.task}"
        )


@rule(sources.DECAY)
def shrink_weights(case: Case) -> Advised:
    """Penalise large weights against overfitting, unless L1 does already."""
    if not case.wants("overfitting"):
        return
    if case.wants("sparse_model"):
        yield Remark(
            "L1 for the sparse model regularises as well, so L2 against overfitting is "
            "left out"
        )
        return
    yield Take(
        (*TRAINING, "regularization", "l2"),
        L2,
        f"{case.asked('overfitting')}: large weights cost",
    )


@rule(sources.SPARSE)
def draw_weights_to_zero(case: Case) -> Advised:
    """L1 where most weights shall be 0."""
    if case.wants("sparse_model"):
        yield Take(
            (*TRAINING, "regularization", "l1"),
            L1,
            f"{case.asked('sparse_model')}: L1 draws weights that matter little to 0",
        )


@rule(sources.PRUNING)
def zero_small_weights(case: Case) -> Advised:
    """Set small weights to 0 while the others go on learning."""
    if not case.wants("sparse_model"):
        return
    share, reason = SPARSITY, case.asked("sparse_model")
    if case.smallness:
        share = MILD_SPARSITY
        yield Remark(
            f"{case.smallness}, and the network is small for it: {share:.0%} of its "
            f"weights become 0, not {SPARSITY:.0%}"
        )
    yield Take(
        (*TRAINING, "pruning"),
        {
            "kind": "gradual",
            "final_sparsity": share,
            "end": {"epochs": max(1, case.epochs // 2)},
            "every": {"epochs": 1},
        },
        f"{reason}: the smallest weights become 0, {share:.0%} of them by half of the "
        "training, and the others learn to do without; L1 alone leaves them near 0",
    )


@rule(sources.ROBUST)
def bear_outliers(case: Case) -> Advised:
    """Choose a loss that far-out targets do not dominate."""
    if case.far_out is not None:
        yield Take(
            (*TRAINING, "loss"),
            "huber",
            f"{case.target.name!r} has values {case.far_out:.0f} deviations from its "
            "mean, which would dominate a squared error",
        )
