"""How a search for the depth of reuse goes on: synchronous successive halving.

A rung's first row fixes who takes part in it, so that whatever happens to models and
names meanwhile, whoever takes the next step goes on with the same candidates. When all
jobs of a rung have ended, the better half trains again for the next rung's epochs, and
the one without reuse beside them, whatever its place: the comparison is at one budget.
The others wait for the first job with all layers frozen, which computes, in one pass,
what comes out of the layers at every depth, and leaves it in the cache.
"""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from api.acceptance import examine
from api.reuse_candidates import DEEPEST, SCRATCH, Plan, planned
from api.settings import Settings
from catalog import jobs, searches
from catalog.errors import CatalogError
from catalog.search_rows import Search, SearchStatus, SearchTrial
from catalog.searches import Trial
from trainer.spec.errors import InvalidSpec
from trainer.spec.resolve.recipe import rises
from trainer.spec.searches import ReuseDepthSearch


def grown(
    session: Session,
    search: Search,
    asked: ReuseDepthSearch,
    trials: list[Trial],
    limits: Settings,
) -> tuple[list[str], bool]:
    """Add the trials that there is room for.

    Returns the jobs that were added, and whether all is done.
    """
    added: list[str] = []
    plan: Plan | None = None
    while sum(trial.is_open for trial in trials) < asked.parallel:
        due = _due(asked, trials, search.monitor)
        if isinstance(due, bool):
            return added, due
        try:
            plan = plan or _plan(session, search, asked, trials, limits)
        except InvalidSpec as error:  # the source or the data set is gone
            if not any(trial.is_open for trial in trials):
                failed = SearchStatus.FAILED
                searches.finish(session, search, failed, error=str(error))
            return added, False
        rung, field, place = due
        field = field or list(range(len(plan.candidates)))
        row = _row(search, plan, len(trials), (rung, field, place), asked.rungs[rung])
        try:
            spec = plan.candidates[field[place]].at(asked.rungs[rung])
            found = examine(session, spec, limits)
            row.job_id = jobs.add(session, found.submission()).id
            added.append(row.job_id)
        except (InvalidSpec, CatalogError) as error:
            row.error = str(error)
        searches.enter(session, row)
        trials = searches.trials(session, search)
    return added, False


def standing(trial: Trial, monitor: str) -> tuple[float, float, int] | None:
    """Return what trials are ordered by: value, then seconds, then number.

    None if it made no model.
    """
    value = trial.value(monitor, rises=rises(monitor))
    if trial.status != "succeeded" or value is None:
        return None
    seconds = float("inf") if trial.seconds is None else trial.seconds
    return (-value if rises(monitor) else value), seconds, trial.row.number


def promoted(rung: Sequence[Trial], monitor: str) -> list[int]:
    """Return the candidates that go on from a rung: the better half, and no reuse."""
    valued = [
        (place, int(trial.row.draws["candidate"]))
        for trial in rung
        if (place := standing(trial, monitor)) is not None
    ]
    better = sorted(valued)[: -(-len(valued) // 2)]
    beside = [one for one in valued if one[1] == SCRATCH]
    return sorted({candidate for _, candidate in [*better, *beside]})


def _due(
    asked: ReuseDepthSearch, trials: Sequence[Trial], monitor: str
) -> tuple[int, list[int], int] | bool:
    """Return the next trial: its rung, who is in it (all: none named), its place.

    True where all is done, False where a rung is waited for.
    """
    if not trials:
        return 0, [], 0
    last = trials[-1].row.draws
    number, field = int(last["rung"]), list(last["field"])
    rung = [trial for trial in trials if trial.row.draws["rung"] == number]
    if len(trials) == DEEPEST + 1 and trials[DEEPEST].is_open:
        return False
    if len(rung) < len(field):
        return number, field, len(rung)
    if any(trial.is_open for trial in rung):
        return False
    after = promoted(rung, monitor)
    if number + 1 == len(asked.rungs) or not after:
        return True
    return number + 1, after, 0


def _plan(
    session: Session,
    search: Search,
    asked: ReuseDepthSearch,
    trials: Sequence[Trial],
    limits: Settings,
) -> Plan:
    source = trials[0].row.draws["source"] if trials else None
    return planned(session, asked, limits, source, search.dataset_id)


def _row(
    search: Search,
    plan: Plan,
    number: int,
    due: tuple[int, list[int], int],
    epochs: int,
) -> SearchTrial:
    rung, field, place = due
    return SearchTrial(
        search_id=search.id,
        number=number,
        parameters=plan.candidates[field[place]].parameters(epochs),
        draws={
            "candidate": field[place],
            "rung": rung,
            "field": field,
            "source": plan.source,
            "depth": plan.depth,
        },
        rungs=rung,
    )
