"""POST /v1/models/{id}/predict: rows in, classes and probabilities or values out."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.answers import json_answer
from api.bodies import decoded, reading, request_body, shaped
from api.deps import Limits
from api.draws import FEWEST, MOST, Drawn, Numbers, check_size, drawn, no_draws
from api.errors import InvalidInput, Unavailable
from api.inference import GRAPH, Floats, Inference, Loaded, sigmoid, softmax
from api.models import Reference
from api.pairs import members, told_by_pair
from api.pictures import without_text
from api.problems import Fault, problems
from api.remarks import remarks, series_of
from catalog import folders, models
from catalog.errors import Conflict, NotFound
from catalog.session import reading as reading_session
from catalog.tables import Dataset, Model
from trainer.errors import BadValue, NonFinite
from trainer.spec.errors import nearest, pointer

router = APIRouter(prefix="/models", tags=["models"])

MOST_FAULTS = 100
LIKELY = 0.5
"""A label is given where its probability reaches this."""


class Asked(BaseModel):
    """Rows to predict, in the form of the data set that the model was trained on.

    For a model that compares pairs, each row is a list of two such rows.
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    rows: list[Any] | None = None
    """For a table: objects, column name → value, null for what is unknown. For a time
    series: at least as many rows as its windows are long, of one series or several."""
    arrays: list[Any] | None = None
    """For arrays: nested lists of numbers."""
    images: list[Any] | None = None
    """For images: nested lists (height, width, channels) of values from 0 to 255, or
    base64 texts of PNG, JPEG or BMP files of the right size."""
    monte_carlo_samples: int | None = Field(default=None, ge=FEWEST, le=MOST)
    """Predict so often with dropout left on, and answer the means and their standard
    deviations; the model needs dropout. Absent: one prediction without dropout."""


class PredictionView(BaseModel):
    """What the model says about one row."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, populate_by_name=True, serialize_by_alias=True
    )

    series: str | int | float | bool | None = None
    """Of a time series: its value of the column that tells series apart."""
    class_: str | int | float | bool | None = Field(default=None, alias="class")
    """The most probable class."""
    probability: float | None = None
    """Its probability."""
    probabilities: list[float] | None = None
    """The probability of each class or label, in the order of `classes`."""
    labels: list[str] | None = None
    """The labels whose probability is at least one half."""
    value: float | None = None
    """The number that is predicted."""
    values: list[float] | None = None
    """The numbers, where there are several."""
    standard_deviation: float | None = None
    """Of `monte_carlo_samples`: the deviation of `probability` or `value`."""
    standard_deviations: list[float] | None = None
    """Of `monte_carlo_samples`: the deviations of `probabilities` or `values`."""


class PredictionsView(BaseModel):
    """What a model says about the rows, in their order.

    Of a time series it is one thing for each series: what comes `horizon` steps after
    its last row.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    model: str
    """Id of the model that answered."""
    name: str
    """Its name."""
    version: int
    """Its version."""
    task: str
    """What it learned to do."""
    classes: list[Any]
    """The classes or labels, in the order of the probabilities."""
    monte_carlo_samples: int | None = None
    """How often each row was predicted with dropout, if that was asked for."""
    predictions: list[PredictionView]
    """One for each row; of a time series one for each series, by first appearance."""
    remarks: list[str] = []
    """What is worth a word: values that the model has never seen a name of."""


def _asked(
    request: Request,
    body: Annotated[bytes, Depends(reading(lambda limits: limits.predict_bytes))],
) -> Asked:
    return shaped(Asked, decoded(request, body))


