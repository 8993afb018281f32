"""Examples on the device: what a batch holds, and that its form changes no bit."""

import numpy as np
import pytest
import torch

from trainer.data.examples import Examples, Gatherer, Pixels, Prepared
from trainer.preprocessing import Preprocessing
from trainer.spec.data.schema import Column, Part, Schema

CPU = torch.device("cpu")


def prepared(channels: int, *, standardize: bool = False) -> Prepared:
    """Return 64 images in which every brightness occurs."""
    values = np.arange(64 * 4 * channels, dtype=np.uint8).reshape(64, 2, 2, channels)
    schema = Schema(
        rows=64,
        parts=(Part(name="train", start=0, stop=64),),
        columns=(Column(name="image", kind="image", shape=(2, 2, channels)),),
    )
    rows = np.arange(2, 64)
    columns = {"image": values}
    fitted = Preprocessing.fit(
        schema, columns, ["image"], rows, standardize=standardize
    )
    return Prepared(fitted, columns, rows)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_kept_as_stored_give_the_bits_of_the_preprocessing(
    channels: int,
) -> None:
    rows = prepared(channels)
    expected = rows[:]

    held = rows.held(CPU)

    assert isinstance(held, Pixels)
    assert len(held) == 62
    assert torch.equal(held[0:62], expected)
    assert torch.equal(held[60:99], expected[60:])
    assert torch.equal(rows[5:9], expected[5:9])


def test_standardised_images_are_kept_as_numbers() -> None:
    rows = prepared(1, standardize=True)
    expected = rows[:]

    held = rows.held(CPU)

    assert isinstance(held, torch.Tensor)
    assert torch.equal(held, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_holds_the_rows_that_were_asked_for(channels: int) -> None:
    rows = prepared(channels)
    expected, targets = rows[:], torch.arange(62)
    gatherer = Gatherer({"input": rows.held(CPU)}, targets)

    for chosen in ([3, 1, 61, 4], [7, 5], [0, 1, 2, 3, 4]):
        values, answers = gatherer.gather(torch.tensor(chosen))

        assert torch.equal(values["input"], expected[chosen])
        assert answers.tolist() == chosen


def test_chunks_cover_every_row_in_order() -> None:
    values = torch.arange(10.0).reshape(10, 1)
    examples = Examples(lambda: {"input": values}, torch.arange(10))

    chunks = list(examples.chunks(4))

    assert [len(targets) for _, targets in chunks] == [4, 4, 2]
    assert torch.equal(torch.cat([part["input"] for part, _ in chunks]), values)


def test_the_key_of_rows_tells_which_they_are_and_in_which_order() -> None:
    rows = prepared(1)
    others = Prepared(rows.preprocessing, rows.columns, rows.rows[::-1].copy())

    assert rows.key == prepared(3).key
    assert rows.key != others.key
