"""The application: its routers, its refusals, what starts and ends with it.

Run it with ``uvicorn api.app:app``.
"""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, Depends, FastAPI
from fastapi_offline import FastAPIOffline

from api import (
    advice,
    dashboard,
    datasets,
    documentation,
    events,
    health,
    job_actions,
    job_history,
    jobs,
    limits,
    model_exports,
    model_imports,
    models,
    predict,
    recommendations,
    refusals,
    searches,
    techniques,
)
from api.bodies import MergePatch
from api.dataset_form import BuiltinForm, UploadBody
from api.deps import authorized
from api.gate import Gate
from api.hints import Hints
from api.inference import Inference
from api.model_import_form import ImportBody, ImportUri
from api.model_views import AliasTarget, ModelPatch
from api.predict import Asked
from api.problems import problems
from api.search_steps import SearchSteps
from api.settings import Settings
from api.settings import settings as settings_of_process
from api.tail import Tail
from api.telemetry import Telemetry
from api.zoo import routes as zoos
from api.zoo.imports import ZooImport
from catalog.session import dispose
from trainer.spec.advice.wishes import AdviceRequest
from trainer.spec.exports import ExportRequest
from trainer.spec.job import JobSpec
from trainer.spec.searches import HyperparameterSearch, ReuseDepthSearch
from trainer.spec.transfer import RecommendationRequest
from worker.sweep import sweep_forever

SUMMARY = "A training service whose catalogued layers any later job can reuse, frozen."
BODIES = (
    *(
        RecommendationRequest,
        HyperparameterSearch,
        ReuseDepthSearch,
        JobSpec,
        AdviceRequest,
        MergePatch,
        ModelPatch,
        AliasTarget,
        Asked,
    ),
    *(BuiltinForm, UploadBody, ImportBody, ImportUri, ZooImport, ExportRequest),
)
"""Shapes of bodies that are decoded here, not by FastAPI."""


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Send hints and sweep for as long as requests are answered."""
    ending = threading.Event()
    sweep = threading.Thread(
        target=sweep_forever, args=(ending,), name="sweep", daemon=True
    )
    hints: Hints = app.state.hints
    hints.start()
    steps: SearchSteps = app.state.searches
    steps.start()
    sweep.start()
    yield
    ending.set()
    hints.close()
    steps.close()
    sweep.join(timeout=10)
    dispose()


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application with the given settings, or those of the process."""
    allowed = settings or settings_of_process()
    app = FastAPIOffline(
        title="Frostline",
        summary=SUMMARY,
        version=version("frostline"),
        lifespan=_lifespan,
        redirect_slashes=False,
        responses=problems(400, 500),
    )
    telemetry = Telemetry()
    app.state.settings = allowed
    app.state.telemetry = telemetry
    app.state.hints = Hints(telemetry)
    app.state.searches = SearchSteps(allowed)
    app.state.tail = Tail(allowed.event_streams, telemetry)
    app.state.inference = Inference(allowed.predict_sessions)
    app.add_middleware(Gate, telemetry=telemetry)
    refusals.install(app)
    app.include_router(health.probes)
    app.include_router(_resources())
    documentation.install(app, BODIES)
    dashboard.mount(app)
    return app


def _resources() -> APIRouter:
    """Return everything under ``/v1``, behind the key where one is set."""
    router = APIRouter(
        prefix="/v1", dependencies=[Depends(authorized)], responses=problems(401)
    )
    for resource in (
        datasets.router,
        recommendations.router,
        jobs.router,
        searches.router,
        job_actions.router,
        job_history.router,
        events.router,
        model_imports.router,
        zoos.router,
        model_exports.router,
        models.router,
        predict.router,
        techniques.router,
        advice.router,
        limits.router,
        health.router,
    ):
        router.include_router(resource)
    return router


app = create_app()
