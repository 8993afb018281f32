"""Images of another size or number of channels than a source was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from tests.trainer import trainings
from tests.trainer.exported_models import stored
from tests.trainer.spec_samples import DIGITS, job, resolved
from tests.trainer.test_new_tops import source
from tests.trainer.trainings import TOY, order, pictures, spec
from trainer.data.dataset import Dataset, described
from trainer.export import export
from trainer.export.requested import write
from trainer.preprocessing import Preprocessing
from trainer.preprocessing.resizing import LUMA, resized
from trainer.saved import model_folder
from trainer.saved.reopened import drawn_rows, network_of
from trainer.spec.data.schema import Column
from trainer.spec.errors import InvalidSpec
from trainer.spec.exports import ExportFormat

POOLED: list[dict[str, Any]] = [
    {"kind": "conv2d", "name": "conv1", "filters": 3},
    {"kind": "global_average_pool2d", "name": "mean"},
]
HIDDEN: list[dict[str, Any]] = [{"kind": "dense", "name": "hidden1", "units": 6}]


def photographs(rows: int = 30, size: tuple[int, int] = (9, 13)) -> Dataset:
    """Return colour images of another size than the pictures."""
    draw = np.random.default_rng(3)
    label = draw.integers(0, 2, rows)
    image = draw.integers(0, 120, (rows, *size, 3)) + 90 * label[:, None, None, None]
    arrays: dict[str, Any] = {"photo": image.astype(np.uint8), "label": label}
    return described(TOY, {"train": arrays}, "toy")


@pytest.mark.parametrize("wanted", [(5, 9), (3, 3), (20, 31), (7, 30), (11, 12)])
def test_resizing_is_torchs_bilinear_with_antialiasing(
    wanted: tuple[int, int],
) -> None:
    images = np.random.default_rng(0).random((4, 3, 11, 12), np.float32)

    found = resized(images, (3, *wanted))

    expected = interpolate(
        torch.from_numpy(images), wanted, mode="bilinear", antialias=True
    )
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-6)


def test_grey_is_the_brightness_of_colour_and_colour_three_times_grey() -> None:
    colour = np.random.default_rng(0).random((2, 3, 4, 4), np.float32)

    grey = resized(colour, (1, 4, 4))
    again = resized(grey, (3, 4, 4))

    expected = np.tensordot(colour, np.asarray(LUMA, np.float32), (1, 0))
    np.testing.assert_allclose(grey[:, 0], expected, atol=1e-6)
    np.testing.assert_array_equal(again, np.repeat(grey, 3, axis=1))


@pytest.fixture
def first(tmp_path: Path) -> Path:
    what = spec(HIDDEN, epochs=1, dataset={"standardize": True})
    return trainings.model(tmp_path / "first", what, pictures())


def test_a_source_of_small_grey_images_is_reused_on_large_coloured_ones(
    first: Path, tmp_path: Path
) -> None:
    entry = {"from": "first", "layers": "hidden1", "freeze": "hidden1"}
    what = spec(HIDDEN, epochs=1, reuse=[entry | {"on_other_input": "resize"}])
    asked = order(what, sources=[first], model=tmp_path / "second")

    *_, result = trainings.carry_out(asked, photographs())

    assert all(row["before"] == row["after"] for row in result["frozen"])
    theirs, ours = (Preprocessing.load(f) for f in (first, tmp_path / "second"))
    given = photographs().columns["photo"]
    pixels = np.moveaxis(given, -1, 1).astype(np.float32) / np.float32(255)
    assert theirs.mean is not None
    assert theirs.scale is not None
    expected = (resized(pixels, (1, 6, 6)) - theirs.mean) * theirs.scale
    np.testing.assert_allclose(ours.apply({"photo": given}), expected, atol=1e-6)


def large(size: tuple[int, int, int]) -> Any:
    columns = (Column(name="picture", kind="image", shape=size), DIGITS.columns[1])
    return DIGITS.model_copy(update={"columns": columns})


def found(layers: Any, size: tuple[int, int, int], **entry: Any) -> Any:
    raw = job(network={"layers": layers}, reuse=[{"from": "low"} | entry])
    return resolved(raw, large(size), low=source(layers))


def test_resized_images_are_told_in_the_match_table() -> None:
    told = found(HIDDEN, (40, 30, 3), on_other_input="resize")

    line = told.match_table()[0]
    assert (line["layer"], line["state"], line["entry"]) == ("input", "resized", 0)
    assert line["shape"] == {"input": [3, 40, 30]}
    assert line["source_shape"] == {"input": [1, 28, 28]}
    assert "40 by 30 with 3 channels are resized to 28 by 28" in line["reason"]
    assert told.inputs.shape == (1, 28, 28)
    assert told.resolved()["reuse"][0]["on_other_input"] == "resize"


def test_other_images_are_refused_unless_asked_for_and_the_way_is_told() -> None:
    with pytest.raises(InvalidSpec) as caught:
        found(HIDDEN, (40, 30, 1))

    (problem,) = caught.value.problems
    assert (problem.code, problem.pointer) == ("other_inputs", "/reuse/0/from")
    assert "resize" in str(problem.suggestion)


def test_convolutions_under_a_global_pooling_take_images_of_any_size() -> None:
    told = found(POOLED, (40, 30, 1))

    assert told.inputs.shape == (1, 40, 30)
    assert told.match_table()[0]["state"] == "reused"


def test_two_channels_cannot_be_made_from_one() -> None:
    with pytest.raises(InvalidSpec) as caught:
        found(HIDDEN, (40, 30, 2), on_other_input="resize")

    assert caught.value.problems[0].code == "other_inputs"


def test_a_network_too_deep_for_small_images_is_built_for_resized_ones() -> None:
    deep: list[dict[str, Any]] = [
        {"kind": "conv2d", "name": "conv1", "filters": 2, "kernel_size": 9}
    ]

    told = found(deep, (8, 8, 1), on_other_input="resize")

    assert told.layers[0].output_shape == (2, 20, 20)


BRANCHES: list[dict[str, Any]] = [
    {"kind": "dense", "name": "left", "units": 6, "inputs": ["input"]},
    {"kind": "dense", "name": "right", "units": 6, "inputs": ["input"]},
    {"kind": "concatenate", "name": "both", "inputs": ["left", "right"]},
]


def branches(tmp_path: Path, *, standardize: bool) -> Any:
    """Train a network on two models, one frozen; return how it ended."""
    for name, scaled in (("one", False), ("two", standardize)):
        what = spec(HIDDEN, epochs=1, dataset={"standardize": scaled})
        trainings.model(tmp_path / name, what, pictures())
    one = {"from": "one", "layers": "hidden1", "rename": {"hidden1": "left"}}
    two = {"from": "two", "layers": "hidden1", "rename": {"hidden1": "right"}}
    what = spec(BRANCHES, epochs=1, reuse=[one | {"freeze": "hidden1"}, two])
    folders = [tmp_path / "one", tmp_path / "two"]
    asked = order(what, sources=folders, model=tmp_path / "both")
    *_, result = trainings.carry_out(asked, pictures())
    return result


def test_branches_from_two_models_train_one_frozen_and_one_not(tmp_path: Path) -> None:
    result = branches(tmp_path, standardize=False)

    assert {row["tensor"].partition(".")[0] for row in result["frozen"]} == {"left"}
    lineage = model_folder.read(tmp_path / "both").description["lineage"]
    assert lineage["sources"] == ["mdl_one", "mdl_two"]


def test_two_sources_that_know_the_input_by_different_scales_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        branches(tmp_path, standardize=True)

    (problem,) = caught.value.problems
    assert problem.code == "two_preprocessings"
    assert problem.pointer == "/reuse/1/from"


@pytest.mark.parametrize("form", ["onnx_pipeline", "pytorch_script", "keras"])
def test_every_export_answers_as_the_model_does_on_resized_images(
    form: ExportFormat, first: Path, tmp_path: Path
) -> None:
    entry = {"from": "first", "layers": "hidden1", "on_other_input": "resize"}
    asked = order(
        spec(HIDDEN, epochs=1, reuse=[entry]), sources=[first], model=tmp_path / "m"
    )
    list(trainings.carry_out(asked, photographs()))
    network = network_of(tmp_path / "m")
    export(network, drawn_rows(network), tmp_path / "m" / "model.onnx")

    write(form, tmp_path / "m", stored(tmp_path / "data", photographs()))
