"""Jobs on auxiliary tasks train, stop, are saved and reused as any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.pairs import BY_EXAMPLE, BY_LABEL, METRIC, PLAIN, SIAMESE, TURNED
from tests.trainer.trainings import (
    DENSE,
    Carried,
    assert_same,
    build,
    history,
    model,
    numbers,
    order,
    pictures,
    spec,
    trained,
    weights,
)
from trainer.data.dataset import Dataset, described
from trainer.export import export
from trainer.process.commands import Commands
from trainer.saved.reopened import network_of
from trainer.spec.errors import InvalidSpec
from trainer.training.loop import fit

NOISE: dict[str, Any] = {"augmentation": [{"kind": "noise", "deviation": 0.05}]}
JOBS: dict[str, dict[str, Any]] = {
    "pairs by label": spec(SIAMESE, dataset=BY_LABEL),
    "contrastive": spec(METRIC, dataset=BY_LABEL, loss="contrastive"),
    "pairs of views": spec(SIAMESE, dataset=BY_EXAMPLE, **NOISE),
    "rotation": spec(DENSE, dataset=TURNED),
    "more pairs than rows": spec(
        SIAMESE,
        dataset={"auxiliary_task": {"kind": "same_or_different", "pairs": 77}},
    ),
}
every_job = pytest.mark.parametrize("what", list(JOBS.values()), ids=list(JOBS))
LIKE = [layer for layer in SIAMESE if layer["name"] in {"hidden1", "hidden2"}]
TAKEN = {"from": "source", "layers": "hidden.", "freeze": "hidden."}


@every_job
def test_a_stopped_job_goes_on_bit_for_bit(what: dict[str, Any]):
    whole = build(what, pictures()).training
    told = history(trained(whole))
    first = build(what, pictures()).training
    steps = fit(first, pause_seconds=0)
    reports = [next(steps) for _ in range(first.steps_per_epoch + 2)]
    snapshot = first.snapshot()

    second = build(what, pictures()).training
    exact = second.restore(snapshot)
    rest = trained(second)

    assert exact
    assert_same(weights(second), weights(whole))
    assert history([*reports, *rest]) == told


@every_job
def test_a_model_comes_back_and_its_graph_answers_the_same(
    what: dict[str, Any], tmp_path: Path
):
    run = Carried(order(what, model=tmp_path / "m"), pictures(), Commands())
    list(run.events())
    assert run.assembly is not None
    rows = run.assembly.rows[:8]

    again = network_of(tmp_path / "m").eval()

    with torch.inference_mode():
        assert torch.equal(again(rows), run.assembly.network.eval()(rows))
    assert export(again, rows, tmp_path / "m.onnx").route == "recorded"


@pytest.mark.parametrize("wish", [BY_LABEL, TURNED])
def test_parts_of_a_batch_train_like_the_whole(wish: dict[str, Any]):
    layers = SIAMESE if wish is BY_LABEL else DENSE
    plain = [layer | (PLAIN if layer["kind"] == "dense" else {}) for layer in layers]

    def after(micro_batch: int | None) -> dict[str, torch.Tensor]:
        what = spec(plain, dataset=wish, epochs=1)
        training = build(what, pictures(), micro_batch=micro_batch).training
        trained(training)
        return weights(training)

    whole, parts = after(None), after(3)

    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=1e-4, atol=1e-6)


def test_outputs_of_frozen_layers_are_kept_of_turned_images(tmp_path: Path):
    model(tmp_path / "source", spec(DENSE, epochs=1, seed=1), pictures())
    entry = {"from": "source", "layers": "hidden1", "freeze": "hidden1"}

    def after(mode: str) -> dict[str, torch.Tensor]:
        what = spec(DENSE, dataset=TURNED, reuse=[entry], frozen_cache=mode)
        assembly = build(what, pictures(), sources=[tmp_path / "source"])
        trained(assembly.training)
        assert assembly.outputs.keeps == (mode == "required")
        return weights(assembly.training)

    assert_same(after("required"), after("off"))


def test_outputs_of_frozen_layers_are_not_kept_of_pairs_and_the_reason_is_told(
    tmp_path: Path,
):
    model(tmp_path / "source", spec(LIKE, epochs=1, seed=1), pictures())
    frozen = TAKEN | {"layers": "hidden1", "freeze": "hidden1"}
    what = spec(SIAMESE, dataset=BY_LABEL, reuse=[frozen])

    assembly = build(what, pictures(), sources=[tmp_path / "source"])
    before = assembly.frozen.hashes()
    trained(assembly.training)

    assert assembly.frozen.hashes() == before
    assert not assembly.outputs.keeps
    assert "drawing other pairs" in str(assembly.outputs.report()["reason"])


@pytest.mark.parametrize("wish", [BY_LABEL, TURNED])
def test_preprocessing_is_fitted_on_single_training_rows(wish: dict[str, Any]):
    layers = SIAMESE if wish is BY_LABEL else DENSE
    scaled = {"standardize": True}

    alone = build(spec(dataset=scaled), pictures()).preprocessing
    made = build(spec(layers, dataset=wish | scaled), pictures()).preprocessing

    assert made.described() == alone.described()
    assert_same(
        {name: torch.from_numpy(each) for name, each in made.arrays.items()},
        {name: torch.from_numpy(each) for name, each in alone.arrays.items()},
    )


@pytest.mark.parametrize("standardize", [False, True])
def test_one_branch_of_a_pair_model_is_reused_frozen_on_single_examples(
    tmp_path: Path, *, standardize: bool
):
    scaled = {"standardize": standardize}
    pairs = spec(SIAMESE, dataset=BY_LABEL | scaled, epochs=2, seed=1)
    model(tmp_path / "source", pairs, pictures())
    source = network_of(tmp_path / "source").eval()

    assembly = build(
        spec(LIKE, reuse=[TAKEN]), pictures(seed=8), sources=[tmp_path / "source"]
    )
    trained(assembly.training)

    assert assembly.resolution.preprocessing_from == 0
    x = assembly.rows[:6]
    pair = torch.stack([x, x.flip(0)], dim=1)
    with torch.inference_mode():
        expected = source.values(pair)["hidden2"]
        found = assembly.network.eval().values(x)["hidden2"]
    assert torch.equal(found, expected)


def test_layers_of_single_examples_are_reused_on_pairs(tmp_path: Path):
    model(tmp_path / "source", spec(LIKE, epochs=1, seed=1), pictures())
    what = spec(SIAMESE, dataset=BY_LABEL, reuse=[TAKEN])

    assembly = build(what, pictures(), sources=[tmp_path / "source"])

    assert assembly.resolution.preprocessing_from == 0
    assert assembly.resolution.frozen == {"hidden1", "hidden2"}


def test_a_frozen_branch_is_not_disturbed_by_dropout_or_statistics(tmp_path: Path):
    model(tmp_path / "source", spec(LIKE, epochs=1, seed=1), pictures())
    what = spec(SIAMESE, dataset=BY_LABEL, reuse=[TAKEN])
    assembly = build(what, pictures(), sources=[tmp_path / "source"])
    training = assembly.training
    training.awaken()
    x = assembly.rows[:6]
    x[:, 1] = x[:, 0]

    values = assembly.network.values(x)

    assert torch.equal(values["hidden2"], values["again2"])


def learned(what: dict[str, Any], rows: int = 600) -> float:
    training = build(what, pictures(rows)).training
    trained(training)
    return training.final["test_accuracy"]


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "contrastive"])
def test_pairs_by_label_are_learned(loss: str):
    layers = METRIC if loss == "contrastive" else SIAMESE
    calm = [layer | {"dropout": 0.0} for layer in layers if layer["kind"] == "dense"]
    known = {layer["name"]: layer for layer in calm}
    network = [known.get(layer["name"], layer) for layer in layers]
    wish = {"auxiliary_task": {"kind": "same_or_different", "pairs": 600}}

    found = learned(spec(network, dataset=wish, epochs=30, loss=loss, batch_size=32))

    assert found >= 0.8


def striped(rows: int = 120) -> Dataset:
    """Return images that are brighter at the top, whose angle can be told."""
    draw = np.random.default_rng(3)
    image = draw.integers(0, 60, (rows, 6, 6)) + 30 * np.arange(6)[::-1, None]
    arrays: dict[str, Any] = {"image": image.astype(np.uint8)}
    return described(Path("toy"), {"train": arrays}, "toy")


def test_the_angle_of_an_image_without_a_label_is_learned():
    training = build(spec(DENSE, dataset=TURNED, epochs=8), striped()).training
    trained(training)

    assert training.final["test_accuracy"] > 0.95


def test_a_table_can_be_compared_in_pairs_and_its_layers_reused(tmp_path: Path):
    data = numbers(60)
    label = {"label": (data.columns["y"] > 0).astype(np.int64)}
    columns = {name: data.columns[name] for name in ("x0", "x1", "x2")}
    table = described(Path("toy"), {"train": columns | label}, "toy")
    model(tmp_path / "source", spec(SIAMESE, dataset=BY_LABEL, epochs=1), table)

    assembly = build(spec(LIKE, reuse=[TAKEN]), table, sources=[tmp_path / "source"])

    assert assembly.network.shape == (3,)
    assert assembly.resolution.preprocessing_from == 0


def test_a_source_that_saw_the_target_is_refused(tmp_path: Path):
    draw = np.random.default_rng(1)
    x = draw.normal(size=(60, 2))
    columns = {"x0": x[:, 0], "x1": x[:, 1], "other": x.sum(1) > 0, "y": x[:, 0] > 0}
    table = described(Path("toy"), {"train": columns}, "toy")
    model(tmp_path / "source", spec(dataset={"target": "other"}, epochs=1), table)

    with pytest.raises(InvalidSpec, match="see y, which is the target here"):
        build(
            spec(dataset={"target": "y"}, reuse=[TAKEN]),
            table,
            sources=[tmp_path / "source"],
        )


def test_labels_of_another_column_are_an_auxiliary_task_by_themselves(tmp_path: Path):
    draw = np.random.default_rng(1)
    x = draw.normal(size=(60, 2))
    columns = {"x0": x[:, 0], "x1": x[:, 1], "other": x.sum(1) > 0, "y": x[:, 0] > 0}
    table = described(Path("toy"), {"train": columns}, "toy")
    seen = {"features": ["x0", "x1"]}
    first = spec(dataset={"target": "other", **seen}, epochs=1)
    model(tmp_path / "source", first, table)

    assembly = build(
        spec(dataset={"target": "y", **seen}, reuse=[TAKEN]),
        table,
        sources=[tmp_path / "source"],
    )

    assert assembly.resolution.frozen == {"hidden1", "hidden2"}
