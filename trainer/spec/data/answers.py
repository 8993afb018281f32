"""What a network must answer, read off a data set's schema."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from trainer.spec.auxiliary import by_label
from trainer.spec.data import Condition, DatasetRef
from trainer.spec.data.schema import Column, Scalar, Schema
from trainer.spec.errors import Problem, nearest, pointer
from trainer.spec.losses import Task

MOST_CLASSES = 50
"""An integer target with more different values is taken for a number."""


@dataclass(frozen=True)
class Answer:
    """What the network must answer."""

    task: Task
    target: tuple[str, ...]
    units: int
    classes: tuple[Scalar, ...] = ()
    layer: str | None = None
    """Of a reconstruction: the layer whose output is given back; None: the input."""
    label: tuple[str, ...] = ()
    """Of an auxiliary task: the columns that stand for the target in a later job."""
    groups: tuple[Scalar, ...] = ()
    """Of an auxiliary task: the values of that column, if they are classes."""

    @property
    def kept_out(self) -> tuple[str, ...]:
        """Return the columns that the network is not to see."""
        return self.target or self.label


def answer_of(schema: Schema, ref: DatasetRef) -> tuple[Answer | None, list[Problem]]:
    """Return the task and its target, or what is wrong with the wish."""
    if ref.auxiliary_task.made:
        return _made(schema, ref)
    if ref.task == "reconstruction":
        return Answer("reconstruction", (), 0), []
    return _of_target(schema, ref)


def _made(schema: Schema, ref: DatasetRef) -> tuple[Answer | None, list[Problem]]:
    """Return what an auxiliary task asks for."""
    task = ref.auxiliary_task
    if ref.task not in {None, "classification"}:
        detail = f"{task.kind} is a classification, the task cannot be {ref.task}"
        return None, [Problem(pointer("dataset", "task"), "conflict", detail)]
    plain = ref.model_copy(update={"task": "classification"})
    label, problems = _of_target(schema, plain)
    if label is None and by_label(task):
        return None, problems
    if label is not None and by_label(task) and _all_differ(schema, label):
        detail = f"no two rows have the same {label.target[0]}, so no pair is the same"
        place = pointer("dataset", "target")
        return None, [Problem(place, "too_few_examples", detail)]
    classes = task.classes
    answer = Answer("classification", (), len(classes), classes)
    if label is not None:
        return replace(answer, label=label.target, groups=label.classes), []
    wished = ref.target if ref.target is not None else schema.target or ()
    names = (wished,) if isinstance(wished, str) else tuple(wished)
    unknown = [problem for problem in problems if problem.code == "unknown_column"]
    return (None if unknown else replace(answer, label=names)), unknown


def _all_differ(schema: Schema, label: Answer) -> bool:
    """Return whether each of the classes has a single row."""
    column = schema.column(label.target[0])
    counts = {} if column is None else {v.value: v.count for v in column.values}
    return max((counts.get(value, 0) for value in label.classes), default=0) < 2


def _of_target(schema: Schema, ref: DatasetRef) -> tuple[Answer | None, list[Problem]]:
    """Return the task that a target column sets."""
    place = pointer("dataset", "target")
    names = ref.target if ref.target is not None else schema.target
    if names is None:
        detail = "the data set names no target; say which column to predict"
        return None, [
            Problem(place, "missing", detail, schema.columns[-1].name),
        ]
    target = (names,) if isinstance(names, str) else tuple(names)
    known = [c.name for c in schema.columns]
    problems = [unknown_column(place, n, known) for n in target if n not in known]
    if problems or not target:
        return None, problems or [Problem(place, "missing", "name a column")]
    columns = [c for c in schema.columns if c.name in target]
    task = ref.task or _task(columns)
    return _answer(task, columns, ref.where)


def _task(columns: Sequence[Column]) -> Task:
    """Return the task that a target's kind suggests."""
    column = columns[0]
    if len(columns) > 1:
        return "multi_label" if all(_labels(c) for c in columns) else "regression"
    if column.kind in {"category", "boolean", "text"}:
        return "classification"
    few = column.distinct is not None and column.distinct <= MOST_CLASSES
    if column.kind == "integer" and few:
        return "classification"
    return "multi_label" if column.shape and _labels(column) else "regression"


def _labels(column: Column) -> bool:
    """Say whether a column holds only yes and no."""
    if column.kind == "boolean":
        return True
    return (column.minimum, column.maximum) == (0, 1) and column.kind != "number"


def _uncountable(place: str, column: Column) -> Problem:
    """Return why a column cannot be told apart in classes, and what to do."""
    detail = f"{column.name!r} is {column.kind} and has no classes to count"
    if column.kind in {"number", "integer", "category"}:
        detail = (
            f"{column.name!r} has no countable classes: it is {column.kind} with "
            "more than 1,000 different values"
        )
    elif column.kind == "text":
        detail += "; upload it as a category, by its `kinds`, if it holds names"
    numeric = column.kind in {"number", "integer"}
    suggestion = "task: regression" if numeric else None
    return Problem(place, "wrong_target", detail, suggestion)


def _answer(
    task: Task, columns: Sequence[Column], where: dict[str, Condition]
) -> tuple[Answer | None, list[Problem]]:
    target = tuple(c.name for c in columns)
    place = pointer("dataset", "target")
    column = columns[0]
    if task != "classification":
        wrong = [c for c in columns if c.kind in {"category", "text", "image"}]
        if wrong:
            detail = (
                f"{wrong[0].name!r} is {wrong[0].kind}, "
                f"{task.replace('_', ' ')} needs numbers"
            )
            return None, [Problem(place, "wrong_target", detail)]
        return Answer(task, target, sum(prod(c.shape) for c in columns)), []
    if len(columns) > 1:
        detail = "classification has one target column; multi_label takes several"
        return None, [Problem(place, "wrong_target", detail)]
    if not column.values:
        return None, [_uncountable(place, column)]
    condition = where.get(column.name)
    classes = tuple(
        v.value for v in column.values if condition is None or keeps(condition, v.value)
    )
    if len(classes) < 2:
        detail = f"{len(classes)} classes are left of {column.name!r}; 2 are needed"
        at = place if condition is None else pointer("dataset", "where", column.name)
        return None, [Problem(at, "too_few_classes", detail)]
    return Answer(task, target, len(classes), classes), []


def keeps(condition: Condition, value: Scalar) -> bool:
    """Say whether a value satisfies a condition; numbers compare as numbers."""
    if condition.in_ is not None and value not in condition.in_:
        return False
    if condition.not_in is not None and value in condition.not_in:
        return False
    if isinstance(value, str):
        return condition.minimum is None and condition.maximum is None
    low = condition.minimum is None or value >= condition.minimum
    return low and (condition.maximum is None or value <= condition.maximum)


def unknown_column(place: str, name: str, names: Sequence[str]) -> Problem:
    """Return the problem of a column that is not there."""
    some = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    detail = f"there is no column {name!r}; there are {some}"
    return Problem(place, "unknown_column", detail, nearest(name, names))
