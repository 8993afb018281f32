"""What is no Boltzmann machine, and rows that none can take, are refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trainer.machines import machine, rows_of
from tests.trainer.spec_samples import DIGITS, PASSENGERS, job, resolved
from tests.trainer.trainings import build
from trainer.errors import OutsideRange
from trainer.spec.errors import InvalidSpec


def broken(change: Any) -> Any:
    """Return the problems of a machine on images to which something was done."""
    raw = job(dataset={"id": "digits", "task": "reconstruction"})
    raw["network"] = machine()["network"]
    raw["training"] = {"loss": "contrastive_divergence"}
    change(raw)
    with pytest.raises(InvalidSpec) as refusal:
        resolved(raw, DIGITS)
    return refusal.value.problems


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda raw: raw["network"]["layers"].pop(), "/network/layers/1/kind"),
        (
            lambda raw: raw["network"]["layers"][0].update(activation="relu"),
            "/network/layers/0/activation",
        ),
        (
            lambda raw: raw["network"]["layers"][0].update(normalization="batch"),
            "/network/layers/0/normalization",
        ),
        (
            lambda raw: raw["network"]["layers"][0].update(dropout=0.5),
            "/network/layers/0/dropout",
        ),
        (
            lambda raw: raw["network"]["layers"].insert(
                0, {"kind": "gaussian_noise", "name": "noise"}
            ),
            "/network/layers/1/inputs",
        ),
        (
            lambda raw: raw["training"].update(augmentation=["noise"]),
            "/training/augmentation",
        ),
        (
            lambda raw: raw["dataset"].update(standardize=True),
            "/dataset/standardize",
        ),
    ],
    ids=["output", "units", "batch", "dropout", "between", "rows", "standardised"],
)
def test_what_is_no_machine_is_refused(change: Any, place: str) -> None:
    assert place in [problem.pointer for problem in broken(change)]


def test_numbers_of_a_table_are_refused_unless_they_are_brought_between_0_and_1() -> (
    None
):
    columns = {"Age": "min_max", "Fare": "min_max"}
    raw = job(dataset={"id": "t", "task": "reconstruction", "features": list(columns)})
    raw["network"] = machine()["network"]
    raw["training"] = {"loss": "contrastive_divergence"}

    with pytest.raises(InvalidSpec, match="from 0 to 1") as refusal:
        resolved(raw, PASSENGERS)
    raw["dataset"]["encodings"] = columns

    assert refusal.value.problems[0].suggestion == "min_max"
    assert resolved(raw, PASSENGERS).spec.training.loss is not None


def test_rows_that_turn_out_to_lie_elsewhere_fail_the_job_with_the_reason() -> None:
    with pytest.raises(OutsideRange, match="from -1 to 2"):
        build(machine(), rows_of([[-1.0, 0.5], [2.0, 0.1]] * 10))


def test_the_estimate_has_room_for_many_persistent_chains() -> None:
    def estimated(chains: int) -> int:
        raw = job(dataset={"id": "digits", "task": "reconstruction"})
        raw["network"] = machine()["network"]
        loss = {"kind": "contrastive_divergence", "persistent": True, "chains": chains}
        raw["training"] = {"loss": loss}
        return resolved(raw, DIGITS).estimate.bytes

    assert estimated(10_001) - estimated(1) == 10_000 * 784 * 4
