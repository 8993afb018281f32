"""Augmentation inside a training: which rows it changes, and where it is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainer import trainings
from tests.trainer.spec_samples import DIGITS, PASSENGERS, job, resolved
from tests.trainer.trainings import CONVOLUTIONAL, DENSE, numbers, pictures, spec
from trainer.data.examples import Gatherer
from trainer.spec.augmentation import Augmentation
from trainer.spec.augmentation.augmented import Augmented, Layout
from trainer.spec.base import variants
from trainer.spec.errors import InvalidSpec
from trainer.training.disturbance import layout_of


def test_a_table_says_which_of_its_columns_are_numbers() -> None:
    found = trainings.build(spec(DENSE), numbers()).preprocessing

    layout = layout_of("table", found)

    assert layout == Layout("table", (3,), (1, 1, 1), (True, True, True), None)


ALL_OF_IMAGES: list[Any] = [
    member.model_fields["kind"].default
    for member in variants(Augmentation)
    if issubclass(member, Augmented) and "image" in member.fits
]


def test_augmentation_changes_the_training_rows_and_no_other() -> None:
    training = trainings.build(
        spec(DENSE, augmentation=ALL_OF_IMAGES, epochs=1), pictures()
    ).training
    seen: dict[bool, list[Tensor]] = {True: [], False: []}
    first = training.network.layers["hidden1"]
    first.register_forward_pre_hook(
        lambda module, given: seen[module.training].append(given[0].clone())
    )

    trainings.trained(training)

    stored = training.material.train.values()["input"][:]
    held = training.material.validation
    assert held is not None
    trained = torch.cat(seen[True])
    untouched = [row for row in trained if any(torch.equal(row, s) for s in stored)]
    assert len(trained) == len(training.material.train)
    assert len(untouched) < len(trained) / 10
    looked = torch.cat(seen[False])[: len(held)]
    assert torch.equal(looked, held.values()["input"][:])


def test_8_bit_images_are_converted_once_and_then_changed() -> None:
    built = trainings.build(
        spec(DENSE, augmentation=[{"kind": "brightness", "delta": 1e-6}]), pictures()
    )
    training = built.training
    rows = training.sampler.order(1)[:8]
    gathered = Gatherer(
        training.material.train.values(), training.material.train.targets
    ).gather(rows)
    plain = gathered[0]["input"].clone()

    found = training.disturbance.of(*gathered, rows)

    torch.testing.assert_close(found.values["input"], plain, atol=2e-6, rtol=0)
    assert found.values["input"].max() <= 1


def test_without_augmentation_nothing_is_drawn() -> None:
    training = trainings.build(spec(DENSE), pictures()).training
    state = torch.get_rng_state()
    values = {"input": torch.rand(4, 1, 6, 6, generator=torch.Generator())}
    rows = torch.arange(4)

    found = training.disturbance.of(values, rows, rows)

    assert torch.equal(torch.get_rng_state(), state)
    assert found.values is values


def test_noise_on_the_input_makes_an_autoencoder_that_denoises() -> None:
    clean = {"id": "toy", "task": "reconstruction", "features": ["image"]}
    training = trainings.build(
        spec(DENSE, dataset=clean, augmentation=["noise", "erase"]), pictures()
    ).training

    trainings.trained(training)

    assert torch.equal(
        training.material.train.targets,
        training.material.train.values()["input"][:].flatten(1),
    )


@pytest.mark.parametrize("nothing", [None, "none", []])
def test_augmentation_is_switched_off_as_all_else_is(nothing: Any) -> None:
    found = resolved(job(training={"augmentation": nothing}))

    assert found.resolved()["training"]["augmentation"] == []


def refused(raw: dict[str, Any], schema: Any = DIGITS) -> Any:
    """Return the only problem of a job."""
    with pytest.raises(InvalidSpec) as refusal:
        resolved(raw, schema)
    (problem,) = refusal.value.problems
    return problem


def test_an_augmentation_that_does_not_fit_the_input_is_refused() -> None:
    problem = refused(job(training={"augmentation": ["noise", "swap_noise"]}))

    assert problem.pointer == "/training/augmentation/1/kind"
    assert "swap_noise is for table inputs" in problem.detail
    assert problem.suggestion in ALL_OF_IMAGES


def test_a_crop_that_could_leave_nothing_of_an_image_is_refused() -> None:
    crops = [{"kind": "crop", "padding": 27}, {"kind": "crop", "padding": 28}]

    problem = refused(job(training={"augmentation": crops}))

    assert problem.pointer == "/training/augmentation/1/padding"
    assert "28 by 28" in problem.detail


def test_images_are_not_made_of_tables() -> None:
    raw = job(
        dataset={"id": "t", "target": "Survived"}, training={"augmentation": ["flip"]}
    )

    assert "feature_dropout" in refused(raw, PASSENGERS).detail


def test_what_is_to_be_reconstructed_is_not_moved() -> None:
    raw = job(
        dataset={"id": "digits", "task": "reconstruction", "features": ["image"]},
        training={"augmentation": ["noise", "flip"]},
    )

    assert refused(raw).pointer == "/training/augmentation/1/kind"


def test_a_frozen_cache_cannot_be_required_of_changing_inputs() -> None:
    raw = job(training={"augmentation": ["flip"], "frozen_cache": "required"})

    problem = refused(raw)

    assert problem.pointer == "/training/frozen_cache"
    assert problem.suggestion == "auto"


def test_outputs_of_frozen_layers_are_not_kept_under_augmentation(
    tmp_path: Any,
) -> None:
    source = trainings.model(tmp_path / "m", spec(CONVOLUTIONAL, epochs=1), pictures())
    reuse = [{"from": "source", "layers": "conv1", "freeze": "conv1"}]

    built = trainings.build(
        spec(CONVOLUTIONAL, reuse=reuse, augmentation=["flip"], mixing="mixup"),
        pictures(),
        sources=[source],
    )
    before = built.frozen.hashes()
    trainings.trained(built.training)

    assert not built.outputs.keeps
    assert "augmentation (flip, mixup)" in str(built.outputs.report()["reason"])
    assert built.frozen.hashes() == before
