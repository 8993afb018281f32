"""Fill in the data set's and the training's part of a spec from the schema."""

from trainer.spec.data import DatasetRef, Held, PartName, Rows, Split
from trainer.spec.data.answers import Answer, unknown_column
from trainer.spec.data.features import Inputs
from trainer.spec.data.schema import Schema
from trainer.spec.data.series import series_problems
from trainer.spec.errors import Problem, nearest, pointer
from trainer.spec.losses import DEFAULT_LOSS, Criterion, Task
from trainer.spec.network import NetworkSpec
from trainer.spec.regularization import EarlyStopping
from trainer.spec.resolve.pace import resolved_pace
from trainer.spec.training import Training

METRICS: dict[Task, tuple[str, ...]] = {
    "classification": ("loss", "accuracy"),
    "multi_label": ("loss", "accuracy", "exact_match"),
    "regression": ("loss", "mean_squared_error", "mean_absolute_error", "r2"),
    "reconstruction": ("loss", "mean_squared_error"),
}
"""What is measured for each task, on the training and the validation rows."""


def rises(metric: str) -> bool:
    """Say whether a larger value of a metric is better."""
    return not metric.endswith(("loss", "error"))


def metric_names(answer: Answer, loss: Criterion, *, held: bool) -> list[str]:
    """Return the names of all that is evaluated; `held`: rows are held back."""
    metrics = (*METRICS[answer.task], *loss.figures)
    names = [f"train_{metric}" for metric in metrics]
    if held:
        names += [f"validation_{metric}" for metric in metrics]
        if answer.task == "classification" and len(answer.classes) == 2:
            names.append("validation_roc_auc")
    return names


def resolved_dataset(
    ref: DatasetRef, schema: Schema, answer: Answer | None, inputs: Inputs | None
) -> tuple[DatasetRef, list[Problem], list[str]]:
    """Return the data set's part filled in, what is wrong, and what is worth a word."""
    problems = _where_problems(ref, schema)
    validation, wrong = _held(ref.split.validation, "validation", schema)
    test, also = _held(ref.split.test, "test", schema)
    problems += wrong + also + _overlap(validation, test)
    problems += series_problems(ref, schema)
    classifies = answer is not None and answer.task == "classification"
    if ref.examples_per_class is not None and not classifies:
        problems.append(
            Problem(
                pointer("dataset", "examples_per_class"),
                "no_classes",
                "only classification has classes",
            )
        )
    warnings = []
    if inputs is not None and inputs.left_out:
        warnings.append(
            f"text columns are left out: {', '.join(inputs.left_out)}; "
            + (
                "what is reconstructed must be numbers"
                if ref.task == "reconstruction"
                else "their words were not counted when the data set was stored: "
                "upload it again, or give them an encoding with a length"
            )
        )
    if answer is None or inputs is None:
        return ref, problems, warnings
    names = answer.kept_out
    target = names[0] if len(names) == 1 else names or None
    return (
        ref.model_copy(
            update={
                "target": target,
                "task": answer.task,
                "features": tuple(f.name for f in inputs.features),
                "encodings": {
                    f.name: f.encoding
                    for f in inputs.features
                    if f.encoding is not None
                },
                "standardize": (
                    inputs.table if ref.standardize is None else ref.standardize
                ),
                "split": Split(
                    validation=validation,
                    test=test,
                    stratify=(
                        classifies and ref.windows is None
                        if ref.split.stratify is None
                        else ref.split.stratify
                    ),
                ),
            }
        ),
        problems,
        warnings,
    )


