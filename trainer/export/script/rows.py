"""Preprocessing as code: rows as people have them become the network's input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.export.script.expressions import (
    WIDTH,
    Called,
    assigned,
    called,
    literal,
    quoted,
)
from trainer.export.script.row_texts import ROW_TEXTS
from trainer.preprocessing.categories import CategoryNumber
from trainer.preprocessing.dates import DateFeatures
from trainer.preprocessing.encodings import Flag, Imputed, OneHot, Standardised
from trainer.preprocessing.resizing import mixture
from trainer.preprocessing.scales import Scaled
from trainer.preprocessing.tokens import TokenCounts, TokenNumbers
from trainer.saved.model_folder import PREPROCESSING

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.export.script.sources import Sources
    from trainer.preprocessing import Preprocessing

ROWS = "Rows = list[dict[str, Any]]"


def preprocessing_of(
    preprocessing: Preprocessing | None, sources: Sources
) -> list[str]:
    """Return the functions that make the input, or a remark why there are none."""
    if preprocessing is None:
        return []
    sources.need("numpy", "")
    for encoding in preprocessing.description.encodings:
        if isinstance(encoding, TokenNumbers | TokenCounts):
            return [_remark(encoding.column)]
    if preprocessing.description.encodings:
        return _table(preprocessing, sources)
    return [_grid(preprocessing, sources)]


def reads_rows(preprocessing: Preprocessing) -> bool:
    """Return whether the script can read rows: not texts, which tokenizers take."""
    encodings = preprocessing.description.encodings
    return not any(isinstance(e, TokenNumbers | TokenCounts) for e in encodings)


def _remark(column: str) -> str:
    lines = [
        f"# A tokenizer reads the text in the column {column!r}, and numpy has none:",
        f"# `predict` takes what the tokenizer in {PREPROCESSING} makes of it.",
    ]
    return "\n".join(lines)


def _grid(preprocessing: Preprocessing, sources: Sources) -> str:
    column = preprocessing.description.columns[0]
    sizes = ", ".join(map(str, column.shape))
    if column.kind == "image":
        given = f"images ({sizes}) of values from 0 to 255"
        lines = [
            f"    images = np.asarray(given, np.uint8).reshape(-1, {sizes})",
            "    x = np.moveaxis(images, -1, 1).astype(np.float32) / np.float32(255)",
        ]
        if preprocessing.description.resize is not None:
            lines += _resized(column.shape, preprocessing.shape)
    else:
        given = f"arrays ({sizes})"
        lines = [f"    x = np.asarray(given, np.float32).reshape(-1, {sizes})"]
    if preprocessing.mean is not None:
        sources.need("pathlib", "Path")
        sources.need("safetensors.numpy", "load_file as load_arrays")
        lines += [
            f'    path = Path(__file__).with_name("{PREPROCESSING}")',
            "    fitted = load_arrays(path)",
            '    x = (x - fitted["mean"]) * fitted["scale"]',
        ]
    shape = ", ".join(map(str, preprocessing.shape))
    return "\n".join(
        [
            "def preprocess(given: np.ndarray) -> np.ndarray:",
            f'    """Return the network\'s input, (rows, {shape}), for {given}."""',
            *lines,
            "    return np.ascontiguousarray(x)",
        ]
    )


def _resized(stored: tuple[int, ...], shape: tuple[int, ...]) -> list[str]:
    """Return the lines that resize images, bilinear and antialiased."""
    height, width, channels = stored
    lines = []
    if (mixed := mixture(channels, shape[0])) is not None:
        weights = f"np.asarray({mixed.round(3).tolist()}, np.float32)"
        lines.append(f'    x = np.einsum("oc,rchw->rohw", {weights}, x)')
    for number, (size, wanted) in enumerate(((height, shape[1]), (width, shape[2]))):
        scale, reach = f"({size} / {wanted})", f"{max(size / wanted, 1.0)!r}"
        lines += [
            f"    centres = {scale} * (np.arange({wanted}) + 0.5)",
            f"    away = np.abs(np.arange({size}) + 0.5 - centres[:, None])",
            f"    near = np.maximum(0, 1 - away / {reach})",
            "    near = (near / near.sum(axis=1, keepdims=True)).astype(np.float32)",
            f"    x = {'np.matmul(x, near.T)' if number else 'np.matmul(near, x)'}",
        ]
    return lines


