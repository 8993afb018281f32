"""The description of the interface, and whether it tells the truth."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from api.app import app
from tests.api.lab import Lab

PROMISED = """
GET /healthz
GET /metrics
GET /readyz
POST /v1/advice
GET /v1/datasets
POST /v1/datasets
DELETE /v1/datasets/{dataset}
GET /v1/datasets/{dataset}
GET /v1/datasets/{dataset}/preview
POST /v1/datasets/{dataset}/recommend-sources
GET /v1/datasets/{dataset}/report
GET /v1/jobs
POST /v1/jobs
GET /v1/jobs/{job_id}
POST /v1/jobs/{job_id}/cancel
POST /v1/jobs/{job_id}/checkpoint
GET /v1/jobs/{job_id}/checkpoints
POST /v1/jobs/{job_id}/clone
GET /v1/jobs/{job_id}/events
GET /v1/jobs/{job_id}/layers
GET /v1/jobs/{job_id}/logs
GET /v1/jobs/{job_id}/metrics
POST /v1/jobs/{job_id}/pause
POST /v1/jobs/{job_id}/resume
POST /v1/jobs/{job_id}/retry
GET /v1/limits
GET /v1/models
POST /v1/models/import
DELETE /v1/models/{model}
GET /v1/models/{model}
PATCH /v1/models/{model}
GET /v1/models/{model}/exports
POST /v1/models/{model}/exports
GET /v1/models/{model}/exports/{format}
GET /v1/models/{model}/files/{name}
GET /v1/models/{model}/layers
GET /v1/models/{model}/lineage
POST /v1/models/{model}/predict
DELETE /v1/models/{name}/aliases/{alias}
PUT /v1/models/{name}/aliases/{alias}
GET /v1/queues
GET /v1/searches
POST /v1/searches
GET /v1/searches/{search_id}
POST /v1/searches/{search_id}/cancel
GET /v1/searches/{search_id}/trials
GET /v1/techniques
GET /v1/workers
GET /v1/zoos
GET /v1/zoos/{zoo}/models
"""
load_all_checks()
TRUTHS: Any = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    ]
)


DESCRIBED = schemathesis.openapi.from_dict(app.openapi())


def operations() -> dict[str, dict[str, Any]]:
    """Return every operation that the document describes."""
    return {
        f"{verb.upper()} {path}": operation
        for path, verbs in app.openapi()["paths"].items()
        for verb, operation in verbs.items()
    }


def test_the_interface_is_the_one_that_was_promised() -> None:
    lines = sorted(operations(), key=lambda line: line.split()[::-1])

    assert lines == PROMISED.split("\n")[1:-1]


@pytest.mark.parametrize("operation", operations())
def test_every_operation_tells_how_it_refuses(operation: str) -> None:
    described = operations()[operation]

    refusals = {s: r for s, r in described["responses"].items() if s >= "400"}
    assert "500" in refusals
    assert ("401" in refusals) == ("/v1/" in operation)
    assert ("404" in refusals) == ("{" in operation)
    assert all("application/problem+json" in r["content"] for r in refusals.values())
    assert described["summary"]
    assert described["description"]


def test_every_shape_that_is_named_is_described() -> None:
    text = str(app.openapi())
    named = {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}

    assert named <= app.openapi()["components"]["schemas"].keys()


@pytest.mark.parametrize(
    ("database_url", "mode"),
    [("sqlite", GenerationMode.POSITIVE), ("postgresql", GenerationMode.NEGATIVE)],
    indirect=["database_url"],
)
@pytest.mark.parametrize("operation", [o for o in operations() if "/v1/" in o])
def test_every_operation_keeps_its_promises(
    lab: Lab, operation: str, mode: GenerationMode
) -> None:
    verb, path = operation.split()
    strategy = DESCRIBED[path][verb].as_strategy(generation_mode=mode)

    @given(strategy)
    @settings(
        max_examples=5,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def keeps_them(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(base_url=lab.url, checks=TRUTHS, timeout=20)

    keeps_them()
