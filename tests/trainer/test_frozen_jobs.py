"""Whole jobs with frozen layers: the cache changes no bit, the record proves it."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer import trainings
from tests.trainer.trainings import CONVOLUTIONAL, DENSE, Carried, order, pictures, spec
from trainer.errors import CacheRefused, FrozenMoved, ModelBroken
from trainer.process.commands import Commands
from trainer.saved import model_folder
from trainer.training.loop import fit

SKIPPING: list[dict[str, Any]] = [
    {"kind": "dense", "name": "hidden1", "units": 6},
    {"kind": "dense", "name": "hidden2", "units": 6},
    {"kind": "dense", "name": "hidden3", "units": 6, "inputs": ["hidden2"]},
    {"kind": "add", "name": "sum", "inputs": ["hidden1", "hidden3"]},
]
CUTS = {
    "dense": (DENSE, "hidden1"),
    "all but the output": (DENSE, "hidden[12]"),
    "convolution and residual": (CONVOLUTIONAL, "conv1|block1"),
    "skip over the cut": (SKIPPING, "hidden[12]"),
}
RECIPES: dict[str, dict[str, Any]] = {
    "nesterov": {
        "optimizer": {"kind": "nesterov", "learning_rate": 0.05},
        "regularization": {"l2": 0.01, "max_norm": 0.5},
    },
    "adam": {
        "optimizer": {"kind": "adam", "learning_rate": 0.01},
        "regularization": {"l1": 0.001},
        "gradient_clipping": {"kind": "global_norm", "threshold": 0.5},
        "early_stopping": {"patience": 2},
    },
}


def source(folder: Path, layers: list[dict[str, Any]]) -> Path:
    first = spec(layers, epochs=1, seed=1)
    return trainings.model(folder / "source", first, pictures(seed=9))


def reusing(
    layers: list[dict[str, Any]], frozen: str, **training: Any
) -> dict[str, Any]:
    entry = {"from": "source", "layers": ".*", "freeze": frozen}
    return spec(layers, reuse=[entry], **training)


def job(folder: Path, name: str, what: dict[str, Any]) -> dict[str, Any]:
    """Carry a job out whose source lies in `folder`; return its result."""
    ordered = order(
        what,
        sources=[folder / "source"],
        model=folder / name,
        frozen_cache=folder / "cache",
        frozen_cache_bytes=10**9,
    )
    *_, result = trainings.carry_out(ordered, pictures())
    return result


def sha256(folder: Path) -> str:
    content = (folder / "weights.safetensors").read_bytes()
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("recipe", list(RECIPES.values()), ids=list(RECIPES))
@pytest.mark.parametrize(("layers", "frozen"), list(CUTS.values()), ids=list(CUTS))
def test_a_job_is_the_same_with_the_cache_off_filled_and_found(
    tmp_path: Path, layers: list[dict[str, Any]], frozen: str, recipe: dict[str, Any]
) -> None:
    source(tmp_path, layers)

    off, miss, hit = (
        job(tmp_path, name, reusing(layers, frozen, frozen_cache=mode, **recipe))
        for name, mode in (("off", "off"), ("miss", "auto"), ("hit", "required"))
    )

    assert [r["cache"]["result"] for r in (off, miss, hit)] == ["off", "miss", "hit"]
    assert sha256(tmp_path / "off") == sha256(tmp_path / "miss")
    assert sha256(tmp_path / "off") == sha256(tmp_path / "hit")
    assert off["metrics"] == miss["metrics"] == hit["metrics"]
    assert off["frozen"] == miss["frozen"] == hit["frozen"] != []


@pytest.mark.parametrize("recipe", list(RECIPES.values()), ids=list(RECIPES))
@pytest.mark.parametrize(("layers", "frozen"), list(CUTS.values()), ids=list(CUTS))
def test_the_record_proves_that_every_frozen_tensor_stayed(
    tmp_path: Path, layers: list[dict[str, Any]], frozen: str, recipe: dict[str, Any]
) -> None:
    of_source = model_folder.read(source(tmp_path, layers)).hashes()

    record = job(tmp_path, "model", reusing(layers, frozen, **recipe))["frozen"]

    registered = model_folder.read(tmp_path / "model")
    held = {
        tensor["name"]
        for layer in registered.description["layers"]
        if layer["frozen"]
        for tensor in layer["tensors"]
    }
    assert {line["tensor"] for line in record} == held
    assert any(name.endswith("running_mean") for name in held)
    assert all(line["before"] == of_source[line["tensor"]] for line in record)
    assert all(line["after"] == registered.hashes()[line["tensor"]] for line in record)
    learning = of_source.keys() - held
    assert any(of_source[name] != registered.hashes()[name] for name in learning)


def test_one_bit_that_flips_while_training_fails_the_job(tmp_path: Path) -> None:
    source(tmp_path, DENSE)
    ordered = order(
        reusing(DENSE, "hidden1"),
        sources=[tmp_path / "source"],
        model=tmp_path / "model",
    )
    run = Carried(ordered, pictures(), Commands())
    events = run.events()
    next(events)
    assert run.assembly is not None
    tensor = run.assembly.network.layers["hidden1"].get_buffer(
        "normalization.running_var"
    )
    tensor.view(torch.int32)[2] ^= 1

    with pytest.raises(FrozenMoved, match=r"'hidden1\.normalization\.running_var'"):
        list(events)

    assert not (tmp_path / "model").exists()


def test_one_byte_that_differs_in_the_registered_file_fails_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source(tmp_path, DENSE)
    read = model_folder.read

    def altered(folder: Path) -> model_folder.ModelFolder:
        """Alter the file between its being written and its being read back."""
        if folder == tmp_path / "model":
            path = folder / "weights.safetensors"
            content = bytearray(path.read_bytes())
            content[content.index(b"}}") + 16] ^= 1
            path.write_bytes(content)
        return read(folder)

    monkeypatch.setattr(model_folder, "read", altered)

    with pytest.raises(FrozenMoved, match="1 frozen tensors moved"):
        job(tmp_path, "model", reusing(DENSE, "hidden.*"))

    assert not (tmp_path / "model").exists()


def test_a_source_with_an_altered_byte_is_refused(tmp_path: Path) -> None:
    path = source(tmp_path, DENSE) / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(ModelBroken, match="not as described"):
        job(tmp_path, "model", reusing(DENSE, "hidden1"))


def test_training_normalization_of_frozen_layers_is_not_cached(tmp_path: Path) -> None:
    source(tmp_path, DENSE)
    what = reusing(DENSE, "hidden1", frozen_normalization="train")

    result = job(tmp_path, "model", what)

    assert result["cache"]["result"] == "refused"
    assert "normalises by each batch" in result["cache"]["reason"]
    proved = {line["tensor"] for line in result["frozen"]}
    assert "hidden1.weight" in proved
    assert "hidden1.normalization.running_mean" not in proved
    with pytest.raises(CacheRefused, match="normalises by each batch"):
        job(
            tmp_path,
            "other",
            {**what, "training": {**what["training"], "frozen_cache": "required"}},
        )


def test_a_model_reused_twice_over_still_holds_the_first_source_s_layers(
    tmp_path: Path,
) -> None:
    of_source = model_folder.read(source(tmp_path, DENSE)).hashes()
    job(tmp_path, "second", reusing(DENSE, "hidden[12]"))
    ordered = order(
        reusing(DENSE, "hidden1"),
        sources=[tmp_path / "second"],
        model=tmp_path / "third",
    )

    *_, result = trainings.carry_out(ordered, pictures(seed=11))

    assert all(of_source[line["tensor"]] == line["after"] for line in result["frozen"])


def test_an_autoencoder_trains_on_kept_outputs_too(tmp_path: Path) -> None:
    layers = [*DENSE, {"kind": "dense", "name": "decoder", "units": 8}]
    rebuilding = {"task": "reconstruction"}
    first = spec(layers, dataset=rebuilding, epochs=1, seed=1)
    trainings.model(tmp_path / "source", first, pictures(seed=9))
    entry = {"from": "source", "layers": "hidden.*", "freeze": "hidden.*"}

    off, miss = (
        job(
            tmp_path,
            mode,
            spec(layers, dataset=rebuilding, reuse=[entry], frozen_cache=mode),
        )
        for mode in ("off", "auto")
    )

    assert [r["cache"]["result"] for r in (off, miss)] == ["off", "miss"]
    assert sha256(tmp_path / "off") == sha256(tmp_path / "auto")


def frozen_runs(folder: Path, mode: str) -> list[str]:
    """Train with the source's layers frozen; return each run of one of them."""
    assembly = trainings.build(
        reusing(DENSE, "hidden[12]", frozen_cache=mode),
        pictures(),
        sources=[folder / "source"],
        frozen_cache=folder / "cache",
        frozen_cache_bytes=10**9,
    )
    run: list[str] = []
    for name in ("hidden1", "hidden2"):
        layer = assembly.network.layers[name]
        layer.register_forward_hook(lambda *_, name=name: run.append(name))
    trainings.trained(assembly.training)
    return run


