"""Measure what pruning and fast graphs cost in accuracy and gain in bytes and time.

Trains 784-300-100-10 on MNIST for a few epochs per row (leaky ReLU, batch
normalisation), prunes it or serves it in other ways, and prints test accuracy, the
share of zeros, the sizes of the files, and the medians of repeated answers on one
thread. FOLDER holds the four official files of MNIST.

    python benchmarks/fast_and_sparse.py FOLDER [--epochs N] [--rows N]
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from trainer.assembly import Assembly, assembled
from trainer.data.dataset import Dataset, open_dataset
from trainer.process.order import Order
from trainer.saved.model_folder import WEIGHTS
from trainer.saved.registration import register
from trainer.saved.sparse_weights import SPARSE
from trainer.serving.held import held_rows
from trainer.serving.served import serve
from trainer.spec.serving import Serving
from trainer.training.loop import fit

LAYERS = [
    {"kind": "dense", "name": "hidden1", "units": 300, "dropout": 0},
    {"kind": "dense", "name": "hidden2", "units": 100, "dropout": 0},
]
NESTEROV = {"kind": "nesterov", "learning_rate": 0.05}
FTRL = {"kind": "ftrl", "learning_rate": 0.2}
SPARSE_WAYS: dict[str, dict[str, Any]] = {
    "as trained": {},
    "magnitude 0.8": {"pruning": {"kind": "magnitude", "sparsity": 0.8}},
    "magnitude 0.9": {"pruning": {"kind": "magnitude", "sparsity": 0.9}},
    "magnitude 0.95": {"pruning": {"kind": "magnitude", "sparsity": 0.95}},
    "gradual 0.9": {"pruning": {"kind": "gradual", "final_sparsity": 0.9}},
    "gradual 0.95": {"pruning": {"kind": "gradual", "final_sparsity": 0.95}},
    "gradual 0.98": {"pruning": {"kind": "gradual", "final_sparsity": 0.98}},
    "l1 0.0001": {"regularization": {"l1": 1e-4}},
    "ftrl, l1 0.1": {"optimizer": FTRL | {"l1": 0.1}},
    "ftrl, l1 0.3": {"optimizer": FTRL | {"l1": 0.3}},
}
FAST_WAYS: dict[str, dict[str, Any]] = {
    "fold": {"fold_normalization": True},
    "float16": {"precision": "float16"},
    "int8": {"precision": "int8"},
    "fold, int8": {"fold_normalization": True, "precision": "int8"},
}


def trained(
    data: Dataset, options: argparse.Namespace, activation: str, **recipe: Any
) -> Assembly:
    """Return a trained network on the first rows of the training part."""
    spec = {
        "name": "benchmark",
        "dataset": {
            "id": "mnist",
            "split": {"validation": {"rows": [0, 5000]}, "test": {"part": "test"}},
            "examples_per_class": options.rows // 10,
        },
        "network": {"layers": LAYERS, "defaults": {"activation": activation}},
        "training": {
            "optimizer": NESTEROV,
            "epochs": options.epochs,
            "early_stopping": "none",
            "doctor": "off",
        }
        | recipe,
    }
    found = assembled(Order(spec=spec, dataset=options.folder), data)
    for _ in fit(found.training):
        pass
    return found


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rows", type=int, default=20_000)
    options = parser.parse_args()
    data = open_dataset(options.folder)
    with tempfile.TemporaryDirectory() as folder:
        print("| pruning | zeros | test accuracy | bytes | without zeros |")
        print("|---|---|---|---|---|")
        for number, (name, recipe) in enumerate(SPARSE_WAYS.items()):
            found = trained(data, options, "leaky_relu", **recipe)
            sparse(name, found, Path(folder) / str(number))
        print("\n| activation | graph | test accuracy | bytes | one row | 256 rows |")
        print("|---|---|---|---|---|---|")
        for activation in ("leaky_relu", "elu"):
            found = trained(data, options, activation)
            for name, wish in FAST_WAYS.items():
                fast(f"{activation} | {name}", found, Path(folder), wish)


def sparse(name: str, found: Assembly, folder: Path) -> None:
    """Print a row of the first table."""
    files, _ = register(found, folder)
    final = found.training.final
    small = files.get(SPARSE)
    print(
        f"| {name} | {final['zero_fraction']:.3f} | {final['test_accuracy']:.4f} | "
        f"{files[WEIGHTS].bytes:,} | {'-' if small is None else f'{small.bytes:,}'} |",
        flush=True,
    )


def fast(name: str, found: Assembly, folder: Path, wish: dict[str, Any]) -> None:
    """Print a row of the second table, before → after."""
    graph = folder / "model.onnx"
    asked = Serving.model_validate(wish)
    report = serve(
        found.network, found.rows[:64], graph, asked, held_rows(found)
    ).report
    accuracy = report["metrics"]["test"]
    cells = [
        f"{accuracy[when]['accuracy']:.4f} | {report['bytes'][when]:,} | "
        f"{report['latency'][when]['single_ms']:.3f} ms | "
        f"{report['latency'][when]['batch_ms']:.2f} ms"
        for when in ("before", "after")
    ]
    pairs = zip(*(cell.split(" | ") for cell in cells), strict=True)
    told = " | ".join(f"{before} → {after}" for before, after in pairs)
    print(f"| {name} | {told} |", flush=True)


if __name__ == "__main__":
    main()
