"""``frostline datasets recommend``: which models to take layers from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from frostline.cli.output import Json, emit, remark, say, table
from frostline.client import Client


def recommend(
    dataset: Annotated[str, typer.Argument(help="An id, a name, or name@version.")],
    target: Annotated[
        list[str] | None, typer.Option(help="The column to be predicted, or several.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(help='Which rows, as JSON: \'{"label": {"minimum": 5}}\'.'),
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(min=1, help="Training examples of each class that the job has."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Compare these only: names or versions."),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Compare models with this tag only.")
    ] = None,
    score: Annotated[
        str | None, typer.Option(help="Order by probe, ridge or logme.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=10, help="Training rows that are looked at.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 10,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the spec of the first one here."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Rank the catalog's models as sources of layers for a data set."""
    several = target if target is None or len(target) > 1 else target[0]
    models = {"names": model, "tags": tag}
    with Client() as client:
        found = client.datasets.recommend_sources(
            dataset,
            target=several,
            where=_condition(where),
            examples_per_class=examples,
            models={name: value for name, value in models.items() if value} or None,
            score=score,
            sample=sample,
            limit=limit,
            seed=seed,
        )
    if out is not None and found["sources"]:
        out.write_text(json.dumps(found["sources"][0]["spec"], indent=2) + "\n")
    if as_json:
        emit(found)
        return
    ranking(found)
    if out is not None and found["sources"]:
        remark(f"\nthe spec is in {out}; train it with: frostline train {out}")


def ranking(found: Mapping[str, Any]) -> None:
    """Print the sources, the baseline, and what was left out."""
    baseline = found["baseline"]
    lines = [
        (one["rank"], one["reference"], one["cut"], one["depth"], *figures(one))
        for one in found["sources"]
    ]
    if baseline is not None:
        lines.append(("", "(the inputs themselves)", "", "", *figures(baseline)))
    table([">", "model", "up to", ">layers", f">{found['metric']}", ">±"], lines)
    for warning in found["warnings"]:
        say(f"\nnote: {warning}")
    if found["left_out"]:
        say("\nnot compared:")
        table(
            ["model", "because"],
            [(one["reference"], one["detail"]) for one in found["left_out"]],
        )
    rows = found["rows"]
    say(
        f"\n{found['compared']} models on {rows['train']:,} training rows and "
        f"{rows['validation']:,} held back, in {found['seconds']:.1f} s"
    )


def figures(one: Mapping[str, Any]) -> tuple[str, str]:
    """Return a probe and its standard error.

    >>> figures({"probe": 0.91234, "standard_error": 0.0123})
    ('0.912', '0.012')
    """
    return f"{one['probe']:.3f}", f"{one['standard_error']:.3f}"


def _condition(where: str | None) -> Any:
    if where is None:
        return None
    try:
        return json.loads(where)
    except ValueError as error:
        raise typer.BadParameter(f"no JSON: {error}", param_hint="--where") from None
