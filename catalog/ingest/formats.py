"""From an order to a filled draft: the one place that knows every format."""

from collections.abc import Callable, Sequence
from pathlib import Path

from catalog.ingest import (
    arrays,
    builtin,
    class_folders,
    delimited,
    gzipped,
    idx,
    json_lines,
    parquet,
    sniff,
)
from catalog.ingest.columns import Draft, Upload
from catalog.ingest.errors import refuse
from catalog.ingest.order import Order

READERS: dict[sniff.Format, Callable[[Upload, Draft], None]] = {
    "arrays": arrays.read,
    "class_folders": class_folders.read,
    "delimited": delimited.read,
    "idx": idx.read,
    "json_lines": json_lines.read,
    "parquet": parquet.read,
}


def read(order: Order, folder: Path, draft: Draft) -> None:
    """Store what was ordered."""
    if order.builtin is not None:
        builtin.read(order.builtin, order.options.target, draft)
        return
    if not order.files:
        raise refuse("no_file", "the request has no part `file`", sniff.FORMATS)
    files = tuple(gzipped.unpacked(folder, file, order.limits) for file in order.files)
    upload = Upload(folder, files, order.options, order.limits)
    found = [sniff.format_of(upload.path(file), file.name) for file in files]
    if len(set(found)) > 1:
        told = ", ".join(
            f"{file.name!r} is {_spoken(form)}"
            for file, form in zip(files, found, strict=True)
        )
        raise refuse(
            "mixed_formats",
            f"the files differ in format: {told}",
            "send files of one format, or one data set at a time",
        )
    if len(files) > 1 and found[0] != "idx":
        raise refuse(
            "too_many_files",
            f"{len(files)} {_spoken(found[0])} files were sent",
            "join them into one file; a column `split` with train, validation "
            "or test makes parts of it",
        )
    _check_options(found[0], upload)
    READERS[found[0]](upload, draft)


def _spoken(form: sniff.Format) -> str:
    words = {
        "delimited": "CSV or TSV",
        "json_lines": "JSON Lines",
        "arrays": "npz",
        "class_folders": "zip",
    }
    return words.get(form, form)


def _check_options(form: sniff.Format, upload: Upload) -> None:
    """Refuse an option that would be ignored."""
    fits: dict[str, Sequence[sniff.Format]] = {
        "delimiter": ["delimited"],
        "quote": ["delimited"],
        "header": ["delimited"],
        "missing": ["delimited", "json_lines"],
        "kinds": ["delimited", "json_lines", "parquet"],
        "resize": ["class_folders"],
        "target": ["delimited", "json_lines", "parquet", "arrays"],
    }
    for option in upload.options.model_dump(exclude_defaults=True):
        if form not in fits[option]:
            raise refuse(
                "option_does_not_apply",
                f"`{option}` does not apply to {_spoken(form)} files",
                f"leave `{option}` out",
            )
