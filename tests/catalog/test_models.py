"""Models: versions, aliases, names, removal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from catalog import jobs, lineage, models
from catalog.errors import InUse, NameTaken, NotFound
from catalog.models import Registration
from catalog.session import reading, transaction
from catalog.tables import Model
from tests.catalog.books import Books


def add(name: str = "digits", folder: str = "", **changes: Any) -> str:
    """Register a model; return its id."""
    value = changes.pop("loss", 0.5)
    described: dict[str, Any] = {
        "description": {
            "format": 1,
            "task": "classification",
            "classes": [0, 1],
            "layers": [
                {"name": "hidden1", "kind": "dense", "parameters": 30},
                {"name": "output", "kind": "dense", "parameters": 12},
            ],
        },
        "metrics": {"validation_accuracy": 0.8, "validation_loss": value},
        "monitored": {"name": "validation_loss", "value": value, "mode": "min"},
        "files": {"weights.safetensors": {"sha256": "2" * 64, "bytes": 10}},
    }
    registration = Registration(
        folder=folder or f"models/{name}-{next(NUMBERS)}",
        **(described | changes),
    )
    with transaction() as session:
        return models.register(
            session, registration, name=name, dataset_id=None, tags=["a"]
        ).id


NUMBERS = iter(range(1_000_000))


def version(reference: str) -> int:
    with reading() as session:
        return models.get(session, reference).version


def test_a_model_keeps_what_its_description_told(books: Books) -> None:
    model_id = add()

    with reading() as session:
        model = models.get(session, model_id)
        layers = models.layers(session, model_id)
    assert (model.name, model.version, model.task) == ("digits", 1, "classification")
    assert (model.parameters, model.bytes, model.accuracy) == (42, 10, 0.8)
    assert model.card == {"task": "classification", "classes": [0, 1]}
    assert [(layer.position, layer.name) for layer in layers] == [
        (0, "hidden1"),
        (1, "output"),
    ]


def test_versions_of_a_name_count_up_and_never_come_again(books: Books) -> None:
    add()
    second = add()
    with transaction() as session:
        models.remove(session, second)

    assert version(add()) == 3
    assert version(add("other")) == 1


def test_registrations_at_once_get_versions_of_their_own(books: Books) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = [turn.result() for turn in [threads.submit(add) for _ in range(8)]]

    assert len(set(made)) == 8
    assert version("digits") == 8


@pytest.mark.parametrize(
    ("losses", "best"),
    [((0.5, 0.4), 2), ((0.5, 0.6), 1), ((0.5, 0.5), 1), ((None, 0.9), 2)],
)
def test_best_stays_with_the_best_value(
    books: Books, losses: tuple[float | None, float], best: int
) -> None:
    for loss in losses:
        add(loss=loss)

    assert version("digits@best") == best
    assert version("digits@latest") == version("digits") == 2


def test_the_network_of_a_range_test_is_not_the_latest(books: Books) -> None:
    tested = {"training": {"schedule": {"kind": "range_test"}}}
    first = add(description=tested)
    second = add()

    add(description=tested)

    assert first != second
    assert version("digits@latest") == 2


def test_best_may_be_the_largest_value(books: Books) -> None:
    for value in (0.5, 0.9, 0.7):
        add(monitored={"name": "validation_accuracy", "value": value, "mode": "max"})

    assert version("digits@best") == 2


def test_another_monitored_metric_is_compared_with_the_same_one(books: Books) -> None:
    add(loss=0.1)
    add(monitored={"name": "validation_accuracy", "value": 0.7, "mode": "max"})

    assert version("digits@best") == 1


def test_aliases_move_to_what_is_left(books: Books) -> None:
    add(loss=0.3)
    add(loss=0.2)
    add(loss=0.4)
    with transaction() as session:
        models.remove(session, "digits@best")
        models.remove(session, "digits@latest")

    assert version("digits@best") == version("digits@latest") == 1


def test_a_name_without_models_has_no_aliases(books: Books) -> None:
    add()
    with transaction() as session:
        models.remove(session, "digits")

    with reading() as session, pytest.raises(NotFound):
        models.get(session, "digits@latest")


def test_an_own_alias_moves_when_it_is_told(books: Books) -> None:
    add()
    add()
    with transaction() as session:
        models.set_alias(session, "digits", "live", "digits@1")
    with transaction() as session:
        models.set_alias(session, "digits", "live", "digits@2")

    assert version("digits@live") == 2


@pytest.mark.parametrize("alias", ["latest", "best", "12"])
def test_some_aliases_cannot_be_set(books: Books, alias: str) -> None:
    add()

    with transaction() as session, pytest.raises(NameTaken):
        models.set_alias(session, "digits", alias, "digits")


def test_an_id_is_not_mistaken_for_a_name(books: Books) -> None:
    model_id = add()
    add(model_id)

    with reading() as session:
        assert models.get(session, model_id).name == "digits"
        assert models.get(session, f"{model_id}@latest").name == model_id


def test_a_model_in_use_is_kept(books: Books) -> None:
    source = add("source")
    user = add("user", sources=[source])

    with transaction() as session, pytest.raises(InUse, match=user):
        models.remove(session, source)
    with transaction() as session:
        models.remove(session, source, force=True)
    with transaction() as session:
        models.remove(session, user)


def test_a_deleted_user_holds_nothing(books: Books) -> None:
    source = add("source")
    add("user", sources=[source, source])
    with transaction() as session:
        models.remove(session, "user")
        models.remove(session, "source")

    with reading() as session:
        assert models.dependants(session, source) == []


def test_a_job_that_waits_holds_its_source(books: Books) -> None:
    source = add("source")
    job_id = books.submit(sources=[{"id": source, "folder": "models/x"}])

    with transaction() as session, pytest.raises(InUse, match=job_id):
        models.remove(session, source)
    with transaction() as session:
        jobs.cancel(session, job_id)
    with transaction() as session:
        models.remove(session, source)


def test_the_lineage_survives_a_removal(books: Books) -> None:
    source = add("source")
    user = add("user", sources=[source])
    with transaction() as session:
        models.remove(session, source, force=True)

    with reading() as session:
        trace = lineage.trace(session, models.get(session, user))
    assert [(m["id"], m["is_deleted"]) for m in trace["sources"]] == [(source, True)]


def test_an_export_is_written_down_once(books: Books) -> None:
    model_id = add()
    for number in (1, 2):
        graph = {"model.onnx": {"sha256": "", "bytes": number}}
        with transaction() as session:
            models.exported(session, model_id, {"maximum_difference": number}, graph)

    with reading() as session:
        model = session.get_one(Model, model_id)
    assert model.export == {"maximum_difference": 1}
    assert (model.bytes, model.exported_at is not None) == (11, True)


def test_a_failed_export_does_not_undo_one_that_succeeded(books: Books) -> None:
    model_id = add()
    with transaction() as session:
        models.exported(session, model_id, {}, {})
        models.export_failed(session, model_id, "late")

    with reading() as session:
        assert session.get_one(Model, model_id).export == {}
