"""``frostline models import``: make a catalogued model of another framework's files."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from frostline.answers import Model
from frostline.cli.output import Json, emit, say, shape, table
from frostline.client import Client
from frostline.errors import Unreadable


def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="The model's files, all that belong together, or a folder; with "
            "--zoo the model's name there."
        ),
    ],
    spec: Annotated[
        Path | None,
        typer.Option(help="JSON or YAML with what is known: network, expected, …"),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name to keep it under.")] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="Terms, as its source states them.")
    ] = None,
    divide_by: Annotated[
        float | None,
        typer.Option(help="What raw values are divided by: 255, or 1 for none."),
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="The node that becomes the last layer.")
    ] = None,
    zoo: Annotated[
        str | None,
        typer.Option(help="Take it from this zoo of the server: see frostline zoos."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Import a model: PyTorch, ONNX, Keras, TensorFlow, Caffe, safetensors, npz."""
    about = read_spec(spec) if spec is not None else {}
    given: dict[str, Any] = {"name": name, "license": license_, "output": output}
    if divide_by is not None:
        given["preprocessing"] = {"divide_by": divide_by}
    if zoo is not None and len(files) > 1:
        raise typer.BadParameter("one model at a time", param_hint="--zoo")
    with Client() as client:
        if zoo is None:
            found = client.models.import_(*files, spec=about, **given)
        else:
            found = client.models.import_from(zoo, str(files[0]), about, **given)
    if as_json:
        emit(found.json_object())
        return
    tell(found)


def tell(model: Model) -> None:
    """Print which tensor came from where, and what the checks found."""
    told: dict[str, Any] = (model.card or {}).get("import") or {}
    say(f"{model.name}@{model.version}  {model.id}  {told.get('format')}")
    table(
        ["layer", "tensor", "shape", "from", "by"],
        [
            (
                line.get("layer"),
                line.get("tensor"),
                shape(line.get("shape")),
                line.get("source"),
                line.get("how"),
            )
            for line in told.get("table") or ()
        ],
    )
    for check in told.get("checks") or ():
        found = check.get("accuracy", check.get("maximum_difference"))
        say(f"  {check['kind']}: {found:.6g} over {check['rows']:,} rows")
    for note in told.get("notes") or ():
        say(f"  note: {note}")


def read_spec(path: Path) -> dict[str, Any]:
    """Return what a JSON or YAML file says.

    Raises:
        Unreadable: it is not there, or says nothing of that kind.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise Unreadable(str(path), error.strerror or "unreadable") from None
    except (ValueError, yaml.YAMLError) as error:
        raise Unreadable(str(path), f"neither JSON nor YAML: {error}") from None
    if not isinstance(found, dict):
        raise Unreadable(str(path), "no object of fields")
    return found
