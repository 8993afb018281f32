"""Models made fast or sparse: they predict through the API as any other."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from catalog import models
from catalog.session import reading, transaction
from catalog.tables import Model, ModelLayer
from frostline.sparse import read_sparse
from tests.api.lab import Lab
from tests.trainer import trainings
from tests.trainer.trainings import pictures, spec
from trainer.saved.model_folder import read
from trainer.saved.reopened import network_of
from trainer.serving.held import held_rows
from trainer.serving.served import serve
from trainer.spec.serving import Serving
from worker.exports import _facts

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SERVING = {"fold_normalization": True, "precision": "int8"}
LAYERS: list[dict[str, Any]] = [{"kind": "dense", "name": "hidden", "units": 64}]
PRUNED = {"kind": "magnitude", "sparsity": 0.8}


@pytest.fixture
def fast(lab: Lab, ledger: Path, tmp_path: Path) -> str:
    """Return the id of a trained model whose graph is folded and quantised."""
    what = spec(LAYERS, pruning=PRUNED, epochs=8) | {"serving": SERVING}
    trained = trainings.model(tmp_path / "trained", what, pictures())
    model_id = lab.model()
    with transaction() as session:
        model = session.get_one(Model, model_id)
        folder = ledger / model.folder
        shutil.copytree(trained, folder)
        described = read(folder).description
        model.card = {"classes": described["classes"], "serving": SERVING}
        model.files = described["files"]
        layers = session.query(ModelLayer).filter_by(model_id=model_id)
        for row, layer in zip(layers, described["layers"], strict=False):
            row.detail = layer
    found = trainings.build(what, pictures())
    trainings.trained(found.training)
    graph = folder / "model.onnx"
    wish = Serving.model_validate(SERVING)
    served = serve(found.network, found.rows[:], graph, wish, held_rows(found))
    told = {"maximum_difference": served.maximum_difference, "serving": served.report}
    with transaction() as session:
        models.exported(session, model_id, told, _facts(folder))
    return model_id


def test_a_quantised_model_predicts_as_its_network_does(
    lab: Lab, ledger: Path, fast: str
) -> None:
    images = pictures().columns["image"][:30]
    with reading() as session:
        network = network_of(ledger / session.get_one(Model, fast).folder).eval()

    answer = lab.client.post(
        f"/v1/models/{fast}/predict", json={"images": images.tolist()}
    )

    assert answer.status_code == 200, answer.text
    x = torch.from_numpy(images / np.float32(255)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = network(x).softmax(1)
    found = [each["probabilities"] for each in answer.json()["predictions"]]
    torch.testing.assert_close(torch.tensor(found), expected, atol=0.05, rtol=0)


def test_a_model_shows_what_its_graph_gained_and_cost(lab: Lab, fast: str) -> None:
    card = lab.client.get(f"/v1/models/{fast}").json()["card"]["serving"]

    assert card["precision"] == card["served_precision"] == "int8"
    assert card["folded"] == ["hidden"]
    assert card["latency"]["before"]["single_ms"] > 0
    assert card["latency"]["after"]["batch_ms"] > 0
    assert 0 <= card["metrics"]["test"]["after"]["accuracy"] <= 1


def test_a_model_shows_the_zeros_of_each_layer(lab: Lab, fast: str) -> None:
    layers = lab.client.get(f"/v1/models/{fast}/layers").json()["data"]

    assert layers[0]["zero_fraction"] == pytest.approx(0.8, abs=0.01)


def test_the_file_without_zeros_can_be_downloaded_and_read(
    lab: Lab, ledger: Path, fast: str, tmp_path: Path
) -> None:
    answer = lab.client.get(f"/v1/models/{fast}/files/weights.sparse.safetensors")
    (tmp_path / "sparse").write_bytes(answer.content)

    found = read_sparse(tmp_path / "sparse")

    with reading() as session:
        folder = ledger / session.get_one(Model, fast).folder
    whole = {name: t.numpy() for name, t in read(folder).tensors().items()}
    assert found.keys() == whole.keys()
    assert all(found[name].tobytes() == whole[name].tobytes() for name in whole)
    assert len(answer.content) < (folder / "weights.safetensors").stat().st_size
