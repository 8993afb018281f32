"""Reproduce published results over HTTP: the autoencoders of a well-known notebook.

The figures are printed in the notebook of chapter 15 of A. Géron, *Hands-On Machine
Learning* (1st edition, 2017; public repository ageron/handson-ml,
``15_autoencoders.ipynb``): the mean squared error of the last batch of training rows,
or the accuracy on the test rows. One seed was printed there, of steps so long that the
figures jump from epoch to epoch: errors of 150 rows, right after a step on these very
rows, by up to 15 %, accuracies by up to 0.011. So an error counts as met when the
median of our seeds, on 5,000 rows that were not trained on, is at most 15 % above it,
and an accuracy when it is at most 0.02 below.

    frostline up &
    python -m benchmarks.published_autoencoders FOLDER_WITH_THE_IDX_FILES --seeds 1 2 3
"""

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from benchmarks.published import ADAM, TEST, Row, dense, main, spec
from frostline.client import Client

SHARE, JUMP = 0.15, 0.02
"""How far above the published error a median may lie, as a share of it, and how far
below an accuracy."""
ERROR, TRAINED = "validation_mean_squared_error", "train_mean_squared_error"

WEIGHTS = "weights.safetensors"
IMAGES: dict[str, Any] = {"task": "reconstruction", "features": ["image"]}
LABELED: dict[str, Any] = {"split": {"validation": {"rows": [20_000, 60_000]}}}
"""20,000 labelled rows; the others are only looked at."""
HE: dict[str, Any] = {"activation": "elu", "initializer": "he_normal"}
OUTPUT: dict[str, Any] = {"name": "output", "kind": "dense", "initializer": "he_normal"}


def shrunk(scale: float) -> dict[str, Any]:
    """Return the penalty that TensorFlow's ``l2_regularizer(scale)`` is: half of it."""
    return {"l2": scale / 2}


def rebuilt(
    name: str, layers: list[dict[str, Any]], epochs: int, **fields: Any
) -> dict[str, Any]:
    """Return a job that gives the images back, or what a layer makes of them."""
    return spec(name, layers, ADAM, batch=150, epochs=epochs, rows=IMAGES, **fields)


def tied(name: str, to: str) -> dict[str, Any]:
    """Return a layer on the weights of another."""
    return {"name": name, "kind": "tied_dense", "tied_to": to}


def stages(
    name: str, penalty: float, published: tuple[float | None, float | None]
) -> dict[str, Row]:
    """Return two autoencoders, the second on what the first one's code is."""
    shrink = {"regularization": shrunk(penalty), **HE}
    below = [{"from": f"{name}-1", "layers": "hidden1", "freeze": "hidden1"}]
    first = rebuilt(f"{name}-1", [*dense(300), OUTPUT], 4, **shrink)
    second = rebuilt(
        f"{name}-2",
        [*dense(300, 150), OUTPUT | {"activation": "elu"}],
        4,
        reuse=below,
        reconstruct="hidden1",
        frozen_cache="required",
        **shrink,
    )
    return {
        f"{name}-1": Row(first, published[0], ERROR, SHARE),
        f"{name}-2": Row(second, published[1], ERROR, SHARE),
    }


def labeled(name: str, **fields: Any) -> dict[str, Any]:
    """Return a classifier of two hidden layers on the labelled rows."""
    rows = LABELED | {"split": {**LABELED["split"], "test": {"part": "test"}}}
    shrink = {"regularization": shrunk(0.0005), **HE}
    layers = [*dense(300, 150), OUTPUT]
    return spec(name, layers, ADAM, batch=150, epochs=4, rows=rows, **shrink, **fields)


ROWS: dict[str, Row] = {
    "stacked": Row(
        rebuilt(
            "stacked",
            [*dense(300, 150, 300), OUTPUT],
            5,
            regularization=shrunk(0.0001),
            **HE,
        ),
        0.0103724,
        ERROR,
        SHARE,
    ),
    "tied": Row(
        rebuilt(
            "tied",
            [*dense(300, 150), tied("hidden3", "hidden2"), tied("output", "hidden1")],
            5,
            regularization=shrunk(0.0005),
            **HE,
        ),
        0.0155875,
        ERROR,
        SHARE,
    ),
    **stages("graphs", 0.0005, (0.0192315, 0.0044039)),
    # there the second one begins with the bias corrections of Adam where the first one
    # has ended, so its steps are others; what both come to is measured as one network
    **stages("cached", 0.0001, (0.00783768, None)),
    "labeled": Row(labeled("labeled"), 0.9494, TEST, JUMP),
    "pretrained": Row(
        labeled("pretrained", reuse=[{"from": "cached-2", "layers": "hidden[12]"}]),
        0.9401,
        TEST,
        JUMP,
    ),
    # measured there with the noise, here over the whole last epoch
    "noise": Row(
        rebuilt(
            "noise",
            [
                {"name": "noise", "kind": "gaussian_noise", "deviation": 1.0},
                *dense(300, 150, 300),
            ],
            10,
        ),
        0.0408181,
        TRAINED,
        SHARE,
    ),
    "drop": Row(
        rebuilt(
            "drop",
            [{"name": "drop", "kind": "dropout", "rate": 0.3}, *dense(300, 150, 300)],
            10,
        ),
        0.0242349,
        ERROR,
        SHARE,
    ),
}

STACK = 0.0097786
"""Error on the test images of the two cached autoencoders, one within the other."""


def stack_met(client: Client, folder: Path) -> bool:
    """Put the two cached autoencoders together and measure them on the test images."""
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 784)
    with TemporaryDirectory() as own:
        outer, inner = (
            load_file(client.models.download(name, Path(own, name), names=[WEIGHTS])[0])
            for name in ("cached-1", "cached-2")
        )
    x = pixels.astype(np.float32) / 255
    found = x
    for name in ("hidden1", "hidden2", "output"):
        sums = found @ inner[f"{name}.weight"].T + inner[f"{name}.bias"]
        found = np.where(sums > 0, sums, np.expm1(np.minimum(sums, 0)))
    found = found @ outer["output.weight"].T + outer["output.bias"]
    error = float(np.square(found - x).mean())
    met = error <= STACK * (1 + SHARE)
    print(f"the whole    published {STACK:.4f}  reached {error:.4f}  met: {met}")
    return met


if __name__ == "__main__":
    main(ROWS, stack_met)