def resolved_training(
    training: Training, dataset: DatasetRef, answer: Answer, network: NetworkSpec
) -> tuple[Training, list[Problem], list[str]]:
    """Return the recipe filled in, what is wrong, and what is worth a word."""
    problems: list[Problem] = []
    warnings: list[str] = []
    loss = training.loss or DEFAULT_LOSS[answer.task]
    if answer.task not in loss.tasks:
        problems.append(
            Problem(
                pointer("training", "loss"),
                "wrong_loss",
                f"{loss.kind} is for {' and '.join(loss.tasks)}, not {answer.task}",
                DEFAULT_LOSS[answer.task].kind,
            )
        )
    stopping = training.early_stopping
    if isinstance(stopping, EarlyStopping):
        held = dataset.split.validation != "none"
        known = metric_names(answer, loss, held=held)
        written = "early_stopping" in training.model_fields_set
        if not held and not written:
            stopping = "none"
            warnings.append(
                "no rows are held back for validation, so early stopping is off"
            )
        elif stopping.monitor not in known:
            problems.append(
                Problem(
                    pointer("training", "early_stopping", "monitor"),
                    "unknown_metric",
                    f"{stopping.monitor!r} is not measured; there are "
                    f"{', '.join(known)}",
                    nearest(stopping.monitor, known),
                )
            )
    if training.regularization.max_norm != "none" and not network.layers[:-1]:
        warnings.append("max_norm holds for hidden layers, and there are none")
    update = {"loss": loss, "early_stopping": stopping}
    held = dataset.split.validation != "none"
    training, wrong, told = resolved_pace(
        training.model_copy(update=update),
        network,
        metric_names(answer, loss, held=held),
    )
    return training, problems + wrong, warnings + told


def _where_problems(ref: DatasetRef, schema: Schema) -> list[Problem]:
    names = [c.name for c in schema.columns]
    problems = []
    for name in ref.where:
        place = pointer("dataset", "where", name)
        column = schema.column(name)
        if column is None:
            problems.append(unknown_column(place, name, names))
        elif column.kind in {"image", "array"}:
            detail = f"rows cannot be chosen by the {column.kind} column {name!r}"
            problems.append(Problem(place, "wrong_column", detail))
    return problems


def _held(
    held: Held | None, use: str, schema: Schema
) -> tuple[Held | None, list[Problem]]:
    """Return how rows are held back for `use`, with the default filled in."""
    place = pointer("dataset", "split", use)
    train = schema.part("train") or schema.parts[0]
    if held is None:
        return (PartName(part=use) if schema.part(use) else 0.1), []
    if isinstance(held, PartName) and schema.part(held.part) is None:
        names = [p.name for p in schema.parts]
        detail = f"there is no part {held.part!r}; there are {', '.join(names)}"
        return held, [Problem(place, "unknown_part", detail, nearest(held.part, names))]
    if isinstance(held, PartName) and held.part == train.name:
        detail = f"the part {held.part!r} is what is trained on"
        return held, [Problem(place, "nothing_to_train_on", detail)]
    if isinstance(held, Rows) and held.rows[1] > train.rows:
        detail = f"the part {train.name!r} has {train.rows} rows, not {held.rows[1]}"
        return held, [Problem(place, "no_such_rows", detail)]
    if isinstance(held, Rows) and held.rows == (0, train.rows):
        detail = "these are all rows; none is left to train on"
        return held, [Problem(place, "nothing_to_train_on", detail)]
    return held, []


def _overlap(validation: Held | None, test: Held | None) -> list[Problem]:
    """Refuse rows that would be used for both choosing and judging."""
    place = pointer("dataset", "split", "test")
    if isinstance(validation, PartName) and validation == test:
        detail = f"the part {validation.part!r} is already used for validation"
        return [Problem(place, "overlap", detail)]
    if isinstance(validation, Rows) and isinstance(test, Rows):
        low, high = sorted([validation.rows, test.rows])
        if low[1] > high[0]:
            detail = f"rows {high[0]} to {low[1]} are in validation and in test"
            return [Problem(place, "overlap", detail)]
    both = [held for held in (validation, test) if isinstance(held, float)]
    if sum(both) >= 1:
        detail = f"validation and test take {sum(both):.3g} of the rows: none is left"
        return [Problem(place, "nothing_to_train_on", detail)]
    return []
