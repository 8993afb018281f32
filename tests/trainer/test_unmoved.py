"""The doctor's early word: one bit of a frozen tensor that moves is seen."""

from __future__ import annotations

import pytest
import torch

from tests.trainer.networks import DENSE, network
from trainer.doctor.unmoved import Unmoved
from trainer.frozen import Frozen


@pytest.mark.parametrize(
    "name",
    [
        "weight",  # 12 x 64 numbers: added eight bytes at a time
        "normalization.running_var",
        "normalization.num_batches_tracked",
    ],
)
@pytest.mark.parametrize("units", [12, 9], ids=["even", "odd"])
def test_one_bit_that_moves_is_seen(name: str, units: int) -> None:
    layers = [{**DENSE[0], "units": units}, *DENSE[1:]]
    frozen = Frozen(network(layers), {"hidden1"})
    unmoved = Unmoved(frozen)
    assert unmoved.check() is None

    tensor = frozen.tensors()[f"hidden1.{name}"]
    tensor.view(-1).view(torch.uint8)[-1] ^= 1

    sign = unmoved.check()
    assert sign is not None
    assert sign.evidence == {"tensors": [f"hidden1.{name}"]}
