"""``frostline doctor``: what is wrong with a training, and the patch for it."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from frostline.cli.output import Json, emit, say, table
from frostline.client import Client

FIGURES = {
    "activation_mean": ">mean",
    "activation_deviation": ">deviation",
    "dead": ">dead",
    "saturated": ">saturated",
    "gradient_norm": ">gradient",
    "gradient_ratio": ">to the layer below",
    "update_ratio": ">update to weight",
}
"""What is shown of a layer's health, and the heads of the columns."""


def doctor(
    job: Annotated[str, typer.Argument(help="The id of a job.")],
    clone: Annotated[
        bool,
        typer.Option("--clone", help="Make a new job with the first finding's patch."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what the training doctor found in a job, and how its layers are."""
    with Client() as client:
        found = client.jobs.get(job)
        layers = client.jobs.layers(job)
        patch = first_patch(found.diagnostics)
        made = client.jobs.clone(job, patch) if clone and patch is not None else None
    if as_json:
        told = {"diagnostics": list(found.diagnostics), "layers": list(layers)}
        emit(told | ({"clone": made.json_object()} if made else {}))
        return
    if not found.diagnostics:
        say("nothing was found")
    for finding in found.diagnostics:
        say(sentence(finding))
        if finding.get("patch"):
            say(f"    patch: {json.dumps(finding['patch'])}")
    table(
        ["layer", *FIGURES.values()],
        [
            (row["name"], *(row["health"].get(figure) for figure in FIGURES))
            for row in layers
            if row.get("health")
        ],
    )
    if made is not None:
        say(f"{made.id} is {made.status}")


def first_patch(findings: Any) -> Mapping[str, Any] | None:
    """Return the patch of the first finding that is more than a remark."""
    for finding in findings:
        if finding.get("severity") != "info" and finding.get("patch"):
            patch: Mapping[str, Any] = finding["patch"]
            return patch
    return None


def sentence(finding: Mapping[str, Any]) -> str:
    """Return a finding in one line.

    >>> sentence({"severity": "info", "code": "overfitting", "detail": "so", "step": 9})
    'info: overfitting at step 9: so'
    """
    cause = f", because of {finding['cause']}" if finding.get("cause") else ""
    return (
        f"{finding.get('severity')}: {finding.get('code')} at step "
        f"{finding.get('step')}{cause}: {finding.get('detail')}"
    )
