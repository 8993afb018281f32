"""A trained network as a model folder, with the proof that frozen layers kept still."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from trainer.errors import FrozenMoved
from trainer.frozen import proof
from trainer.saved import model_folder
from trainer.spec.regularization import EarlyStopping
from trainer.training.evaluate import falls
from trainer.training.pruning import ZERO_FRACTION, zero_fractions

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.assembly import Assembly
    from trainer.saved.model_folder import File
    from trainer.training import Training

PREFIX = "layers."
"""What torch puts before a layer's name in the name of a tensor."""


def register(assembly: Assembly, folder: Path) -> tuple[dict[str, File], list[Any]]:
    """Write the model folder; return its files and the proof for frozen tensors.

    Raises:
        FrozenMoved: a frozen tensor is not what its source holds; no model is left.
    """
    tensors = {
        name.removeprefix(PREFIX): tensor
        for name, tensor in assembly.network.state_dict().items()
    }
    files = model_folder.write(
        folder, description(assembly), tensors, assembly.preprocessing.arrays
    )
    before = frozen_before(assembly)
    after = model_folder.read(folder).hashes(before)
    try:
        return files, proof(before, after)
    except FrozenMoved:
        shutil.rmtree(folder)
        raise


def frozen_before(assembly: Assembly) -> dict[str, str]:
    """Return the hash of every tensor that no phase may change, as it was before.

    That is: in its source's file, or as it was drawn.
    """
    always = assembly.resolution.frozen
    return {
        name: assembly.before[name]
        for name in assembly.frozen.tensors()
        if name.partition(".")[0] in always
    }


def description(assembly: Assembly) -> dict[str, Any]:
    """Return what model.json says, but for what only the files know."""
    resolution, order = assembly.resolution, assembly.order
    spec = resolution.resolved()
    parameters = {row["name"]: row for row in resolution.layer_table()}
    zeros = zero_fractions(assembly.network)
    return {
        "name": resolution.spec.name,
        "task": resolution.task,
        "classes": list(resolution.classes),
        "target": list(resolution.target),
        "network": spec["network"],
        "input": {
            "columns": [feature.name for feature in resolution.inputs.features],
            "shape": list(assembly.network.shape),
            "examples": 2 if resolution.inputs.pair else 1,
        },
        "auxiliary_task": spec["dataset"]["auxiliary_task"],
        "layers": [
            {
                key: parameters[name][key]
                for key in (
                    "name",
                    "kind",
                    "inputs",
                    "output_shape",
                    "parameters",
                    "frozen",
                    "source",
                    "source_layer",
                )
            }
            | {ZERO_FRACTION: zeros.get(name)}
            for name in parameters
        ],
        "preprocessing": assembly.preprocessing.described(),
        "metrics": dict(assembly.training.final),
        "training": spec["training"],
        "phases": [
            asdict(each) for each in (*assembly.phases.ended, assembly.phases.report())
        ],
        "serving": spec["serving"],
        "frozen": [
            {"tensor": name, "before": digest}
            for name, digest in frozen_before(assembly).items()
        ],
        "lineage": {
            "dataset": order.dataset_id or assembly.dataset.version,
            "job": order.job,
            "sources": [source.id for source in order.sources],
        },
        "environment": dict(assembly.training.material.fingerprint),
    }


def monitored(training: Training) -> dict[str, Any]:
    """Return the metric that models of one name are compared by, with its value."""
    wish = training.recipe.early_stopping
    held = training.material.validation is not None
    name = "validation_loss" if held else "train_loss"
    if isinstance(wish, EarlyStopping):
        name = wish.monitor
    mode = "min" if falls(name) else "max"
    return {"name": name, "value": training.final.get(name), "mode": mode}
