"""Searches: one request, many trials, each an ordinary job."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from api import reuse_candidates
from api.acceptance import Accepted, request_of
from api.answers import json_answer
from api.bodies import Document, SmallBody, request_body, shaped
from api.deps import Limits, Reading, Writing
from api.jobs import DryRun, Key
from api.paging import Cursor, Limit, Word
from api.problems import problems
from api.search_space import checked, monitored
from api.search_steps import SearchSteps
from api.search_views import SearchesView, SearchView, TrialsView, show, show_trials
from api.settings import Settings
from catalog import searches
from catalog.session import reading, transaction
from trainer.spec.searches import AnySearch, ReuseDepthSearch, SearchKind

router = APIRouter(prefix="/searches", tags=["searches"])


class SearchDryRunView(BaseModel):
    """What would become of a search."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """Its name."""
    trials: int
    """How many jobs it would make; in a search for the depth of reuse, at most."""
    monitor: str
    """The metric that would be made good."""
    resolved_spec: dict[str, Any]
    """The first job's spec: the first value of every axis, or no reuse, and every
    default filled in."""
    candidates: list[str] | None
    """Of a search for the depth of reuse what would be tried, in words."""


async def _steps_of(request: Request) -> SearchSteps:
    steps: SearchSteps = request.app.state.searches
    return steps


Stepping = Annotated[SearchSteps, Depends(_steps_of)]


@router.post(
    "",
    status_code=202,
    response_model=SearchView,
    responses=problems(400, 413, 415, 422, 503)
    | {
        200: {
            "model": SearchDryRunView | SearchView,
            "description": "The dry run.",
        },
        202: {
            "description": "The search is accepted and will not be lost.",
            "headers": {"Location": {"schema": {"type": "string"}}},
        },
    },
    openapi_extra=request_body("HyperparameterSearch", "ReuseDepthSearch"),
)
def submit_search(
    request: Request,
    written: Document,
    body: SmallBody,
    limits: Limits,
    steps: Stepping,
    key: Key = None,
    dry_run: DryRun = False,
) -> Any:
    """Begin a search; its trials are jobs, proposed one after the other."""
    again = request_of(key, body, "search")
    with reading() as looking:
        earlier = None if again is None else searches.repeated(looking, again)
        if earlier is not None and not dry_run:
            return _accepted(request, show(looking, earlier))
        asked = _asked(written)
        first, told = _examined(looking, asked, limits)
    if dry_run:
        return json_answer(told)
    order = searches.SearchOrder(
        name=asked.name,
        kind=asked.kind,
        request=written,
        dataset_id=first.dataset.id,
        monitor=told.monitor,
        idempotency=again,
    )
    with transaction() as session:
        view = show(session, searches.add(session, order))
    steps.look()
    return _accepted(request, view)


@router.get("", response_model=SearchesView, responses=problems(422, 503))
def list_searches(
    session: Reading, name: Word = None, limit: Limit = 100, cursor: Cursor = None
) -> Any:
    """List searches, newest first."""
    page = searches.page(session, limit, cursor, name)
    return json_answer(
        SearchesView(
            data=[show(session, search, listed=True) for search in page.rows],
            has_more=page.has_more,
            next_cursor=page.next_cursor,
        )
    )


@router.get(
    "/{search_id}", response_model=SearchView, responses=problems(404, 422, 503)
)
def show_search(search_id: str, session: Reading) -> Any:
    """Show a search, with its best trial so far."""
    return json_answer(show(session, searches.get(session, search_id)))


@router.get(
    "/{search_id}/trials", response_model=TrialsView, responses=problems(404, 422, 503)
)
def list_trials(search_id: str, session: Reading) -> Any:
    """Show every trial of a search, and the data of parallel coordinates."""
    return json_answer(show_trials(session, searches.get(session, search_id)))


@router.post(
    "/{search_id}/cancel",
    status_code=202,
    response_model=SearchView,
    responses=problems(404, 409, 422, 503),
)
def cancel_search(
    request: Request, search_id: str, session: Writing, steps: Stepping
) -> Any:
    """Propose no more trials and cancel those that have not ended."""
    view = show(session, searches.cancel(session, search_id))
    steps.look()
    return _accepted(request, view)


def _asked(written: Any) -> AnySearch:
    if not isinstance(written, dict):
        return shaped(SearchKind().shape, written)
    return shaped(shaped(SearchKind, written).shape, written)


def _examined(
    session: Session, asked: AnySearch, limits: Settings
) -> tuple[Accepted, SearchDryRunView]:
    """Return a search's first job as it would be accepted, and what a dry run says."""
    candidates = None
    if isinstance(asked, ReuseDepthSearch):
        plan, first = reuse_candidates.checked(session, asked, limits)
        monitor = monitored(session, asked, first, limits)
        candidates = [one.words for one in plan.candidates]
        most = reuse_candidates.most_jobs(asked, len(candidates))
    else:
        first, monitor = checked(session, asked, limits)
        most = asked.most_trials
    return first, SearchDryRunView(
        name=asked.name,
        trials=most,
        monitor=monitor,
        resolved_spec=first.resolved_spec,
        candidates=candidates,
    )


def _accepted(request: Request, view: SearchView) -> Any:
    place = request.url_for("show_search", search_id=view.id).path
    return json_answer(view, 202, {"Location": place})
