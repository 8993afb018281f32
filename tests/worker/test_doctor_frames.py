"""What a trainer tells of its layers: read without trust, kept in order."""

import json
from pathlib import Path
from typing import Any

import pytest

from worker import frames
from worker.journal import Journal

FINDING: dict[str, Any] = {
    "event": "diagnostic",
    "code": "diverging",
    "layer": None,
    "severity": "critical",
    "detail": "the loss is no longer a finite number",
    "evidence": {"loss": None},
    "patch": {"training": {"optimizer": {"learning_rate": 0.01}}},
    "step": 8,
    "epoch": 1,
}
SAMPLE: dict[str, Any] = {
    "event": "layers",
    "step": 4,
    "epoch": 1,
    "layers": [{"layer": "hidden1", "dead": 0.5, "saturated": None}],
}


def read(told: dict[str, Any]) -> frames.Frame | frames.Unreadable:
    return frames.read(json.dumps(told).encode())


def test_a_finding_and_figures_of_layers_are_understood() -> None:
    finding, sample = read(FINDING), read(SAMPLE)

    assert isinstance(finding, frames.Diagnostic)
    assert finding.patch == FINDING["patch"]
    assert isinstance(sample, frames.Layers)
    assert sample.layers[0]["dead"] == 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        FINDING | {"severity": "fatal"},
        FINDING | {"code": "DROP TABLE"},
        FINDING | {"patch": "none"},
        SAMPLE | {"layers": [{"layer": "a" * 2000}]},
        SAMPLE | {"layers": [{"dead": [1]}]},
        SAMPLE | {"step": -1},
    ],
)
def test_what_is_no_finding_is_ignored_with_the_reason(wrong: dict[str, Any]) -> None:
    assert isinstance(read(wrong), frames.Unreadable)


def test_figures_wait_on_the_disk_while_the_ledger_is_away(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "spool.jsonl", 10**6)
    journal.sample({"step": 1})
    journal.event("diagnostic", {"code": "diverging"})
    journal.spill()
    journal.sample({"step": 2})

    batch = journal.batch()

    assert batch.samples == [{"step": 1}]
    assert batch.events == [("diagnostic", {"code": "diverging"})]
    journal.forget(batch)
    assert journal.batch().samples == [{"step": 2}]
