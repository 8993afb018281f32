"""Networks broken on purpose and healthy ones, on real data that fits into a second."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets

from api.job_actions import merged
from tests.trainer.trainings import carry_out, order
from trainer.data.dataset import Dataset, described
from trainer.errors import TrainerError

Json = dict[str, Any]
PLAIN: Json = {"normalization": "none", "dropout": 0.0}
SCALED: Json = {"standardize": True}


@functools.cache
def digits() -> Dataset:
    """Return 1,797 handwritten digits as 8 x 8 images of whole numbers from 0 to 16."""
    found = datasets.load_digits()
    image = found.images.astype(np.uint8)[..., np.newaxis]
    arrays = {"image": image, "label": found.target}
    return described(Path("digits"), {"train": arrays}, "digits")


@functools.cache
def table(name: str) -> Dataset:
    """Return one of the tables that scikit-learn carries."""
    found: Any = getattr(datasets, f"load_{name}")()
    pairs = zip(found.feature_names, found.data.T, strict=True)
    columns: Json = {str(feature): column.astype(float) for feature, column in pairs}
    kind = float if name == "diabetes" else np.int64
    columns["label"] = found.target.astype(kind)
    return described(Path(name), {"train": columns}, name)


@functools.cache
def rows(share: float, signal: float) -> Dataset:
    """Return a table whose rarer class has a share, and as much to tell it by."""
    draw = np.random.default_rng(3)
    label = (draw.random(900) < share).astype(np.int64)
    columns: Json = {f"x{n}": draw.normal(size=900) + signal * label for n in range(6)}
    return described(Path("rows"), {"train": columns | {"label": label}}, "rows")


def stack(depth: int, units: int = 40, **fields: Any) -> list[Json]:
    """Return dense layers of equal width."""
    return [{"kind": "dense", "units": units, **fields} for _ in range(depth)]


def job(
    layers: list[Json],
    defaults: Mapping[str, Any] | None = None,
    dataset: Mapping[str, Any] | None = None,
    **training: Any,
) -> Json:
    """Return a spec with a short recipe."""
    return {
        "name": "case",
        "dataset": {"id": "case", "target": "label", **(dataset or {})},
        "network": {"layers": layers, "defaults": dict(defaults or {})},
        "training": {"epochs": 6, "batch_size": 64, "seed": 1, **training},
    }


def normal(deviation: float) -> Json:
    """Return the initialiser that knows nothing of the layer."""
    return {"kind": "normal", "deviation": deviation}


def sgd(rate: float) -> Json:
    """Return plain gradient descent."""
    return {"kind": "sgd", "learning_rate": rate}


def plain(activation: str, initializer: Any = "he_normal") -> Json:
    """Return defaults without normalisation and dropout."""
    return {**PLAIN, "activation": activation, "initializer": initializer}


CONVOLUTIONAL: list[Json] = [
    {"kind": "conv2d", "filters": 8, "padding": "same"},
    {"kind": "max_pool2d"},
    {"kind": "conv2d", "filters": 16},
    {"kind": "flatten"},
    {"kind": "dense", "units": 32},
]

HEALTHY: dict[str, tuple[Json, Any]] = {
    "the practical guide's recipe": (job(stack(2)), digits),
    "deep with batch normalisation": (job(stack(12), {"dropout": 0.0}), digits),
    "rectifiers with He": (job(stack(3), plain("relu"), SCALED), digits),
    "tanh with Glorot": (
        job(stack(3), plain("tanh", "glorot_uniform"), SCALED),
        digits,
    ),
    "one layer of sigmoids": (
        job(stack(1), plain("sigmoid", "glorot_uniform"), SCALED),
        digits,
    ),
    "self-normalising": (job(stack(6), plain("selu", "lecun_normal"), SCALED), digits),
    "leaky rectifiers with Adam": (
        job(
            stack(2),
            plain({"kind": "leaky_relu", "negative_slope": 0.2}),  # type: ignore[arg-type]
            SCALED,
            optimizer="adam",
        ),
        digits,
    ),
    "slow but fine": (
        job(stack(2), plain("elu"), SCALED, optimizer=sgd(0.005), epochs=15),
        digits,
    ),
    "convolutional": (job(CONVOLUTIONAL, epochs=4), digits),
    "convolutional, on dim images, with statistics that settle late": (
        job(
            [
                {"kind": "conv2d", "filters": 16, "padding": "same"},
                {"kind": "conv2d", "filters": 32, "padding": "same"},
                {"kind": "max_pool2d"},
                {"kind": "dense", "units": 50},
            ],
            None,
            {"where": {"label": {"in": [0, 1, 2, 3, 4]}}},
            epochs=8,
        ),
        digits,
    ),
    "linear": (job([], None, SCALED), digits),
    "one epoch": (job(stack(2), epochs=1), digits),
    "half of the units dropped": (job(stack(2, 80), {"dropout": 0.5}), digits),
    "a small table": (job(stack(1, 16), epochs=30), lambda: table("iris")),
    "a noisy regression": (job(stack(2, 16), epochs=40), lambda: table("diabetes")),
    "unequal classes that can be told": (
        job(stack(2, 16), epochs=12),
        lambda: rows(0.1, 1.5),
    ),
    "a loss that noise keeps high": (
        job(stack(2, 16), epochs=12),
        lambda: rows(0.5, 0.3),
    ),
}


RECTIFIERS_DEEP = job(stack(10), plain("relu"), SCALED)
TANH_WIDE = job(stack(4, 80), plain("tanh", "glorot_uniform"), SCALED)


@dataclass(frozen=True)
class Broken:
    """A network broken on purpose: what is wrong, and its healthy twin."""

    spec: Json
    code: str
    """What must be named."""
    twin: str | Json = "the practical guide's recipe"
    """Its name among the healthy, or a spec."""
    data: Any = digits
    first: str = ""
    """The root cause, where the named fault is a consequence."""
    curable: bool = True


BROKEN: dict[str, Broken] = {
    "sigmoids 20 deep with N(0, 1)": Broken(
        job(stack(20), plain("sigmoid", normal(1.0))),
        "vanishing_gradients",
        "deep with batch normalisation",
        first="poor_initialization",
    ),
    "sigmoids 8 deep with Glorot": Broken(
        job(stack(8), plain("sigmoid", "glorot_uniform"), SCALED),
        "vanishing_gradients",
        "deep with batch normalisation",
    ),
    "rectifiers at learning rate 10": Broken(
        job(stack(2), plain("relu"), optimizer=sgd(10.0)),
        "dying_relu",
    ),
    "rectifiers switched off by biases": Broken(
        job(
            stack(2, bias_initializer={"kind": "constant", "value": -10.0}),
            plain("relu"),
        ),
        "dying_relu",
        first="poor_initialization",
    ),
    "weights all zero": Broken(
        job(stack(2), {"initializer": "zeros"}), "poor_initialization"
    ),
    "tanh with N(0, 1)": Broken(
        job(stack(4, 80), plain("tanh", normal(1.0)), SCALED),
        "saturated_units",
        TANH_WIDE,
        first="poor_initialization",
    ),
    "rectifiers 10 deep with N(0, 1)": Broken(
        job(stack(10), plain("relu", normal(1.0)), SCALED),
        "exploding_gradients",
        RECTIFIERS_DEEP,
        first="poor_initialization",
    ),
    "a learning rate of 1000": Broken(
        job(stack(2), plain("elu"), SCALED, optimizer=sgd(1000.0)), "diverging"
    ),
    "a learning rate of a millionth": Broken(
        job(stack(2), optimizer={"kind": "nesterov", "learning_rate": 1e-8}),
        "loss_not_falling",
    ),
    "a single unit": Broken(
        job(stack(1, 1), epochs=15),
        "underfitting",
    ),
    "a penalty that wins": Broken(
        job(stack(2), regularization={"l2": 1.0}, epochs=10), "underfitting"
    ),
    "a few rows learned by heart": Broken(
        job(
            stack(2, 100),
            {"dropout": 0.0},
            {"examples_per_class": 4},
            epochs=110,
            early_stopping="none",
        ),
        "overfitting",
        curable=False,
    ),
    "a class too rare to be answered": Broken(
        job(stack(2, 16), epochs=12),
        "class_collapse",
        data=lambda: rows(0.05, 0.2),
        curable=False,
    ),
}


@dataclass(frozen=True)
class Told:
    """What became of a training."""

    findings: list[Json]
    metrics: Mapping[str, float]
    failed: str | None = None

    @property
    def score(self) -> float:
        """Return the accuracy on the test rows; 0 if the training failed."""
        return self.metrics.get("test_accuracy", 0.0)


def tell(spec: Json, data: Dataset) -> Told:
    """Train a spec and return what the doctor said of it."""
    findings: list[Json] = []
    metrics: Mapping[str, float] = {}
    try:
        for event in carry_out(order(spec), data):
            json.dumps(event, allow_nan=False)
            if event["event"] == "diagnostic":
                findings.append(event)
            if event["event"] == "result":
                metrics = event["metrics"]
    except TrainerError as error:
        return Told(findings, {}, error.reason)
    return Told(findings, metrics)


@functools.cache
def told(name: str) -> Told:
    """Return what became of a case by its name; it is trained once."""
    if name in HEALTHY:
        spec, data = HEALTHY[name]
        return tell(spec, data())
    case = BROKEN[name]
    return tell(case.spec, case.data())


@functools.cache
def twin(name: str) -> Told:
    """Return what becomes of the healthy twin of a broken network."""
    case = BROKEN[name]
    if isinstance(case.twin, str):
        return told(case.twin)
    return tell(case.twin, case.data())


def cured(name: str) -> Told:
    """Return what becomes of a broken network with the first patch that is offered."""
    case = BROKEN[name]
    finding = next(f for f in told(name).findings if f["severity"] != "info")
    return tell(merged(case.spec, finding["patch"]), case.data())
