"""Forms of a model over HTTP: asked for, shown, refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from catalog import exports
from catalog.session import transaction
from catalog.tables import Model, ModelLayer
from tests.api.lab import Lab

FILES = {"network.py": {"sha256": "3" * 64, "bytes": 7}}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def post(lab: Lab, model: str, form: Any = "pytorch_script") -> Any:
    return lab.client.post(f"/v1/models/{model}/exports", json={"format": form})


def test_a_form_is_queued_then_running_then_a_file(lab: Lab, ledger: Any) -> None:
    model_id = lab.model()

    accepted = post(lab, model_id)
    with transaction() as session:
        taken = exports.take(session, "hand", 60)
    place = f"/v1/models/{model_id}/exports/pytorch_script"
    running = lab.get(place)
    assert taken is not None
    with transaction() as session:
        exports.succeeded(session, taken, {"rows": 3}, FILES)
    again = post(lab, model_id)

    assert (accepted.status_code, accepted.json()["status"]) == (202, "queued")
    assert accepted.headers["Location"] == place
    assert running["status"] == "running"
    assert (again.status_code, again.json()["status"]) == (200, "succeeded")
    assert again.json()["file"] == "network.py"
    assert (again.json()["sha256"], again.json()["bytes"]) == ("3" * 64, 7)
    assert lab.get(f"/v1/models/{model_id}")["files"].keys() >= FILES.keys()
    listed = lab.get(f"/v1/models/{model_id}/exports")["data"]
    assert [each["format"] for each in listed] == ["pytorch_script"]


def test_an_unknown_form_is_answered_with_the_nearest(lab: Lab) -> None:
    answer = post(lab, lab.model(), "kears")

    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert (problem["pointer"], problem["suggestion"]) == ("/format", "keras")


def test_what_a_form_cannot_hold_is_refused_at_once(lab: Lab) -> None:
    model_id = lab.model()
    with transaction() as session:
        layer = session.query(ModelLayer).filter_by(model_id=model_id).first()
        assert layer is not None
        layer.kind = "tied_dense"
        model = session.get_one(Model, model_id)
        text = {"kind": "token_numbers", "column": "review"}
        model.card = model.card | {"preprocessing": {"encodings": [text]}}

    keras, pipeline = post(lab, model_id, "keras"), post(lab, model_id, "onnx_pipeline")

    (problem,) = keras.json()["errors"]
    assert (keras.status_code, problem["code"]) == (422, "cannot_export")
    assert "tied_dense" in problem["detail"]
    (problem,) = pipeline.json()["errors"]
    assert "'review'" in problem["detail"]
    assert lab.get(f"/v1/models/{model_id}/exports")["data"] == []


def test_a_form_that_nobody_asked_for_is_not_found(lab: Lab) -> None:
    answer = lab.client.get(f"/v1/models/{lab.model()}/exports/keras")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_form_that_failed_says_why_and_can_be_asked_for_again(lab: Lab) -> None:
    model_id = lab.model()
    post(lab, model_id, "torch_export")
    with transaction() as session:
        taken = exports.take(session, "hand", 60)
        assert taken is not None
        exports.failed(session, taken, "it cannot be traced")

    failed = lab.get(f"/v1/models/{model_id}/exports/torch_export")
    again = post(lab, model_id, "torch_export")

    assert (failed["status"], failed["error"]) == ("failed", "it cannot be traced")
    assert (again.status_code, again.json()["error"]) == (202, None)