@router.post(
    "/{model}/predict",
    response_model=PredictionsView,
    responses=problems(400, 404, 409, 413, 415, 422, 503),
    openapi_extra=request_body("Asked"),
)
def predict(
    request: Request,
    model: Reference,
    asked: Annotated[Asked, Depends(_asked)],
    limits: Limits,
) -> Any:
    """Predict the target of rows in the form of the model's own data set."""
    place, rows = _rows(asked, limits.predict_rows)
    with reading_session() as session:
        row = models.get(session, model)
        unused = _dataset_columns(session, row)
    _check_ready(row)
    folder = folders.absolute(row.folder)
    if not (folder / GRAPH).is_file():
        raise NotFound(f"file of {row.name}@{row.version} on the disk", GRAPH)
    inference: Inference = request.app.state.inference
    loaded = inference.get(row.id, folder)
    known = [*_targets(row), *unused]
    samples = asked.monte_carlo_samples
    if loaded.examples == 1:
        found = _found(row, loaded, rows, (place, known), samples)
    else:
        rows = members(rows, place, len(loaded.preprocessing.description.columns))
        with told_by_pair(place):
            found = _found(row, loaded, rows, (place, known), samples)
    answer = _answer(row, found, asked.monte_carlo_samples)
    description = loaded.preprocessing.description
    answer.remarks = remarks(rows, description)
    series = series_of(rows, description) or ()
    for prediction, name in zip(answer.predictions, series, strict=False):
        prediction.series = name
    return json_answer(answer, exclude_none=True)


def _found(
    model: Model,
    loaded: Loaded,
    rows: list[Any],
    where: tuple[str, Sequence[str]],
    samples: int | None,
) -> Drawn:
    """Return what the model predicts for rows that came in a field of the request.

    `where` is that field, and the columns that rows may have beside the model's own.

    Raises:
        InvalidInput: a row cannot be understood.
    """
    place, unused = where
    rows = _understood(rows, loaded, unused, place)
    try:
        return _predicted(model, loaded, rows, samples)
    except BadValue as error:
        at = pointer(place, error.row)
        at += pointer(error.column) if error.column and place == "rows" else ""
        fault = Fault(pointer=at, code="bad_value", detail=error.why)
        raise InvalidInput([fault], code="invalid_rows") from error
    except NonFinite as error:
        fault = Fault(pointer=f"/{place}", code="not_finite", detail=str(error))
        raise InvalidInput([fault], code="invalid_rows") from error


def _rows(asked: Asked, most: int) -> tuple[str, list[Any]]:
    """Return the rows and the name of the field they came in."""
    forms = ((name, getattr(asked, name)) for name in ("rows", "arrays", "images"))
    given = [(name, rows) for name, rows in forms if rows is not None]
    if len(given) != 1:
        detail = "give one of rows, arrays or images"
        raise InvalidInput([Fault(pointer="", code="missing", detail=detail)])
    place, rows = given[0]
    if not 1 <= len(rows) <= most:
        detail = f"{len(rows):,} rows are given; 1 to {most:,} are answered at a time"
        raise InvalidInput(
            [Fault(pointer=f"/{place}", code="row_count", detail=detail)]
        )
    return place, rows


def _check_ready(model: Model) -> None:
    if model.exported_at is not None:
        return
    failed = (model.export or {}).get("error")
    if failed is not None:
        raise Conflict(
            f"{model.name}@{model.version} cannot predict, because its graph could"
            f" not be written: {failed}"
        )
    raise Unavailable(
        f"{model.name}@{model.version} is being prepared for predictions",
        code="export_pending",
        retry_seconds=1,
    )


def _understood(
    rows: list[Any], loaded: Loaded, unused: Sequence[str], place: str
) -> list[Any]:
    """Return the rows as the preprocessing reads them; refuse unknown columns."""
    columns = loaded.preprocessing.description.columns
    if len(columns) == 1 and columns[0].kind == "image":
        rows, faults = without_text(rows, columns[0], place)
    elif len(columns) == 1 and columns[0].shape:
        faults = []
    else:
        names = [column.name for column in columns]
        faults = _column_faults(rows, names, unused, place)
    if faults:
        raise InvalidInput(faults[:MOST_FAULTS], code="invalid_rows")
    return rows


