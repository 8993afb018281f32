"""Which values to try next: Optuna's samplers over the trials that the ledger has.

A study lives for one proposal. It is built from the rows, and its sampler is seeded by
the search's seed and the trial's number, so whoever makes the proposal, and however
often, makes the same one from the same rows. Optuna is imported at the first proposal
only (half a second).
"""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from api.search_space import grid
from catalog.searches import Trial
from trainer.spec.resolve.recipe import rises
from trainer.spec.searches import (
    Choice,
    HyperparameterSearch,
    Integer,
    LogUniform,
    SuccessiveHalving,
    TreeParzenSampler,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial


def proposed(
    asked: HyperparameterSearch, trials: Sequence[Trial], monitor: str
) -> dict[str, Any]:
    """Return the draws of the trial that comes after these."""
    number = len(trials)
    if asked.sampler.kind == "grid":
        return next(islice(grid(asked), number, None))
    import optuna  # noqa: PLC0415 - not before a search needs it

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {place: _distribution(axis) for place, axis in asked.space.items()}
    study = optuna.create_study(
        sampler=_sampler(asked, number),
        direction="maximize" if rises(monitor) else "minimize",
    )
    for trial in trials:
        study.add_trial(_as_optuna_knows(trial, space, monitor))
    return dict(study.ask(space).params)


def losing_rung(
    stopping: SuccessiveHalving, trial: Trial, trials: Sequence[Trial], monitor: str
) -> tuple[int, int | None]:
    """Judge a trial at the rungs that it has reached and was not judged at yet.

    Returns the rungs that it is judged at now, and the epoch of the one that it failed
    at, if any (asynchronous successive halving, Li et al. 2020, MLSys, algorithm 2).
    """
    rungs = trial.row.rungs
    reached = max((epoch for epoch, _ in trial.history), default=0)
    while (epoch := stopping.minimum_epochs * stopping.reduction**rungs) <= reached:
        rungs += 1
        values = [_until(one, epoch, monitor) for one in trials]
        own = _until(trial, epoch, monitor)
        there = sorted(v for v in values if v is not None)
        places = max(1, len(there) // stopping.reduction)
        if own is not None and own > there[places - 1]:
            return rungs, epoch
    return rungs, None


def _until(trial: Trial, epoch: int, monitor: str) -> float | None:
    """Return a trial's best value up to a rung, small is good; None if it is below."""
    if not trial.history or trial.history[-1][0] < epoch:
        return None
    sign = -1.0 if rises(monitor) else 1.0
    seen = [sign * value for at, value in trial.history if at <= epoch]
    return min(seen, default=None)


def _sampler(asked: HyperparameterSearch, number: int) -> "BaseSampler":
    from optuna.samplers import RandomSampler, TPESampler  # noqa: PLC0415 - see above

    sampler = asked.sampler
    assert sampler.kind != "grid"
    text = f"{sampler.seed} {number}".encode()
    seed = int.from_bytes(hashlib.sha256(text).digest()[:4])
    if isinstance(sampler, TreeParzenSampler):
        # Trials under way count as bad, so that those beside them go elsewhere.
        return TPESampler(
            seed=seed, n_startup_trials=sampler.startup_trials, constant_liar=True
        )
    return RandomSampler(seed=seed)


def _distribution(axis: Any) -> "BaseDistribution":
    from optuna import distributions  # noqa: PLC0415 - see above

    if isinstance(axis, Choice):  # its place in the list: a value may be any JSON
        return distributions.CategoricalDistribution(tuple(range(len(axis.values))))
    if isinstance(axis, Integer):
        low, high = axis.ends()
        return distributions.IntDistribution(low, high, step=axis.step)
    logarithmic = isinstance(axis, LogUniform)
    return distributions.FloatDistribution(axis.low, axis.high, log=logarithmic)


def _as_optuna_knows(
    trial: Trial, space: Mapping[str, "BaseDistribution"], monitor: str
) -> "FrozenTrial":
    from optuna.trial import TrialState, create_trial  # noqa: PLC0415 - see above

    value = trial.value(monitor, rises=rises(monitor))
    states = {"succeeded": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
    state = states.get(trial.status, TrialState.FAIL)
    if trial.is_open:
        state = TrialState.RUNNING
    elif value is None:
        state = TrialState.FAIL
    return create_trial(
        state=state,
        value=value if state is TrialState.COMPLETE else None,
        params=dict(trial.row.draws),
        distributions=dict(space),
        intermediate_values=dict(trial.history) if value is not None else {},
    )
