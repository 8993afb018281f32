"""Everything that regularises at once: stopped anywhere, resumed bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer import trainings
from tests.trainer.trainings import CONVOLUTIONAL, DENSE, pictures, spec
from trainer.assembly import Assembly
from trainer.saved import checkpoint
from trainer.training.loop import fit

ALL: dict[str, Any] = {
    "epochs": 4,
    "optimizer": {"kind": "nesterov", "learning_rate": 0.05},
    "regularization": {"l2": 1e-3, "max_norm": 1.5, "weight_decay": 0.01},
    "augmentation": [
        {"kind": "flip"},
        {"kind": "shift"},
        {"kind": "rotate"},
        {"kind": "noise"},
        {"kind": "erase"},
    ],
    "sampling": "balanced",
    "early_stopping": {"patience": 3, "start_after": 1},
}
RECIPES: dict[str, dict[str, Any]] = {
    "moving average": {
        **ALL,
        "averaging": {"kind": "exponential_moving_average", "decay": 0.8},
        "mixing": "mixup",
        "loss": {"kind": "softmax_cross_entropy", "label_smoothing": 0.1},
    },
    "stochastic average": {
        **ALL,
        "averaging": {
            "kind": "stochastic_weight_averaging",
            "start": 6,
            "every": 2,
        },
        "mixing": "cutmix",
        "class_weights": {"1": 2.0},
        "evaluate_every": {"steps": 4},
        "early_stopping": "none",
    },
}
STEPS = 20
"""36 rows in batches of 8 are 5 steps in each of 4 epochs."""


@pytest.fixture(params=list(RECIPES))
def build(request: pytest.FixtureRequest) -> Callable[[], Assembly]:
    recipe = RECIPES[request.param]
    return lambda: trainings.build(spec(CONVOLUTIONAL, **recipe), pictures())


def test_resuming_at_any_step_equals_never_having_stopped(
    build: Callable[[], Assembly], tmp_path: Path
) -> None:
    straight = build().training
    history = trainings.history(trainings.trained(straight))
    expected, last = trainings.weights(straight), straight.step

    training, rows = build().training, []
    while True:
        report = next(iter(fit(training, pause_seconds=0)))
        rows += trainings.history([report])
        if report.done:
            break
        saved = checkpoint.write(tmp_path, training.snapshot())
        torch.manual_seed(999)  # a new process knows nothing of the old one's draws
        training = build().training
        assert training.restore(checkpoint.read(saved.folder))

    assert last == training.step
    assert rows == history
    trainings.assert_same(trainings.weights(training), expected)
    assert training.final == straight.final


def test_all_of_it_trains_in_parts_of_a_batch() -> None:
    layers = [{**DENSE[0], "normalization": "none", "dropout": 0}]
    recipe = {**RECIPES["moving average"], "regularization": {"weight_decay": 0.01}}
    found = []
    for micro_batch in (None, 3):
        built = trainings.build(
            spec(layers, **recipe), pictures(), micro_batch=micro_batch
        )
        trainings.trained(built.training)
        found.append(trainings.weights(built.training))

    torch.testing.assert_close(found[0], found[1])


def test_averages_and_weights_go_with_kept_outputs_of_frozen_layers(
    tmp_path: Path,
) -> None:
    source = trainings.model(tmp_path / "m", spec(DENSE, epochs=1), pictures())
    reuse = [{"from": "source", "layers": "hidden1", "freeze": "hidden1"}]
    recipe = {
        "averaging": RECIPES["stochastic average"]["averaging"],
        "class_weights": "balanced",
        "sampling": "balanced",
        "regularization": {"weight_decay": 0.01},
        "reuse": reuse,
    }
    found = []
    for mode in ("auto", "off"):
        built = trainings.build(
            spec(DENSE, frozen_cache=mode, **recipe), pictures(), sources=[source]
        )
        trainings.trained(built.training)
        assert built.outputs.keeps == (mode == "auto")
        found.append(trainings.weights(built.training))

    trainings.assert_same(*found)
