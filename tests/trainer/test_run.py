"""One order from beginning to end: its events, its checkpoints, its model."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer import trainings
from tests.trainer.trainings import carry_out, model, order, pictures, spec
from trainer.assembly import assemble
from trainer.errors import (
    CheckpointBroken,
    CheckpointsFailed,
    FrozenMoved,
    OutOfMemory,
)
from trainer.preprocessing import Preprocessing
from trainer.process.commands import Commands
from trainer.run import Event
from trainer.saved import checkpoint, model_folder
from trainer.spec.errors import InvalidSpec
from trainer.training.memory import in_memory

REUSE = [{"from": "source", "layers": "hidden.*", "freeze": "hidden1"}]


def of(kind: str, events: list[Event]) -> list[Event]:
    """Return the events of one kind."""
    return [event for event in events if event["event"] == kind]


def test_a_run_tells_its_start_its_figures_and_its_result(tmp_path: Path) -> None:
    events = list(carry_out(order(spec(), model=tmp_path / "model"), pictures()))

    started = events[0]
    assert started["event"] == "started"
    assert (started["resumed_step"], started["exact"]) == (0, True)
    assert (started["epochs"], started["steps_per_epoch"]) == (3, 5)
    result = events[-1]
    assert result["event"] == "result"
    assert (result["step"], result["epoch"], result["best_step"]) == (15, 3, 15)
    assert result["metrics"].keys() >= {"validation_loss", "test_accuracy"}
    assert result["monitored"] == {
        "name": "validation_loss",
        "value": result["metrics"]["validation_loss"],
        "mode": "min",
    }
    assert json.dumps(events, allow_nan=False)


def test_the_first_step_is_told_before_all_others(tmp_path: Path) -> None:
    events = list(carry_out(order(spec()), pictures()))

    progress = of("progress", events)
    assert progress[0]["step"] == 1
    assert progress[0]["eta_seconds"] is None
    assert [progress[-1][name] for name in ("step", "percent")] == [15, 100.0]


def test_the_model_holds_the_weights_that_were_trained(tmp_path: Path) -> None:
    run = trainings.Carried(
        order(spec(), model=tmp_path / "model", job="job_1"), pictures(), Commands()
    )
    events = list(run.events())
    assert run.assembly is not None

    folder = model_folder.read(tmp_path / "model")
    held = folder.tensors()
    state = run.assembly.network.state_dict()
    assert {f"layers.{name}" for name in held} == state.keys()
    assert all(torch.equal(state[f"layers.{n}"], tensor) for n, tensor in held.items())
    assert folder.description["lineage"]["job"] == "job_1"
    assert folder.description["metrics"] == events[-1]["metrics"]
    assert folder.description["classes"] == [0, 1, 2]
    assert events[-1]["files"].keys() == {
        "model.json",
        "weights.safetensors",
        "preprocessing.safetensors",
    }


def test_a_model_predicts_from_its_folder_what_it_predicted_in_training(
    tmp_path: Path,
) -> None:
    data = pictures()
    what = spec(dataset={"standardize": True})
    run = trainings.Carried(order(what, model=tmp_path / "m"), data, Commands())
    list(run.events())
    assert run.assembly is not None
    trained = run.assembly.rows[:5]

    again = Preprocessing.load(tmp_path / "m").apply(
        [data.columns["image"][row].tolist() for row in run.assembly.rows.rows[:5]]
    )

    assert torch.equal(torch.from_numpy(again), trained)


def test_reused_layers_bring_their_preprocessing(tmp_path: Path) -> None:
    source = model(
        tmp_path / "source",
        spec(dataset={"standardize": True}),
        pictures(seed=9),
    )
    what = spec(dataset={"standardize": True}, reuse=REUSE)

    taken = trainings.build(what, pictures(), sources=[source]).preprocessing

    theirs = Preprocessing.load(source)
    assert taken.described() == theirs.described()
    trainings.assert_same(
        {name: torch.from_numpy(a) for name, a in taken.arrays.items()},
        {name: torch.from_numpy(a) for name, a in theirs.arrays.items()},
    )


def test_the_record_proves_that_frozen_tensors_did_not_move(tmp_path: Path) -> None:
    source = model(tmp_path / "source", spec(), pictures(seed=9))
    ordered = order(spec(reuse=REUSE), sources=[source], model=tmp_path / "new")

    result = list(carry_out(ordered, pictures()))[-1]

    names = [line["tensor"] for line in result["frozen"]]
    assert "hidden1.weight" in names
    assert "hidden1.normalization.running_mean" in names
    assert all(line["before"] == line["after"] for line in result["frozen"])


def test_one_altered_byte_of_a_frozen_tensor_fails_the_job(tmp_path: Path) -> None:
    source = model(tmp_path / "source", spec(), pictures(seed=9))
    ordered = order(spec(reuse=REUSE), sources=[source], model=tmp_path / "new")
    run = trainings.Carried(ordered, pictures(), Commands())
    events = run.events()
    next(events)
    assert run.assembly is not None
    frozen = run.assembly.frozen.tensors()["hidden1.bias"]

    frozen.view(torch.uint8)[0] ^= 1

    with pytest.raises(FrozenMoved, match=r"hidden1\.bias"):
        list(events)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("normalization", ["batch", "none"])
def test_keeping_frozen_outputs_changes_no_bit(
    tmp_path: Path, normalization: str
) -> None:
    defaults = {"normalization": normalization}
    source = model(tmp_path / "source", spec(defaults=defaults), pictures(seed=9))

    def outcome(name: str, mode: str, limit: int) -> tuple[list[float], bytes, str]:
        ordered = order(
            spec(reuse=REUSE, defaults=defaults, frozen_cache=mode),
            sources=[source],
            model=tmp_path / name,
            frozen_cache=tmp_path / "cache",
            frozen_cache_bytes=limit,
        )
        events = list(carry_out(ordered, pictures()))
        rows = [row for event in of("metrics", events) for row in event["rows"]]
        figures = [r["value"] for r in rows if r["name"] != "examples_per_second"]
        weights = (tmp_path / name / "weights.safetensors").read_bytes()
        return figures, weights, events[-1]["cache"]["result"]

    off = outcome("off", "off", 0)
    memory = outcome("memory", "auto", 0)
    disk = outcome("disk", "required", 10**9)
    again = outcome("again", "auto", 10**9)

    assert memory[:2] == disk[:2] == again[:2] == off[:2]
    assert [o[2] for o in (off, memory, disk, again)] == ["off", "miss", "miss", "hit"]


def test_a_stop_leaves_a_checkpoint_from_which_the_rest_is_the_same(
    tmp_path: Path,
) -> None:
    whole = list(carry_out(order(spec(), model=tmp_path / "whole"), pictures()))
    commands, events = Commands(), []
    first = order(spec(), checkpoints=tmp_path / "a1", model=tmp_path / "m1")
    for event in carry_out(first, pictures(), commands):
        events.append(event)
        if event["event"] == "progress":
            commands.stop.set()

    stopped = events[-1]
    assert stopped["event"] == "stopped"
    assert Path(stopped["folder"]).name == f"step-{stopped['step']}"
    assert of("checkpoint", events)[-1]["folder"] == stopped["folder"]
    assert not (tmp_path / "m1").exists()
    second = order(
        spec(), checkpoint=Path(stopped["folder"]), model=tmp_path / "resumed"
    )
    rest = list(carry_out(second, pictures()))
    assert (rest[0]["resumed_step"], rest[0]["exact"]) == (stopped["step"], True)
    assert rest[-1]["metrics"] == whole[-1]["metrics"]
    assert (tmp_path / "resumed" / "weights.safetensors").read_bytes() == (
        tmp_path / "whole" / "weights.safetensors"
    ).read_bytes()


def test_checkpoints_are_written_while_training_goes_on(tmp_path: Path) -> None:
    commands = Commands()
    ordered = order(spec(epochs=30), checkpoints=tmp_path, checkpoint_seconds=3600)
    events = []
    for event in carry_out(ordered, pictures(), commands):
        events.append(event)
        if event["event"] == "started":
            commands.checkpoint.set()

    told = of("checkpoint", events)
    assert [event["step"] for event in told] == [1]
    assert checkpoint.read(tmp_path / "step-1").step == 1
    assert not commands.checkpoint.is_set()
    assert events[-1]["event"] == "result"


def test_checkpoints_come_by_the_clock(tmp_path: Path) -> None:
    ordered = order(spec(epochs=60), checkpoints=tmp_path, checkpoint_seconds=0)

    told = of("checkpoint", list(carry_out(ordered, pictures())))

    assert len(told) >= 1
    assert len({event["step"] for event in told}) == len(told)


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow beyond 100 bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_a_checkpoint_and_not_the_training(tmp_path: Path) -> None:
    commands = Commands()
    ordered = order(spec(epochs=30), checkpoints=tmp_path, checkpoint_seconds=3600)
    events = []
    with full_disk():
        for event in carry_out(ordered, pictures(), commands):
            events.append(event)
            if event["event"] == "started":
                commands.checkpoint.set()

    (failed,) = of("checkpoint_failed", events)
    assert failed["step"] == 1
    assert events[-1]["event"] == "result"


def test_a_disk_that_stays_full_fails_the_job(tmp_path: Path) -> None:
    commands = Commands()
    ordered = order(spec(epochs=10**5), checkpoints=tmp_path, checkpoint_seconds=3600)

    events = carry_out(ordered, pictures(), commands)

    def asking_always() -> None:
        for _ in events:
            commands.checkpoint.set()

    with full_disk(), pytest.raises(CheckpointsFailed, match="3 checkpoints in a row"):
        asking_always()


def test_a_broken_checkpoint_is_not_started_from(tmp_path: Path) -> None:
    with pytest.raises(CheckpointBroken):
        list(carry_out(order(spec(), checkpoint=tmp_path / "step-4"), pictures()))


def test_an_impossible_spec_is_told_with_its_problems() -> None:
    what = spec([{"kind": "conv2d", "filters": 2, "kernel_size": 9}])

    with pytest.raises(InvalidSpec) as caught:
        list(carry_out(order(what), pictures()))

    assert caught.value.problems[0].pointer.startswith("/network/layers/0")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"),
    ],
)
def test_memory_that_runs_out_is_told_from_other_failures(error: Exception) -> None:
    with (
        pytest.raises(OutOfMemory, match="choose a batch_size below 64") as caught,
        in_memory("training on", 64, "cpu"),
    ):
        raise error

    assert caught.value.reason == "out_of_memory"
    assert caught.value.facts["micro_batch"] == 64


def test_other_failures_are_left_to_fly() -> None:
    with pytest.raises(RuntimeError, match="bug"), in_memory("training", 64, "cpu"):
        raise RuntimeError("bug")


def test_a_real_allocation_that_is_too_large_counts_as_out_of_memory() -> None:
    with pytest.raises(OutOfMemory), in_memory("training", 64, "cpu"):
        torch.empty(2**62, dtype=torch.uint8)


def test_a_stored_data_set_is_opened_from_its_folder(tmp_path: Path) -> None:
    data = pictures()
    (tmp_path / "columns").mkdir()
    (tmp_path / "dataset.json").write_text(data.schema.model_dump_json())
    for number, column in enumerate(data.schema.columns):
        np.save(tmp_path / "columns" / f"{number}.npy", data.columns[column.name])
    fields: dict[str, Any] = {"dataset": tmp_path}

    found = assemble(order(spec()).model_copy(update=fields))

    assert found.dataset.version == tmp_path.name
    assert torch.equal(found.rows[:], trainings.build(spec(), data).rows[:])
