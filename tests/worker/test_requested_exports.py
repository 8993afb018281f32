"""Forms that people ask for are written by real workers, whatever dies meanwhile."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from catalog import exports, folders, models
from catalog.exports import status_of
from catalog.session import reading, transaction
from catalog.tables import Model, ModelExport
from tests.worker.conftest import House, wait_for
from worker import queue


@pytest.fixture
def model_id(lodge: House) -> str:
    """Return a model that a job has made, with its graph."""
    job = lodge.ended(lodge.add(steps=2))
    assert job.model_id is not None
    return job.model_id


def asked(model_id: str, form: Any = "pytorch_script") -> None:
    """Ask for a form, as the API does, and hint at it."""
    with transaction() as session:
        exports.ask(session, models.get(session, model_id), form)
    queue.send_export(model_id)  # if it is lost, the sweep sends it again


def export_of(model_id: str, form: str = "pytorch_script") -> ModelExport:
    with reading() as session:
        found = exports.find(session, model_id, form)
        assert found is not None
        return found


def ended(model_id: str, form: str = "pytorch_script") -> ModelExport:
    wait_for(lambda: export_of(model_id, form).ended_at, f"{form} of {model_id}")
    return export_of(model_id, form)


def folder_of(model_id: str) -> Path:
    with reading() as session:
        return folders.absolute(session.get_one(Model, model_id).folder)


def writer(model_id: str) -> int:
    """Return the process that writes a form slowly, once it has begun."""
    folder = folder_of(model_id)
    found: str = wait_for(
        lambda: next((p.name for p in folder.glob("slow-*")), None), "a slow export"
    )
    return int(found.removeprefix("slow-"))


def test_a_form_that_was_asked_for_is_among_the_files(
    lodge: House, model_id: str
) -> None:
    asked(model_id)

    export = ended(model_id)

    with reading() as session:
        files = session.get_one(Model, model_id).files
    digest = hashlib.sha256(b"script").hexdigest()
    assert (status_of(export), export.attempt) == ("succeeded", 1)
    assert files["network.py"] == {"sha256": digest, "bytes": 6}
    assert export.report == {"maximum_difference": 1e-7, "rows": 3, "real_rows": 2}


def test_a_form_that_cannot_be_written_says_why(lodge: House, model_id: str) -> None:
    asked(model_id, "torch_export")

    export = ended(model_id, "torch_export")

    assert status_of(export) == "failed"
    assert export.error == "this cannot be traced"


def test_a_writer_that_fails_by_itself_is_not_asked_again(
    lodge: House, model_id: str
) -> None:
    asked(model_id, "keras")

    export = ended(model_id, "keras")

    folder = folder_of(model_id)
    assert (status_of(export), export.attempt) == ("failed", 1)
    assert f"exit code 1; {folder.name}.log says why" in str(export.error)
    log = folder.with_name(f"{folder.name}.log")
    assert "a fault of its own" in log.read_text()


def test_a_form_whose_trainer_is_killed_is_written_by_another(
    lodge: House, model_id: str
) -> None:
    (folder_of(model_id) / "slow").touch()
    asked(model_id)

    os.kill(writer(model_id), signal.SIGKILL)

    export = ended(model_id)
    assert (status_of(export), export.attempt) == ("succeeded", 2)


def test_jobs_go_on_while_forms_are_written(lodge: House, model_id: str) -> None:
    (folder_of(model_id) / "slow").touch()
    asked(model_id)
    slow = writer(model_id)

    job = lodge.ended(lodge.add(steps=2), seconds=30)

    assert job.status == "succeeded"
    assert export_of(model_id).ended_at is None
    os.kill(slow, signal.SIGKILL)
    ended(model_id)


def test_a_form_of_a_worker_that_is_killed_is_written_by_the_next(house: House) -> None:
    first = house.ready("w1")
    model_id = str(house.ended(house.add(steps=2)).model_id)
    (folder_of(model_id) / "slow").touch()
    asked(model_id)
    writer(model_id)
    house.below(first)

    first.kill()
    first.wait()
    house.ready("w1")

    export = ended(model_id)
    assert (status_of(export), export.attempt) == ("succeeded", 2)
