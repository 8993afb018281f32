"""The child that reads foreign models: bounded, and nothing counts that has no row."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from catalog import datasets, folders, model_imports, models
from catalog.ingest.errors import ImportTooLarge, SenderGone
from catalog.session import reading
from catalog.settings import settings
from tests.catalog.books import Books
from trainer.spec.imports import ImportFile, ImportForm, ImportLimits, ImportOrder

FORM = ImportForm.model_validate(
    {
        "name": "small",
        "network": {"layers": [{"name": "output", "kind": "dense", "units": 2}]},
        "input": {"shape": [3]},
        "preprocessing": {"divide_by": 1},
        "tags": ["foreign"],
    }
)
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SMALL = save({"w": np.ones((2, 3), np.float32), "b": np.ones(2, np.float32)})


def order(folder: Path, content: bytes = SMALL, **limits: Any) -> ImportOrder:
    (folder / "files" / "0").write_bytes(content)
    file = ImportFile(stored="0", name="m.safetensors", bytes=len(content), sha256="0")
    return ImportOrder(form=FORM, files=(file,), limits=ImportLimits(**limits))


def test_a_model_beyond_the_memory_is_too_large(books: Books) -> None:
    size = 2**30
    about = {"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    header = json.dumps(about).encode()
    with datasets.staging() as folder:
        asked = order(folder, memory_bytes=2**28)
        with (folder / "files" / "0").open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            file.truncate(8 + len(header) + size)

        with pytest.raises(ImportTooLarge) as refused:
            model_imports.read(asked, folder, threading.Event())

    assert refused.value.problems[0].code == "too_much_memory"


def test_nobody_waits_for_a_sender_who_is_gone(books: Books) -> None:
    gone = threading.Event()
    gone.set()

    with datasets.staging() as folder, pytest.raises(SenderGone):
        model_imports.read(order(folder), folder, gone)


def test_what_is_published_has_a_row_a_folder_and_a_graph(books: Books) -> None:
    with datasets.staging() as folder:
        answer = model_imports.read(order(folder), folder, threading.Event())
        identity = model_imports.publish("small", FORM, folder, answer)

    with reading() as session:
        model = models.get(session, identity)
        place = folders.absolute(model.folder)
        assert model.exported_at is not None
        assert model.tags == ["foreign"]
    assert {path.name for path in place.iterdir()} == set(answer.files)
    assert list((settings().folder / "uploads").iterdir()) == []


def test_a_model_that_cannot_be_entered_leaves_no_folder(books: Books) -> None:
    with datasets.staging() as folder:
        answer = model_imports.read(order(folder), folder, threading.Event())
        broken = answer.model_copy(update={"files": {"weights.safetensors": {}}})

        with pytest.raises(KeyError):
            model_imports.publish("small", FORM, folder, broken)

    assert list((settings().folder / "models").iterdir()) == []
