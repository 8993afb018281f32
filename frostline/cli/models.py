"""``frostline models``: look at the catalog, ask a model, take it home."""

import json
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from frostline.answers import Model
from frostline.cli import exports, imports
from frostline.cli.output import Json, ago, emit, facts, say, shape, shown, table
from frostline.client import Client
from frostline.errors import Unreadable

app = typer.Typer(help="What was trained, or imported.", no_args_is_help=True)
app.command("import")(imports.import_)
app.command("export")(exports.export)

FORMS = ("rows", "arrays", "images")
"""What rows may be: of a table, or the only input of the model."""

Which = Annotated[str, typer.Argument(help="An id, name, name@best or name@version.")]


@app.command("ls")
def ls(
    q: Annotated[
        str | None, typer.Option("--search", help="Words to look for.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="As classification.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 50,
    as_json: Json = False,
) -> None:
    """List the models of the catalog, newest first."""
    with Client() as client:
        found = list(islice(client.models.each(q=q, task=task), limit))
    if as_json:
        emit([one.json_object() for one in found])
        return
    table(
        ["name", "id", "aliases", ">accuracy", ">loss", "made"],
        [
            (
                label(one),
                one.id,
                one.aliases,
                metric(one, "accuracy"),
                metric(one, "loss"),
                ago(one.created_at),
            )
            for one in found
        ],
    )


@app.command()
def show(model: Which, as_json: Json = False) -> None:
    """Show a model's layers, metrics and where it comes from."""
    with Client() as client:
        found = client.models.get(model)
    if as_json:
        emit(found.json_object())
        return
    say(f"{label(found)}  {found.id}  {found.task or ''}")
    facts({name: found.metrics[name] for name in sorted(found.metrics)})
    facts(speed(found))
    table(
        ["layer", "kind", "output", ">parameters", ">zeros", "", "from"],
        [
            (
                layer.get("name"),
                layer.get("kind"),
                shape(layer.get("output_shape")),
                layer.get("parameters"),
                share(layer.get("zero_fraction")),
                "frozen" if layer.get("frozen") else "",
                layer.get("source"),
            )
            for layer in found.layers or ()
        ],
    )


@app.command()
def predict(
    model: Which,
    rows: Annotated[
        str,
        typer.Argument(help="A JSON file with a list of rows, or - for the input."),
    ] = "-",
    samples: Annotated[
        int | None,
        typer.Option(
            "--monte-carlo-samples",
            help="Predict so often with dropout left on; tell how far it spreads.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask a model about rows in the form of the data set it learned from."""
    form, asked = read_rows(rows)
    with Client() as client:
        found = client.models.predict(model, asked, form, monte_carlo_samples=samples)
    if as_json:
        emit(found)
        return
    for number, prediction in enumerate(found.get("predictions") or [], 1):
        say(f"{number}  {said(prediction)}")


@app.command()
def download(
    model: Which,
    into: Annotated[
        Path, typer.Option("--into", help="The folder to save the files in.")
    ] = Path(),
    as_json: Json = False,
) -> None:
    """Save a model's files: weights, description, preprocessing, ONNX."""
    with Client() as client:
        saved = client.models.download(model, into)
    if as_json:
        emit([str(path) for path in saved])
        return
    for path in saved:
        say(str(path))


def share(zeros: float | None) -> str:
    """Return a share of zeros; nothing where there are none."""
    return f"{zeros:.1%}" if zeros else ""


def speed(model: Model) -> dict[str, object]:
    """Return what a fast graph gained: milliseconds for a row, before and after."""
    served = (model.card or {}).get("serving") or {}
    times = served.get("latency") or {}
    return {
        f"milliseconds {when}": about.get("single_ms") for when, about in times.items()
    }


def label(model: Model) -> str:
    """Return ``name@version``."""
    return f"{model.name}@{model.version}" if model.name else model.id


def metric(model: Model, suffix: str) -> float | None:
    """Return a final metric, from the test rows if there were any."""
    for part in ("test", "validation", "train"):
        value = model.metrics.get(f"{part}_{suffix}")
        if value is not None:
            return value
    return None


def read_rows(name: str) -> tuple[str, list[Any]]:
    """Read a list of rows from a JSON file or from the standard input; say its form."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
        found = json.loads(text)
    except OSError as error:
        raise Unreadable(name, error.strerror or "unreadable") from None
    except ValueError as error:
        raise Unreadable(name, f"not JSON: {error}") from None
    if isinstance(found, dict):
        for form in FORMS:
            if isinstance(found.get(form), list):
                return form, list(found[form])
    if not isinstance(found, list):
        raise Unreadable(name, "neither a list of rows nor an object that has one")
    return FORMS[0], found


def said(prediction: Mapping[str, Any]) -> str:
    """Return a prediction in a few words."""
    spread = prediction.get("standard_deviation")
    if prediction.get("class") is not None:
        told = f"{prediction['class']}  {prediction.get('probability') or 0:.1%}"
        return told if spread is None else f"{told} ± {spread:.1%}"
    known = {name: one for name, one in prediction.items() if one is not None}
    told = shown(known.get("value", known))
    return told if spread is None else f"{told} ± {shown(spread)}"
