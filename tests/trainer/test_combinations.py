"""Techniques in combination: built, trained, saved, read back and exported alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from api.techniques import FAMILIES
from tests.conftest import TOLD
from tests.trainer.combinations import (
    ELSEWHERE,
    IN_LAYERS,
    PLACES,
    WITHOUT_KIND,
    Case,
    cases,
    pairs,
    possible_pairs,
    specs,
    vocabulary,
)
from tests.trainer.combined_data import dataset
from tests.trainer.trainings import Carried, order
from trainer.export import export
from trainer.process.commands import Commands
from trainer.saved.reopened import network_of

ALL = 500
FEW = 25
TWO_EXAMPLES = settings(
    max_examples=2,  # the simplest values, then drawn ones
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],  # a network that is made smaller is another network
    suppress_health_check=list(HealthCheck),
)


def kinds(found: Any) -> set[str]:
    """Return every kind that is named somewhere in a spec."""
    if isinstance(found, dict):
        own = {found["kind"]} if isinstance(found.get("kind"), str) else set()
        return own.union(*map(kinds, found.values()))
    if isinstance(found, list | tuple):
        return set().union(*map(kinds, found))
    return set()


def check(case: Case, spec: dict[str, Any], folder: Path) -> None:
    """Carry a job out and compare the network with its copies."""
    run = Carried(order(spec, model=folder / "model"), dataset(case.given), Commands())

    events = list(run.events())

    assert events[-1]["event"] == "result"
    assert events[-1]["step"] >= 2
    assembly = run.assembly
    assert assembly is not None
    wanted = {kind for _, kind in case.techniques}
    assert wanted <= kinds(assembly.resolution.resolved())
    rows = assembly.rows[:8]
    again = network_of(folder / "model").eval()
    with torch.inference_mode():
        expected = assembly.network.eval()(rows)
        assert torch.equal(again(rows), expected)
    assert torch.isfinite(expected).all()
    export(again, rows, folder / "model.onnx")


def _tried(case: Case, folder: Path) -> None:
    @TWO_EXAMPLES
    @given(st.data())
    def one(data: Any) -> None:
        spec = data.draw(specs(case))
        with TemporaryDirectory(dir=folder) as own:
            check(case, spec, Path(own))

    one()


@pytest.mark.parametrize("number", range(FEW))
def test_techniques_work_together(number: int, tmp_path: Path) -> None:
    _tried(cases(FEW)[number], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(ALL))
def test_nearly_every_pair_of_techniques_works_together(
    number: int, tmp_path: Path
) -> None:
    _tried(cases(ALL)[number], tmp_path)


@pytest.mark.slow
def test_the_combinations_hold_nearly_every_pair(
    record_property: Callable[[str, object], None],
) -> None:
    found = set().union(*(pairs(case.techniques) for case in cases(ALL)))
    used = set().union(*(case.techniques for case in cases(ALL)))
    known, possible = set(vocabulary()), possible_pairs()

    record_property(
        TOLD,
        f"{ALL} combinations: {len(used)} of {len(known)} techniques, "
        f"{len(found & possible)} of {len(possible)} possible pairs "
        f"({len(found & possible) / len(possible):.1%}); "
        f"without: {sorted(known - used) or 'none'}",
    )

    assert len(used) >= 0.9 * len(known)
    assert len(found & possible) >= 0.95 * len(possible)


def test_every_family_has_its_place_in_a_combination() -> None:
    placed = {*ELSEWHERE, *PLACES, *IN_LAYERS, *WITHOUT_KIND}

    assert set(FAMILIES) <= placed
