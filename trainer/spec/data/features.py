"""What a network is given, read off a data set's schema: columns, encodings, shape."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from trainer.spec.data import DatasetRef, Windows
from trainer.spec.data.answers import unknown_column
from trainer.spec.data.encodings import Encoding, default_encoding, fitting
from trainer.spec.data.layout import (
    Category,
    InputPart,
    Numbers,
    Tokens,
    joined,
    names_things,
)
from trainer.spec.data.schema import Column, Schema
from trainer.spec.errors import Problem, pointer
from trainer.spec.shapes import Impossible, Shape

GRIDS = frozenset({"image", "array"})
"""Kinds of column whose value is no single thing."""
ORDERED = frozenset({"date", "number", "integer"})
GROUPS = frozenset({"category", "integer", "boolean"})


@dataclass(frozen=True)
class Feature:
    """One column that the network sees, and what it becomes."""

    name: str
    kind: str
    width: int
    """How many numbers of the input it takes."""
    encoding: Encoding | None = None
    """How; None stands for what needs no saying."""
    encoded: str = "as it is"
    """The same as a word."""
    part: InputPart | None = None
    """What its numbers are; None for an image or array."""

    def described(self) -> dict[str, object]:
        """Return the line of the table of inputs that the API answers."""
        return {
            "column": self.name,
            "kind": self.kind,
            "encoding": self.encoded,
            "becomes": _words(self.part, self.kind),
        }


@dataclass(frozen=True)
class Inputs:
    """The columns that the network sees, and the shape that they become."""

    kind: str
    """image, array, table, tokens (of one text) or sequence (rows of a table)."""
    features: tuple[Feature, ...]
    shape: Shape
    left_out: tuple[str, ...] = ()
    """Text columns whose words were not counted: they could only be guessed at."""
    layout: tuple[InputPart, ...] = ()
    """How a row of the input divides; empty if all of it is numbers."""
    windows: Windows | None = None
    pair: bool = False
    """Whether an example is a pair of what is said above, and the shape (2, *shape)."""

    @property
    def single(self) -> Shape:
        """Return the shape of one example, also where the network is given pairs."""
        return self.shape[1:] if self.pair else self.shape

    @property
    def table(self) -> bool:
        """Return whether it is made of columns, not of pixels or an array."""
        return self.kind not in GRIDS


def becomes(column: Column) -> str | None:
    """Say in a few words what a column becomes as a feature if nothing is said of it.

    None: an image or array, which stays what it is, or nothing at all.
    """
    features, _, _ = _features([column], DatasetRef(id="any"))
    if column.kind in GRIDS or not features:
        return None
    told = features[0].described()
    return f"{told['encoding']}: {told['becomes']}"


def inputs_of(
    schema: Schema, ref: DatasetRef, target: Sequence[str]
) -> tuple[Inputs | None, list[Problem]]:
    """Return what the network sees, or what is wrong with the wish."""
    chosen, problems = _chosen(schema, ref, target)
    problems += _window_problems(schema, ref)
    problems += _encoding_problems(schema, ref, chosen)
    features, left_out, wrong = _features(chosen, ref)
    problems += wrong
    place = pointer("dataset", "features")
    grids = [f for f in features if f.kind in GRIDS]
    if not features and not problems:
        detail = "no column is left that the network could be given"
        problems = [Problem(place, "no_features", detail)]
    if grids and len(features) > 1:
        if ref.features is not None:
            detail = "an image or array column must be the only feature"
            problems = [Problem(place, "mixed_features", detail)]
        features = grids[:1]
    if problems:
        return None, problems
    if grids:
        found = _grid(schema, features[0], left_out)
    else:
        found = _table(tuple(features), left_out, ref.windows)
    return paired(found) if ref.auxiliary_task.pairs_up else found, []


def paired(inputs: Inputs) -> Inputs:
    """Return inputs of which an example holds two."""
    return replace(inputs, shape=(2, *inputs.shape), pair=True)


def _grid(schema: Schema, feature: Feature, left_out: tuple[str, ...]) -> Inputs:
    column = schema.column(feature.name)
    assert column is not None
    shape = column.shape
    if column.kind == "image":
        height, across, channels = column.shape
        shape = (channels, height, across)
    return Inputs(feature.kind, (feature,), shape, left_out)


def _table(
    features: tuple[Feature, ...], left_out: tuple[str, ...], windows: Windows | None
) -> Inputs:
    parts = joined([f.part for f in features if f.part is not None])
    shape: Shape = (sum(part.width for part in parts),)
    kind = "table"
    if windows is not None:
        kind, shape = "sequence", (windows.length, *shape)
    elif len(parts) == 1 and isinstance(parts[0], Tokens):
        kind = "tokens"
    layout = parts if names_things(parts) else ()
    return Inputs(kind, features, shape, left_out, layout, windows)


def _features(
    chosen: Sequence[Column], ref: DatasetRef
) -> tuple[list[Feature], tuple[str, ...], list[Problem]]:
    """Return what the columns become, those that cannot be used, what is wrong."""
    features, left_out, problems = [], [], []
    for column in chosen:
        written = ref.encodings.get(column.name)
        if column.kind in GRIDS:
            if prod(column.shape):
                width = prod(column.shape)
                features.append(Feature(column.name, column.kind, width))
            continue
        scaled = ref.standardize is not False
        encoding = written or default_encoding(column, scaled=scaled)
        if written is not None and column.kind not in written.takes:
            continue  # told already
        if ref.task == "reconstruction" and encoding is not None and encoding.names:
            if written is not None:
                problems.append(_names_to_reconstruct(column, encoding))
            encoding = None
        try:
            filled = None if encoding is None else encoding.filled(column)
            part = _plain(column) if filled is None else filled.part(column)
        except Impossible as error:
            place = ("dataset", "encodings", column.name)
            spot = (*place, error.field) if error.field else place
            suggestion = error.suggestion or None
            problems.append(
                Problem(pointer(*spot), "wrong_encoding", error.detail, suggestion)
            )
            continue
        if part is None:
            left_out.append(column.name)
        else:
            word = (
                _default_word(column, scaled=scaled) if filled is None else filled.kind
            )
            features.append(
                Feature(column.name, column.kind, part.width, filled, word, part)
            )
    return features, tuple(left_out), problems


def _names_to_reconstruct(column: Column, encoding: Encoding) -> Problem:
    place = pointer("dataset", "encodings", column.name)
    detail = (
        f"what is reconstructed must be numbers; {encoding.kind} makes names of "
        f"{column.name!r}"
    )
    words = "one_hot" if column.kind == "category" else "bag_of_words"
    return Problem(place, "wrong_encoding", detail, words)


def _plain(column: Column) -> Numbers | None:
    """Return what a column becomes if nothing is said of it; None: it cannot be used.

    A category becomes one number per category of the whole data set, so that the
    width does not depend on which rows are drawn.
    """
    if column.kind == "text":
        return None
    width = len(column.categories) if column.kind == "category" else 1
    return Numbers(width=width) if width else None


def _default_word(column: Column, *, scaled: bool) -> str:
    """Name the encoding that needs no saying."""
    if column.kind == "category":
        return "one_hot"
    if column.kind == "boolean":
        return "zero or one"
    return "standardized" if scaled else "unscaled"


def _chosen(
    schema: Schema, ref: DatasetRef, target: Sequence[str]
) -> tuple[list[Column], list[Problem]]:
    """Return the columns that are asked for as features.

    The past of a time series' target is what its future follows from, so there the
    target is a feature unless the spec says otherwise.
    """
    if ref.features is None:
        if ref.windows is None:
            return [c for c in schema.columns if c.name not in target], []
        besides = {ref.windows.order_by, ref.windows.group_by}
        return [c for c in schema.columns if c.name not in besides], []
    place = pointer("dataset", "features")
    names = [c.name for c in schema.columns]
    problems = [
        unknown_column(place, name, names) for name in ref.features if name not in names
    ]
    if ref.task != "reconstruction" and ref.windows is None:
        problems += [
            Problem(
                place,
                "target_as_feature",
                f"{name!r} is the target and cannot be a feature as well",
            )
            for name in ref.features
            if name in target
        ]
    return [c for c in schema.columns if c.name in ref.features], problems


def _encoding_problems(
    schema: Schema, ref: DatasetRef, chosen: Sequence[Column]
) -> list[Problem]:
    """Say which encodings are for no feature, or for other kinds of column."""
    names = [c.name for c in schema.columns]
    features = {c.name for c in chosen}
    problems = []
    for name, encoding in ref.encodings.items():
        place = pointer("dataset", "encodings", name)
        column = schema.column(name)
        if column is None:
            problems.append(unknown_column(place, name, names))
        elif name not in features:
            detail = f"{name!r} is not among the features"
            problems.append(Problem(place, "not_a_feature", detail))
        elif column.kind not in encoding.takes:
            known = fitting(column.kind)
            words = f"it can be {', '.join(known)}" if known else "leave it out"
            detail = f"{name!r} is {column.kind}, which {encoding.kind} is not for; "
            suggestion = known[0] if known else None
            problems.append(
                Problem(place, "wrong_encoding", detail + words, suggestion)
            )
    return problems


def _window_problems(schema: Schema, ref: DatasetRef) -> list[Problem]:
    """Say which columns cannot order or group the rows of a time series."""
    if ref.windows is None:
        return []
    names = [c.name for c in schema.columns]
    problems = []
    for field, kinds, word in (
        ("order_by", ORDERED, "dates or numbers"),
        ("group_by", GROUPS, "categories, whole numbers or yes and no"),
    ):
        name = getattr(ref.windows, field)
        if name is None:
            continue
        place = pointer("dataset", "windows", field)
        column = schema.column(name)
        if column is None:
            problems.append(unknown_column(place, name, names))
        elif column.kind not in kinds:
            detail = f"{name!r} is {column.kind}; {word} are needed"
            problems.append(Problem(place, "wrong_column", detail))
        elif column.missing and field == "order_by":
            detail = f"{name!r} is missing in {column.missing:,} rows: fill it in"
            problems.append(Problem(place, "missing_order", detail))
    if any(
        c.kind in GRIDS for c in schema.columns if c.name in (ref.features or names)
    ):
        detail = (
            "windows are for tables; an image or array column is among the features"
        )
        problems.append(Problem(pointer("dataset", "windows"), "no_table", detail))
    return problems


def _words(part: InputPart | None, kind: str) -> str:
    """Say in a few words what a column becomes."""
    if part is None:
        return f"the {kind} itself"
    if isinstance(part, Category):
        told = part.vocabulary_size - 2
        return f"one of {told:,} categories, looked up as {part.dimension} numbers"
    if isinstance(part, Tokens):
        return (
            f"{_many(part.length, 'token')} of a vocabulary of "
            f"{part.vocabulary_size:,}, each looked up"
        )
    return _many(part.width, "number")


def _many(count: int, word: str) -> str:
    return f"1 {word}" if count == 1 else f"{count:,} {word}s"
