"""Phases: what learns when, what stays to the last bit, and how a resume finds it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.trainings import (
    DENSE,
    assert_same,
    build,
    carry_out,
    history,
    model,
    order,
    pictures,
    spec,
    trained,
    weights,
)
from trainer.assembly import Assembly
from trainer.errors import Diverged, FrozenMoved
from trainer.process.commands import Commands
from trainer.run import Event
from trainer.saved import model_folder
from trainer.spec.base import variants
from trainer.spec.errors import InvalidSpec
from trainer.spec.job import JobSpec
from trainer.spec.optimizers import Optimizer
from trainer.spec.resolve import resolve
from trainer.training import Row
from trainer.training.loop import fit

THREE: list[dict[str, Any]] = [*DENSE, {"kind": "dense", "name": "hidden3", "units": 4}]
UNFREEZING: list[dict[str, Any]] = [
    {"name": "top", "train": "output", "epochs": 2},
    {"name": "upper", "freeze": "hidden[12]", "epochs": 2, "learning_rate": 0.005},
    {"name": "all", "freeze": [], "epochs": 2, "learning_rate": 0.001},
]


def phased(phases: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {**spec(THREE, **fields), "phases": phases}


def run_through(made: Assembly) -> Iterator[tuple[str, Mapping[str, torch.Tensor]]]:
    """Train phase by phase; yield the name and the weights after each."""
    while True:
        trained(made.training)
        yield made.phases.phase.name, weights(made.training)
        if made.phases.last:
            return
        made.phases.next()


def moved(before: Mapping[str, torch.Tensor], after: Mapping[str, Any]) -> set[str]:
    """Return the layers of which any tensor has changed."""
    return {
        name.split(".")[1]
        for name in before
        if not torch.equal(before[name], after[name])
    }


def test_each_phase_moves_the_layers_that_it_trains_and_no_others() -> None:
    made = build(phased(UNFREEZING), pictures())
    states = [("drawn", weights(made.training)), *run_through(made)]

    changed = [moved(before, after) for (_, before), (_, after) in pairwise(states)]

    assert changed == [
        {"output"},
        {"hidden3", "output"},
        {"hidden1", "hidden2", "hidden3", "output"},
    ]


def test_steps_and_epochs_count_on_from_phase_to_phase() -> None:
    rows = [
        row
        for event in carry_out(order(phased(UNFREEZING)), pictures())
        if event["event"] == "metrics"
        for row in event["rows"]
        if row["name"] == "train_loss"
    ]

    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    steps = [row["step"] for row in rows]
    assert steps == [steps[0] * number for number in range(1, 7)]


def test_the_test_rows_are_looked_at_once_after_the_last_phase() -> None:
    told = [
        row["epoch"]
        for event in carry_out(order(phased(UNFREEZING)), pictures())
        if event["event"] == "metrics"
        for row in event["rows"]
        if row["name"] == "test_loss"
    ]

    assert told == [6]


def test_one_phase_that_says_nothing_is_a_job_without_phases() -> None:
    found = []
    for what in (spec(THREE), phased([{}])):
        made = build(what, pictures())
        found.append((history(trained(made.training)), weights(made.training)))
    (plain, of_plain), (one, of_one) = found

    assert plain == one
    assert_same(of_plain, of_one)


def test_a_schedule_and_a_rate_hold_in_their_own_phase() -> None:
    decay = {"kind": "exponential", "decay_steps": {"epochs": 1}, "decay_rate": 0.1}
    phases: list[dict[str, Any]] = [
        {"epochs": 2, "schedule": decay},
        {"epochs": 2, "learning_rate": 0.5},
        {"epochs": 1, "schedule": decay, "learning_rate": 0.3},
    ]
    made = build(phased(phases, optimizer={"kind": "sgd"}), pictures())
    rates = []
    while True:
        rates.append(made.training.learning_rate())
        trained(made.training)
        rates.append(made.training.learning_rate())
        if made.phases.last:
            break
        made.phases.next()

    assert rates == pytest.approx([0.01, 0.0001, 0.5, 0.5, 0.3, 0.03])


def test_multipliers_of_a_phase_take_the_place_of_the_layers_own() -> None:
    layers = [{**DENSE[0], "learning_rate_multiplier": 3.0}, DENSE[1]]
    what = {
        **spec(layers, optimizer={"kind": "sgd"}, epochs=1),
        "phases": [{}, {"learning_rate_multipliers": {"hidden.*": 0.5, "output": 2.0}}],
    }
    made = build(what, pictures())

    def by_layer() -> dict[float, int]:
        groups = made.training.descent.optimizer.param_groups
        return {group["multiplier"]: len(group["params"]) for group in groups}

    first = by_layer()
    made.phases.next()

    assert first == {3.0: 4, 1.0: 6}
    assert by_layer() == {0.5: 8, 2.0: 2}


def test_a_phase_goes_on_from_the_best_weights_of_the_one_before() -> None:
    stop = {"monitor": "validation_loss", "patience": 2}
    phases: list[dict[str, Any]] = [
        {"epochs": 30, "early_stopping": stop, "learning_rate": 0.3},
        {"epochs": 1, "early_stopping": None},
    ]
    made = build(phased(phases), pictures(120))
    trained(made.training)
    best = made.training.stopping.best
    kept = {name: t.clone() for name, t in made.training.stopping.weights.items()}

    made.phases.next()

    assert best.step < made.training.step  # it went on in vain before it stopped
    held = {
        name.removeprefix("layers."): t for name, t in weights(made.training).items()
    }
    assert_same(kept, {name: held[name] for name in kept})
    assert made.phases.ended[0].best_step == best.step


@pytest.mark.parametrize("kind", variants(Optimizer), ids=lambda k: k.__name__)
def test_frozen_layers_of_a_phase_keep_still_under_every_optimizer(kind: Any) -> None:
    name = kind.model_fields["kind"].default
    what = phased(
        [{"train": "hidden3|output", "epochs": 1}, {"freeze": 2, "epochs": 1}],
        optimizer={"kind": name},
        regularization={"l1": 0.01, "l2": 0.01, "max_norm": 0.5},
        averaging={"kind": "exponential_moving_average", "decay": 0.5},
    )
    made = build(what, pictures())
    drawn = weights(made.training)

    after = [state for _, state in run_through(made)]

    assert [moved(drawn, state) for state in after] == [{"hidden3", "output"}] * 2


class Impatient(Commands):
    """Asks for a report after every step."""

    def waiting(self) -> bool:
        return True


def stopped_after(
    what: dict[str, Any], folder: Path, steps: int
) -> tuple[list[Event], Path]:
    """Carry an order out until so many steps are taken, then stop it."""
    commands = Impatient()
    told: list[Event] = []
    for event in carry_out(order(what, checkpoints=folder), pictures(), commands):
        told.append(event)
        if event["event"] == "progress" and event["step"] >= steps:
            commands.stop.set()
    return told, Path(told[-1]["folder"])


@pytest.mark.parametrize("steps", [3, 9, 12, 17, 22, 25])
def test_a_job_stopped_in_any_phase_goes_on_to_the_last_bit(
    steps: int, tmp_path: Path
) -> None:
    what = phased(
        UNFREEZING,
        optimizer={"kind": "adam", "learning_rate": 0.01},
        averaging={"kind": "exponential_moving_average", "decay": 0.9},
        early_stopping={"monitor": "validation_loss", "patience": 5},
    )
    model(tmp_path / "straight", what, pictures())
    told, checkpoint = stopped_after(what, tmp_path / "checkpoints", steps)
    assert told[-1]["event"] == "stopped"
    assert told[-1]["step"] == steps

    resumed = order(what, checkpoint=checkpoint, model=tmp_path / "resumed")
    events = list(carry_out(resumed, pictures()))

    started = next(event for event in events if event["event"] == "started")
    assert (started["resumed_step"], started["exact"]) == (steps, True)
    straight = model_folder.read(tmp_path / "straight")
    again = model_folder.read(tmp_path / "resumed")
    assert again.hashes() == straight.hashes()
    assert (
        again.description["phases"][0]["metrics"]
        == (straight.description["phases"][0]["metrics"])
    )


def source(folder: Path) -> Path:
    return model(folder, spec(THREE, epochs=2), pictures(seed=9))


def test_only_what_no_phase_unfreezes_is_proved_against_its_source(
    tmp_path: Path,
) -> None:
    entry = {"from": "source", "layers": "hidden.*", "freeze": "hidden[12]"}
    what = phased([{"epochs": 1}, {"freeze": 1, "epochs": 1}], reuse=[entry])
    ordered = order(what, sources=[source(tmp_path / "s")], model=tmp_path / "m")

    events = list(carry_out(ordered, pictures()))

    proved = {line["tensor"].partition(".")[0] for line in events[-1]["frozen"]}
    assert proved == {"hidden1"}
    assert all(line["before"] == line["after"] for line in events[-1]["frozen"])
    of_source = model_folder.read(tmp_path / "s").hashes()
    assert all(of_source[e["tensor"]] == e["after"] for e in events[-1]["frozen"])
    assert events[-1]["phases"][0]["frozen"] == ["hidden1", "hidden2"]


def test_the_outputs_of_frozen_layers_are_kept_phase_by_phase(tmp_path: Path) -> None:
    entry = {"from": "source", "layers": "hidden.*", "freeze": "hidden[123]"}
    phases: list[dict[str, Any]] = [
        {"epochs": 3},
        {"freeze": 2, "epochs": 2},
        {"freeze": [], "epochs": 1},
    ]
    reports = []
    states = []
    for mode in ("required", "off"):
        what = phased(phases[:2], reuse=[entry], frozen_cache=mode)
        made = build(
            what, pictures(), sources=[source(tmp_path / mode)], frozen_cache=None
        )
        states.append([state for _, state in run_through(made)])
        reports.append(made.phases.cache())

    for kept, computed in zip(*states, strict=True):
        assert_same(kept, computed)
    assert [one["result"] for one in reports[0]["phases"]] == ["miss", "miss"]
    assert [one["phase"] for one in reports[0]["phases"]] == ["phase1", "phase2"]


def test_a_frozen_tensor_that_moves_in_a_phase_fails_the_job() -> None:
    made = build(phased(UNFREEZING), pictures())
    trained(made.training)
    with torch.no_grad():
        made.network.layers["hidden1"].get_parameter("weight")[0, 0] += 1e-3

    with pytest.raises(FrozenMoved, match=r"hidden1\.weight"):
        made.phases.next()


def resolved(what: dict[str, Any]) -> Any:
    return resolve(JobSpec.model_validate(what), pictures().schema, {})


def test_the_resolved_spec_writes_every_phase_out_and_resolves_to_itself() -> None:
    once = resolved(phased(UNFREEZING)).resolved()

    again = resolved(json.loads(json.dumps(once))).resolved()

    assert again == once
    top, upper, last = once["phases"]
    assert top["freeze"] == ["hidden1", "hidden2", "hidden3"]
    assert upper["freeze"] == ["hidden1", "hidden2"]
    assert last["freeze"] == []
    assert last["optimizer"]["learning_rate"] == 0.001
    assert [phase["epochs"] for phase in once["phases"]] == [2, 2, 2]


def test_dropout_below_the_lowest_layer_that_learns_is_off_with_it() -> None:
    layers = [{"kind": "dropout", "name": "noise", "rate": 0.3}, *THREE]
    what = {**spec(layers), "phases": [{"train": "output"}]}

    (phase,) = resolved(what).phases

    assert phase.frozen == {"noise", "hidden1", "hidden2", "hidden3"}


@pytest.mark.parametrize(
    ("phase", "place", "code"),
    [
        ({"freeze": "nothing"}, "/phases/0/freeze", "nothing_matched"),
        ({"freeze": ["hidden9"]}, "/phases/0/freeze", "unknown_layer"),
        ({"train": "("}, "/phases/0/train", "bad_pattern"),
        ({"train": "output", "freeze": 1}, "/phases/0/train", "conflict"),
        ({"freeze": ".*"}, "/phases/0", "nothing_learns"),
        ({"schedule": "range_test"}, "/phases/0/schedule", "conflict"),
        (
            {"learning_rate_multipliers": {"hidden.*": 2, "hidden1": 3}},
            "/phases/0/learning_rate_multipliers/hidden1",
            "conflict",
        ),
        (
            {"early_stopping": {"monitor": "validation_acuracy"}},
            "/phases/0/early_stopping/monitor",
            "unknown_metric",
        ),
    ],
)
def test_a_phase_that_cannot_be_is_refused_at_its_place(
    phase: dict[str, Any], place: str, code: str
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        resolved(phased([phase, {}]))

    assert [(p.pointer, p.code) for p in refused.value.problems] == [(place, code)]


def test_two_phases_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidSpec, match="two phases are called 'top'"):
        resolved(phased([{"name": "top"}, {"name": "top"}]))


def test_layers_that_stay_as_they_were_drawn_are_worth_a_warning() -> None:
    found = resolved(phased([{"train": "output"}]))

    assert any("keep their initial weights" in one for one in found.warnings)


def diverging(rate: float) -> dict[str, Any]:
    layers = [{"kind": "dense", "name": "hidden1", "units": 8, "activation": "relu"}]
    return {
        **spec(layers, optimizer={"kind": "sgd", "learning_rate": 0.01}),
        "network": {"layers": layers, "defaults": {"normalization": "none"}},
        "phases": [{"epochs": 2}, {"epochs": 8, "learning_rate": rate}],
    }


def test_the_doctor_offers_the_patch_at_the_phase_that_is_ill() -> None:
    what, events = diverging(1e6), list[Event]()

    with suppress(Diverged):
        events.extend(carry_out(order(what), pictures()))

    patches = [e["patch"] for e in events if e["event"] == "diagnostic" and e["patch"]]
    slower = [patch["phases"] for patch in patches if "phases" in patch]
    assert slower
    assert slower[0][0] == what["phases"][0]
    assert slower[0][1] != what["phases"][1]


def test_rows_of_a_phase_begin_where_the_one_before_ended() -> None:
    made = build(phased([{"epochs": 2}, {"epochs": 1}]), pictures())
    trained(made.training)
    made.phases.next()

    rows = [
        row for report in fit(made.training, pause_seconds=0) for row in report.rows
    ]

    assert {row.epoch for row in rows} == {3}
    assert isinstance(rows[0], Row)
