"""What makes a search go on: one idempotent step, and a thread that takes it.

A step reads the rows, stops the trials that are not worth their time, adds those that
there is room for, and ends the search when all is done. It is one transaction under the
search's lock: killed at any moment, it has happened wholly or not at all, and whoever
takes the next step goes on from the rows.
"""

import logging
import threading
from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.proposals import losing_rung, proposed
from api.reuse_steps import grown, standing
from api.search_space import known_of, trial_spec, values_of
from api.settings import Settings
from catalog import jobs, searches
from catalog.errors import CatalogError
from catalog.search_rows import Search, SearchStatus, SearchTrial
from catalog.searches import Trial
from catalog.session import reading, transaction
from trainer.spec.errors import InvalidSpec
from trainer.spec.resolve.recipe import rises
from trainer.spec.searches import (
    AnySearch,
    HyperparameterSearch,
    ReuseDepthSearch,
    SuccessiveHalving,
    asked_of,
)
from worker.queue import send

log = logging.getLogger(__name__)


class SearchSteps:
    """A thread that looks at the running searches, often while there are any."""

    def __init__(self, limits: Settings) -> None:
        self._limits = limits
        self._news = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="api-searches", daemon=True
        )

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """End; the rows say where another process goes on."""
        self._ending.set()
        self._news.set()
        self._thread.join(timeout=10)

    def look(self) -> None:
        """Look at once: a search came in."""
        self._news.set()

    def _run(self) -> None:
        pause = self._limits.sweep_seconds
        while not self._ending.is_set():
            self._news.wait(pause)
            self._news.clear()
            if self._ending.is_set():
                return
            try:
                found = step_all(self._limits)
            except (CatalogError, SQLAlchemyError) as error:
                log.warning("searches wait: %s", error)
                found = 0
            sweep = self._limits.sweep_seconds
            pause = min(self._limits.search_seconds, sweep) if found else sweep


def step_all(limits: Settings) -> int:
    """Take a step of every search that has not ended; return how many there are."""
    with reading() as session:
        found = searches.alive(session)
    for search_id in found:
        try:
            with transaction() as session:
                added = advance(session, search_id, limits)
        except (CatalogError, SQLAlchemyError):
            log.exception("search %s waits; the others go on", search_id)
            continue
        for job_id in added:
            send(job_id)  # if it is lost, the sweep sends it again
    return len(found)


def advance(session: Session, search_id: str, limits: Settings) -> list[str]:
    """Take one step of a search; return the jobs that were added.

    Nothing happens if another process is at it, or if nothing has changed.
    """
    search = searches.take(session, search_id)
    if search is None:
        return []
    asked = asked_of(search.request)
    trials = searches.trials(session, search)
    if search.status is SearchStatus.CANCELLING:
        _end_cancelled(session, search, trials)
        return []
    if isinstance(asked, ReuseDepthSearch):
        added, done = grown(session, search, asked, trials, limits)
    else:
        added, done = _varied(session, search, asked, trials, limits)
    if done:
        _end(session, search, asked, searches.trials(session, search))
    return added


def _varied(
    session: Session,
    search: Search,
    asked: HyperparameterSearch,
    trials: list[Trial],
    limits: Settings,
) -> tuple[list[str], bool]:
    """Stop and add trials of other values; say which jobs, and whether all is done."""
    if isinstance(asked.stopping, SuccessiveHalving):
        _prune(session, search, asked.stopping, trials)
        trials = searches.trials(session, search)
    added = []
    while len(trials) < asked.most_trials and _open(trials) < asked.parallel:
        job_id = _propose(session, search, asked, trials, limits)
        added += [job_id] if job_id is not None else []
        trials = searches.trials(session, search)
    return added, len(trials) >= asked.most_trials and not _open(trials)


def best_of(search: Search, trials: Sequence[Trial]) -> Trial | None:
    """Return the trial whose model has the best value.

    Of equals it is the first, and in a search for the depth of reuse the quickest.
    """
    if search.kind == "reuse_depth":
        placed = [(standing(trial, search.monitor), trial) for trial in trials]
        standings = [(place, trial) for place, trial in placed if place is not None]
        return min(standings, key=lambda one: one[0])[1] if standings else None
    up = rises(search.monitor)
    sign = -1.0 if up else 1.0
    valued = [
        (sign * value, trial.row.number, trial)
        for trial in trials
        if trial.status == "succeeded"
        and (value := trial.value(search.monitor, rises=up)) is not None
    ]
    return min(valued)[2] if valued else None


def _open(trials: Sequence[Trial]) -> int:
    return sum(trial.is_open for trial in trials)


def _prune(
    session: Session,
    search: Search,
    stopping: SuccessiveHalving,
    trials: Sequence[Trial],
) -> None:
    for trial in trials:
        if not trial.is_open:
            continue
        rungs, epoch = losing_rung(stopping, trial, trials, search.monitor)
        if rungs != trial.row.rungs:
            searches.judge(session, trial, rungs, epoch)


def _propose(
    session: Session,
    search: Search,
    asked: HyperparameterSearch,
    trials: Sequence[Trial],
    limits: Settings,
) -> str | None:
    """Add the next trial and its job; without one where its values make no spec."""
    draws = proposed(asked, trials, search.monitor)
    values = values_of(asked, draws)
    row = SearchTrial(
        search_id=search.id,
        number=len(trials),
        parameters=values,
        draws=draws,
        rungs=0,
    )
    try:
        known = known_of(session, asked, limits)
        found = trial_spec(session, asked, values, known, limits)
        row.job_id = jobs.add(session, found.submission()).id
    except (InvalidSpec, CatalogError) as error:
        row.error = str(error)
    searches.enter(session, row)
    return row.job_id


def _end(
    session: Session,
    search: Search,
    asked: AnySearch,
    trials: Sequence[Trial],
) -> None:
    best = best_of(search, trials)
    if best is None:
        errors = [t.row.error or (t.job and t.job.error) for t in trials]
        last = next((error for error in reversed(errors) if error), "see its jobs")
        error = f"none of {len(trials)} trials made a model; the last says: {last}"
        searches.finish(session, search, SearchStatus.FAILED, error=error)
        return
    searches.finish(session, search, SearchStatus.SUCCEEDED, best)
    if asked.alias is not None:
        searches.name_winner(session, best, asked.alias)


def _end_cancelled(session: Session, search: Search, trials: Sequence[Trial]) -> None:
    for trial in trials:
        if trial.is_open:
            searches.stop(session, trial)
    if not _open(searches.trials(session, search)):
        searches.finish(session, search, SearchStatus.CANCELLED)
