"""The model folder of an imported network, as `trainer.saved.model_folder` reads it.

That module needs torch; here numpy writes the same files, and a test has the one
verify what the other wrote.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from safetensors.numpy import save_file

from trainer.importing.network import tensors_by_layer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trainer.importing.found import Array
    from trainer.importing.network import Settled
    from trainer.preprocessing import Preprocessing
    from trainer.spec.imports import ImportForm

FORMAT = 1
DESCRIPTION, WEIGHTS = "model.json", "weights.safetensors"
PREPROCESSING, GRAPH = "preprocessing.safetensors", "model.onnx"


def tensor_sha256(array: Array) -> str:
    """Return the SHA-256 of an array's type, shape and bytes."""
    digest = hashlib.sha256(
        f"{array.dtype} {list(array.shape)}\n".encode(), usedforsecurity=False
    )
    digest.update(array.tobytes())
    return digest.hexdigest()


def file_facts(path: Path) -> dict[str, Any]:
    """Return the size and the SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return {"sha256": digest.hexdigest(), "bytes": file.tell()}


def write(  # noqa: PLR0917 - what a model folder is made of
    folder: Path,
    form: ImportForm,
    settled: Settled,
    preprocessing: Preprocessing,
    told: Mapping[str, Any],
    metrics: Mapping[str, float | None],
) -> dict[str, Any]:
    """Write weights, preprocessing and description; return the description.

    `told` is what the card says of the import: format, files, licence, check, table.
    """
    save_file(settled.tensors, folder / WEIGHTS)
    save_file(dict(preprocessing.arrays), folder / PREPROCESSING)
    for name in (WEIGHTS, PREPROCESSING):
        (folder / name).chmod(0o644)
    description: dict[str, Any] = {
        "name": form.name,
        "task": settled.task,
        "classes": list(settled.classes),
        "target": [form.target] if form.target else [],
        "network": settled.spec.model_dump(mode="json", exclude_none=True),
        "input": {
            "columns": [c.name for c in preprocessing.description.columns],
            "shape": list(settled.input_shape),
        },
        "preprocessing": preprocessing.described(),
        "metrics": dict(metrics),
        "frozen": [],
        "lineage": {"dataset": None, "job": None, "sources": []},
        "import": dict(told),
        "format": FORMAT,
        "layers": _layers(settled),
        "files": {n: file_facts(folder / n) for n in (WEIGHTS, PREPROCESSING)},
    }
    text = json.dumps(description, allow_nan=False, ensure_ascii=False, indent=1)
    (folder / DESCRIPTION).write_text(f"{text}\n", encoding="utf-8")
    return description


def _layers(settled: Settled) -> list[dict[str, Any]]:
    return [
        {
            "name": row.name,
            "kind": row.kind,
            "inputs": list(row.inputs),
            "output_shape": list(row.output_shape),
            "parameters": row.parameters,
            "frozen": False,
            "source": None,
            "tensors": [
                {
                    "name": name,
                    "shape": list(array.shape),
                    "dtype": str(array.dtype),
                    "sha256": tensor_sha256(array),
                }
                for name, array in tensors_by_layer(settled.tensors, row.name)
            ],
        }
        for row in settled.rows
    ]
