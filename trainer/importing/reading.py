"""One import from its order to a model folder; everything else is called from here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.importing import checking, sniff
from trainer.importing import folder as model_folder
from trainer.importing.errors import NotImportable, Oversized, unfit
from trainer.importing.graph_writer import NotWritten, write
from trainer.importing.inputs import preprocessing, schema_of, shape_of, stated_input
from trainer.importing.network import settle
from trainer.spec.imports import ImportAnswer

if TYPE_CHECKING:
    from trainer.importing.network import Settled
    from trainer.preprocessing import Preprocessing
    from trainer.spec.imports import ImportForm, ImportOrder

FILES, MODEL = "files", "model"


def answered(order: ImportOrder, folder: Path) -> ImportAnswer:
    """Return what came of an order: a model folder `model`, or why there is none."""
    try:
        return _imported(order, folder)
    except NotImportable as error:
        reason = "too_large" if isinstance(error, Oversized) else "invalid"
        return ImportAnswer(refused=error.problems, reason=reason)


def _imported(order: ImportOrder, folder: Path) -> ImportAnswer:
    names = [file.name for file in order.files]
    if len(set(names)) < len(names):
        raise unfit("double_file", f"two files are called alike: {names}")
    dataset = Path(order.dataset) if order.dataset else None
    form = stated_input(order.form, schema_of(dataset) if dataset else None)
    files = {f.name: folder / FILES / f.stored for f in order.files}
    scratch = folder / "unpacked"
    scratch.mkdir(exist_ok=True)
    sent = sniff.unpacked(files, scratch, order.limits)
    kind = _agreed(sniff.format_of(sent), form)
    found = sniff.read(sent, kind, form, scratch, order.limits)
    settled = settle(found, form, shape_of(form), order.limits)
    prepared = preprocessing(form, settled.input_shape, settled.scaling)
    place = folder / MODEL
    place.mkdir()
    graph = _graph(settled, place / model_folder.GRAPH)
    checks = _checks(order, form, settled, prepared, graph)
    metrics = {
        "test_accuracy"
        if check["part"] == "test"
        else f"{check['part']}_accuracy": float(check["accuracy"])
        for check in checks
        if "accuracy" in check
    }
    told = _told(order, form, settled, checks)
    description = model_folder.write(place, form, settled, prepared, told, metrics)
    return ImportAnswer(
        description=description,
        files={p.name: model_folder.file_facts(p) for p in sorted(place.iterdir())},
        graph=None if graph is None else {"route": "written", "checks": checks},
        metrics=metrics,
    )


def _agreed(found: str, form: ImportForm) -> str:
    """Return the format, which is what the person says it is, if they say it."""
    if form.format not in {None, found}:
        raise unfit(
            "other_format",
            f"the files are {found}, not {form.format}",
            found,
            pointer="/format",
        )
    return found


def _graph(settled: Settled, path: Path) -> checking.WrittenGraph | None:
    """Write the graph for predictions; None if only torch can."""
    try:
        write(settled.spec, settled.rows, settled.tensors, path)
    except NotWritten:
        return None
    return checking.WrittenGraph(path)


def _checks(
    order: ImportOrder,
    form: ImportForm,
    settled: Settled,
    prepared: Preprocessing,
    graph: checking.WrittenGraph | None,
) -> list[dict[str, Any]]:
    """Measure what can be measured; end the import where it differs."""
    expected = form.expected
    if graph is None:
        if expected is not None:
            raise unfit(
                "not_checkable",
                "a layer of this network can only be computed by a worker, which "
                "cannot check `expected`",
                "leave `expected` out",
                pointer="/expected",
            )
        return []
    checks = []
    beside = checking.beside_runtime(settled, prepared, graph)
    if beside is not None:
        checking.refuse_failed(beside, "/file")
        checks.append(beside)
    if expected is not None and expected.inputs is not None:
        report = checking.against_stated(expected, settled, prepared, graph)
        checking.refuse_failed(report, "/expected/outputs")
        checks.append(report)
    if expected is not None and order.dataset is not None:
        place = Path(order.dataset)
        report = checking.accuracy(expected, place, settled, prepared, graph)
        checking.refuse_failed(report, "/expected/accuracy")
        checks.append(report)
    return checks


def _told(
    order: ImportOrder,
    form: ImportForm,
    settled: Settled,
    checks: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return what the card says of the import."""
    notes = list(settled.notes)
    if settled.ending is not None:
        notes.append(f"the last {settled.ending} was left out; predictions apply it")
    if not checks:
        notes.append(
            "unchecked: no runtime of the source, no `expected` to hold against"
        )
    return {
        "format": settled.format,
        "files": [
            {"name": f.name, "sha256": f.sha256, "bytes": f.bytes} for f in order.files
        ],
        "zoo": None if order.zoo is None else order.zoo.model_dump(),
        "license": form.license or "not stated",
        "source": form.source,
        "checks": checks,
        "table": [origin.described() for origin in settled.origins],
        "notes": notes,
    }
