"""Rules about the way down: the optimizer, its rate, its batches, its end."""

from trainer.spec.advice import sources
from trainer.spec.advice.case import Case
from trainer.spec.advice.draft import Advised, Remark, Take, rule
from trainer.spec.advice.wishes import Wish

TRAINING = ("training",)
RATE = 0.01
ADAM_RATE = 0.001
RAISED = 3
"""How many times the usual rate begins where the schedule will bring it down."""
BATCHES_OF = {"small": 32, "usual": 64, "many": 128}
MANY_ROWS = 100_000
STEPS = 50
"""Optimizer steps in an epoch that a batch size should leave."""


@rule(sources.NESTEROV)
def descend(_: Case) -> Advised:
    """Nesterov accelerated gradient, for it generalises well."""
    yield Take(
        (*TRAINING, "optimizer"),
        {"kind": "nesterov", "learning_rate": RATE, "momentum": 0.9},
        "the guide's default: almost always faster than plain momentum; adaptive "
        "optimizers may generalise worse (Wilson et al. 2017)",
    )


@rule(sources.ADAM)
def descend_by_token(case: Case) -> Advised:
    """Adam where most parameters are looked up and rarely have a gradient."""
    if case.form == "text" or case.mixes:
        yield Take(
            (*TRAINING, "optimizer"),
            {"kind": "adam", "learning_rate": ADAM_RATE},
            "vectors of rare words and categories seldom get a gradient: an adaptive "
            "optimizer takes larger steps for them; it may generalise worse than "
            "Nesterov (Wilson et al. 2017), see the alternatives",
        )


@rule(sources.GUIDE)
def keep_the_rate(_: Case) -> Advised:
    """No schedule unless a rate is hard to find."""
    yield Take((*TRAINING, "schedule"), "none", "the guide's default")


@rule(sources.SCHEDULES)
def lower_the_rate(case: Case) -> Advised:
    """Lower the rate where training is slow or no rate is good."""
    if not case.wants("slow_convergence", "no_good_learning_rate"):
        return
    half = max(1, case.epochs // 2)
    wish: Wish = (
        "no_good_learning_rate"
        if case.wants("no_good_learning_rate")
        else "slow_convergence"
    )
    yield Take(
        (*TRAINING, "schedule"),
        {"kind": "exponential", "decay_steps": {"epochs": half}, "decay_rate": 0.1},
        f"{case.asked(wish)}: the rate begins large and falls to a tenth every {half} "
        "epochs, so that the first need not be exactly right; it is simple to tune and "
        "converges a little sooner than waiting for the loss to stand still",
    )


@rule(sources.GUIDE)
def raise_the_rate(case: Case) -> Advised:
    """Begin with a larger rate where the loss falls too slowly."""
    if not case.wants("slow_convergence"):
        return
    if case.wants("no_good_learning_rate"):
        yield Remark(
            "slow convergence asks for a larger learning rate, and you say that no "
            "rate is good: it stays as it is; the range test among the alternatives "
            "finds one"
        )
        return
    adaptive = case.form == "text" or case.mixes
    yield Take(
        (*TRAINING, "optimizer", "learning_rate"),
        RAISED * (ADAM_RATE if adaptive else RATE),
        f"{case.asked('slow_convergence')}: {RAISED} times the usual rate, which the "
        "schedule brings down again so that accuracy does not suffer",
    )


@rule(sources.RECURRENT)
def clip_gradients(case: Case) -> Advised:
    """Clip what explodes through time."""
    if "gru" in case.layers:
        yield Take(
            (*TRAINING, "gradient_clipping"),
            {"kind": "global_norm", "threshold": 1.0},
            "gradients of recurrent layers can explode over many steps",
        )


@rule(sources.BATCHES)
def choose_batches(case: Case) -> Advised:
    """Small batches for few rows, larger ones for many or for a GPU."""
    if case.smallness and case.rows < BATCHES_OF["usual"] * STEPS:
        size, why = BATCHES_OF["small"], f"{case.smallness}: more steps per epoch"
    elif case.request.device == "cuda" or case.rows >= MANY_ROWS:
        size, why = BATCHES_OF["many"], "many rows, or a GPU, keep larger batches busy"
    else:
        size, why = BATCHES_OF["usual"], "the guide's default"
    yield Take((*TRAINING, "batch_size"), size, why)


@rule(sources.STOPPING)
def stop_early(case: Case) -> Advised:
    """Stop when the validation loss has not fallen for a while; keep the best."""
    few = bool(case.smallness)
    patience = 20 if few else 10
    reason = "the guide's default: stop when the validation loss no longer falls"
    if few:
        reason = f"{case.smallness}, so the validation loss is noisy: wait longer"
    yield Take(
        (*TRAINING, "early_stopping"),
        {"monitor": "validation_loss", "patience": patience, "restore_best": True},
        reason,
    )
    yield Take(
        (*TRAINING, "epochs"),
        case.epochs,
        "the most that the time allows"
        if case.request.time_budget_seconds is not None
        else "the most; early stopping ends the training before",
    )


@rule(sources.HOUSE)
def fix_the_draws(case: Case) -> Advised:
    """Name the seed of everything that is drawn."""
    reason = "fixes the split, the first weights, the order of rows and dropout"
    if case.wants("deterministic"):
        reason = f"{case.asked('deterministic')}: the seed {reason}"
        if case.request.device == "cuda":
            yield Remark(
                "on the CPU the same spec gives the same bits; a GPU may sum in "
                "another order, so its last bits can differ"
            )
    yield Take((*TRAINING, "seed"), 42, reason)