def _table(preprocessing: Preprocessing, sources: Sources) -> list[str]:
    described = preprocessing.description
    sources.need("typing", "Any")
    words = _Words(sources)
    features = [WRITERS[type(each)](words, each) for each in described.encodings]
    lines = assigned("features", Called("", tuple(("", f) for f in features)), 4)
    lines[0], lines[-1] = lines[0].replace("(", "[", 1), _last(lines[-1])
    shape = ", ".join(map(str, preprocessing.shape))
    joined = "np.concatenate(features, axis=1).astype(np.float32)"
    about = "A row has a value for each column's name; None is unknown."
    if described.windows is not None:
        joined += f"[np.newaxis, -{described.windows.length} :]"
        about += " The rows are\n    those of one series, the oldest first."
    function = [
        "def preprocess(rows: Rows) -> np.ndarray:",
        f'    """Return the network\'s input, (rows, {shape}), for rows of a table.',
        "",
        f"    {about}",
        '    """',
        *lines,
        f"    return {joined}",
    ]
    return [*words.texts(), "\n".join(function)]


def _last(line: str) -> str:
    return f"{line.removesuffix(')')}]"


class _Words:
    """The functions that a table needs, and its categories."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._needed: dict[str, str] = {}
        self._categories: dict[str, tuple[str, ...]] = {}

    def call(self, name: str, *arguments: Any, **named: Any) -> Called:
        """Return a call of one of the functions, which will be written."""
        self._needed[name] = ROW_TEXTS[name]
        if name == "moments":
            self._sources.need("datetime", "datetime", "timezone")
        return called(name, *arguments, **named)

    def numbers(self, column: str, form: str) -> Called:
        """Return the call that reads a column as numbers."""
        if form != "date":
            return self.call("numbers", "rows", quoted(column))
        return self.call("microseconds", self.call("moments", "rows", quoted(column)))

    def codes(self, column: str, categories: tuple[str, ...]) -> Called:
        """Return the call that reads a column as places of its categories."""
        self._categories[column] = categories
        return self.call("codes", "rows", quoted(column))

    def texts(self) -> list[str]:
        """Return the definitions."""
        constants = [ROWS]
        if self._categories:
            constants.append("CATEGORIES: dict[str, list[str]] = {")
            for column, names in self._categories.items():
                told = [f"    {quoted(column)}: {literal(list(names))},"]
                if len(told[0]) > WIDTH:
                    each = (f"        {quoted(name)}," for name in names)
                    told = [f"    {quoted(column)}: [", *each, "    ],"]
                constants += told
            constants.append("}")
        return ["\n".join(constants), *self._needed.values()]


def _standardised(words: _Words, each: Standardised) -> Called:
    numbers = words.numbers(each.column, each.form)
    told = {"mean": repr(each.mean), "deviation": repr(each.deviation)}
    return words.call("standardised", numbers, **told)


def _imputed(words: _Words, each: Imputed) -> Called:
    numbers = words.numbers(each.column, each.form)
    return words.call("imputed", numbers, fill=repr(each.fill))


def _scaled(words: _Words, each: Scaled) -> Called:
    told = {name: repr(getattr(each, name)) for name in ("shift", "factor", "fill")}
    for name in ("logarithm", "indicator"):
        if getattr(each, name):
            told[name] = "True"
    return words.call("scaled", words.numbers(each.column, each.form), **told)


def _one_hot(words: _Words, each: OneHot) -> Called:
    places = words.codes(each.column, each.categories)
    count = str(len(each.categories))
    return words.call("one_hot", places, count, fill=str(each.fill))


def _flag(words: _Words, each: Flag) -> Called:
    numbers = words.numbers(each.column, "number")
    return words.call("flag", numbers, fill=str(each.fill))


def _category_number(words: _Words, each: CategoryNumber) -> Called:
    places = words.codes(each.column, each.categories)
    count = str(len(each.categories))
    return words.call("category_number", places, count, unseen=repr(each.unseen))


def _date_features(words: _Words, each: DateFeatures) -> Called:
    dates = words.call("moments", "rows", quoted(each.column))
    told = {
        "parts": literal(each.parts),
        "mean": repr(each.mean),
        "deviation": repr(each.deviation),
    }
    if each.indicator:
        told["indicator"] = "True"
    return words.call("date_features", dates, **told)


WRITERS: dict[type, Callable[[_Words, Any], Called]] = {
    Standardised: _standardised,
    Imputed: _imputed,
    Scaled: _scaled,
    OneHot: _one_hot,
    Flag: _flag,
    CategoryNumber: _category_number,
    DateFeatures: _date_features,
}
"""How each encoding is written."""