def test_a_second_job_on_the_same_cut_trains_without_a_forward_pass(
    tmp_path: Path,
) -> None:
    source(tmp_path, DENSE)

    uncached = frozen_runs(tmp_path, "off")
    first = frozen_runs(tmp_path, "auto")
    second = frozen_runs(tmp_path, "auto")

    parts = 3  # training rows, validation rows, test rows
    epochs = 3
    assert len(first) == 2 * parts
    assert len(uncached) == 2 * (epochs * (parts - 1) + 1)
    assert second == []


def test_a_second_job_takes_its_first_step_sooner_than_a_forward_pass_would_end(
    tmp_path: Path,
) -> None:
    wide = [{"kind": "dense", "name": f"hidden{n}", "units": 1500} for n in (1, 2, 3)]
    wide.append({"kind": "dense", "name": "hidden4", "units": 10})
    source(tmp_path, wide)

    def first_step(mode: str) -> float:
        assembly = trainings.build(
            reusing(wide, "hidden[1-4]", frozen_cache=mode),
            pictures(3000),
            sources=[tmp_path / "source"],
            frozen_cache=tmp_path / "cache",
            frozen_cache_bytes=10**9,
        )
        reports = fit(assembly.training)
        started = time.perf_counter()
        next(reports)
        return time.perf_counter() - started

    uncached, _, second = first_step("off"), first_step("auto"), first_step("auto")

    assert second < uncached / 2
