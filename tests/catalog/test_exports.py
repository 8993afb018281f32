"""Requests for forms of a model: taken by one worker at a time, never lost."""

from __future__ import annotations

from typing import Any

import pytest

from catalog import exports, jobs, models, workers
from catalog.exports import Taken, status_of
from catalog.session import reading, transaction
from catalog.tables import Model, ModelExport
from tests.catalog.books import Books, registration

FILES = {"network.py": {"sha256": "3" * 64, "bytes": 7}}


@pytest.fixture
def model_id(books: Books) -> str:
    """Return a model whose graph is written."""
    books.submit()
    claim = books.claim()
    with transaction() as session:
        found = str(jobs.succeed(session, claim, registration(claim)).model_id)
        models.exported(session, found, {}, {})
    return found


def ask(model_id: str, form: Any = "pytorch_script") -> str:
    with transaction() as session:
        return exports.ask(session, models.get(session, model_id), form).id


def take(worker: str = "lab-1") -> Taken | None:
    with transaction() as session:
        return exports.take(session, worker, 60)


def taken(worker: str = "lab-1") -> Taken:
    found = take(worker)
    assert found is not None
    return found


def row(export_id: str) -> ModelExport:
    with reading() as session:
        return session.get_one(ModelExport, export_id)


def test_asking_twice_makes_one_request(books: Books, model_id: str) -> None:
    assert ask(model_id) == ask(model_id)
    assert taken().format == "pytorch_script"
    assert take() is None


def test_what_one_worker_has_taken_no_other_takes(books: Books, model_id: str) -> None:
    first, second = ask(model_id), ask(model_id, "keras")

    found = [taken("lab-1").export_id, taken("lab-2").export_id]

    assert found == [first, second]
    assert take("lab-3") is None


def test_a_form_that_is_written_is_a_file_of_the_model(
    books: Books, model_id: str
) -> None:
    export_id = ask(model_id)
    held = taken()

    with transaction() as session:
        assert exports.succeeded(session, held, {"rows": 3}, FILES)

    with reading() as session:
        model = session.get_one(Model, model_id)
    assert status_of(row(export_id)) == "succeeded"
    assert model.files.keys() == {"weights.safetensors", "network.py"}
    assert model.bytes == 17
    assert ask(model_id) == export_id
    assert take() is None


def test_a_worker_that_was_lost_writes_nothing_any_more(
    books: Books, model_id: str
) -> None:
    export_id = ask(model_id)
    lost = taken("lab-1")
    books.pass_time(61)
    again = taken("lab-2")

    with transaction() as session:
        late = exports.succeeded(session, lost, {}, FILES)
        exports.give_back(session, lost)
        done = exports.succeeded(session, again, {}, FILES)

    assert (late, done) == (False, True)
    assert (row(export_id).attempt, row(export_id).worker) == (2, "lab-2")


def test_a_worker_that_comes_back_frees_what_it_held_at_once(
    books: Books, model_id: str
) -> None:
    books.work("lab-1")
    ask(model_id)
    taken("lab-1")

    with transaction() as session:
        workers.release(session, "lab-1")

    assert taken("lab-2").attempt == 2


def test_a_request_that_nobody_takes_is_hinted_again(
    books: Books, model_id: str
) -> None:
    ask(model_id)

    first, soon = books.sweep().exports, books.sweep().exports
    books.pass_time(61)
    later = books.sweep().exports
    taken()
    books.pass_time(30)

    assert (first, soon, later) == ([model_id], [], [model_id])
    assert books.sweep().exports == []


def test_the_graph_with_preprocessing_waits_for_the_graph(books: Books) -> None:
    books.submit()
    claim = books.claim()
    with transaction() as session:
        model_id = str(jobs.succeed(session, claim, registration(claim)).model_id)
    ask(model_id, "onnx_pipeline")

    early, hinted = take(), books.sweep().exports
    with transaction() as session:
        models.exported(session, model_id, {}, {})

    assert (early, hinted) == (None, [])
    assert taken().format == "onnx_pipeline"


def test_a_form_that_no_worker_survives_is_given_up(
    books: Books, model_id: str
) -> None:
    export_id = ask(model_id)
    for number in range(exports.TRIES):
        assert taken().attempt == number + 1
        books.pass_time(61)

    assert take() is None
    assert status_of(row(export_id)) == "failed"
    assert row(export_id).error == f"{exports.TRIES} workers died of it"


def test_a_form_that_failed_is_tried_again_when_asked_again(
    books: Books, model_id: str
) -> None:
    export_id = ask(model_id)
    with transaction() as session:
        exports.failed(session, taken(), "no h5py")
    assert take() is None

    again = ask(model_id)

    assert again != export_id
    assert status_of(row(again)) == "queued"
    assert taken().export_id == again


def test_a_model_that_is_deleted_is_written_in_no_form(
    books: Books, model_id: str
) -> None:
    ask(model_id)
    with transaction() as session:
        models.remove(session, model_id)

    assert take() is None
    assert books.sweep().exports == []