def _column_faults(
    rows: Sequence[Any], names: list[str], unused: Sequence[str], place: str
) -> list[Fault]:
    """Say where a row lacks a column or has one that the model does not know."""
    ignored = {*names, *unused}
    faults: list[Fault] = []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            detail = "an object of column names and values is needed"
            faults.append(
                Fault(pointer=f"/{place}/{number}", code="not_an_object", detail=detail)
            )
            continue
        wrong = [
            ("unknown_column", name, f"the model knows no column {name!r}")
            for name in row
            if name not in ignored
        ]
        wrong += [
            ("missing_column", name, f"column {name!r} is missing; null means unknown")
            for name in names
            if name not in row
        ]
        faults += [
            Fault(
                pointer=pointer(place, number, name),
                code=code,
                detail=detail,
                suggestion=nearest(name, names) if code == "unknown_column" else None,
            )
            for code, name, detail in wrong
        ]
        if len(faults) >= MOST_FAULTS:
            break
    return faults


def _dataset_columns(session: Session, model: Model) -> list[str]:
    """Return every column of the data set: a row of it may be copied as it is."""
    dataset = session.get(Dataset, model.dataset_id) if model.dataset_id else None
    schema = {} if dataset is None else dataset.schema
    return [column["name"] for column in schema.get("columns", ())]


def _targets(model: Model) -> list[str]:
    """Return the target columns, which are no input."""
    target = model.card.get("target") or []
    return [target] if isinstance(target, str) else list(target)


def _predicted(
    model: Model, loaded: Loaded, rows: Sequence[object], samples: int | None
) -> Drawn:
    """Return what the model predicts: probabilities or values, drawn if asked."""
    if samples is None:
        outputs = _meant(model, loaded.outputs(rows))
        return Drawn(outputs, np.zeros(()))
    check_size(len(rows), samples)
    if loaded.sampled is None:
        raise no_draws(model.card)
    given = loaded.given(rows)
    return drawn(loaded.sampled, given, samples, partial(_meant, model))


def _meant(model: Model, outputs: Floats) -> Numbers:
    """Return the probabilities or values that raw outputs stand for."""
    if model.task == "classification":
        return softmax(outputs)
    if model.task == "multi_label":
        return sigmoid(outputs)
    return outputs.astype(np.float64)


def _answer(model: Model, found: Drawn, samples: int | None) -> PredictionsView:
    classes = list(model.card.get("classes") or [])
    if model.task == "multi_label":
        classes = classes or _targets(model)
    predictions = [_said(model.task, classes, row) for row in found.mean]
    if samples is not None:
        for prediction, spread in zip(predictions, found.deviation, strict=True):
            _tell_spread(prediction, spread)
    return PredictionsView(
        model=model.id,
        name=model.name,
        version=model.version,
        task=model.task,
        classes=classes,
        monte_carlo_samples=samples,
        predictions=predictions,
    )


def _said(task: str, classes: list[Any], row: Numbers) -> PredictionView:
    """Return a row's probabilities or values as the task words them."""
    if task == "classification":
        return _one_class(classes, row)
    if task == "multi_label":
        return _labels(classes, row)
    if len(row) == 1:
        return PredictionView(value=float(row[0]))
    return PredictionView(values=row.tolist())


def _tell_spread(prediction: PredictionView, spread: Numbers) -> None:
    """Add how far the draws lay apart."""
    if prediction.value is not None:
        prediction.standard_deviation = float(spread[0])
        return
    prediction.standard_deviations = spread.tolist()
    if prediction.probability is not None and prediction.probabilities is not None:
        best = prediction.probabilities.index(prediction.probability)
        prediction.standard_deviation = float(spread[best])


def _one_class(classes: list[Any], probabilities: Any) -> PredictionView:
    best = int(np.argmax(probabilities))
    return PredictionView(
        class_=classes[best] if best < len(classes) else best,
        probability=float(probabilities[best]),
        probabilities=probabilities.tolist(),
    )


def _labels(labels: list[Any], probabilities: Any) -> PredictionView:
    named = zip(labels, probabilities, strict=False)
    return PredictionView(
        labels=[str(label) for label, probability in named if probability >= LIKELY],
        probabilities=probabilities.tolist(),
    )
