"""Rules about the layers: kinds follow from the input, sizes from the rows."""

from typing import Any

from trainer.spec.advice import sources
from trainer.spec.advice.case import FEW_PIXELS, Case
from trainer.spec.advice.draft import Advised, Take, rule

LAYERS = ("network", "layers")
FILTERS = (32, 64, 128, 256, 256)
"""Filters of the blocks of a network for images, from below."""
MOST_UNITS = 1024
STEPS_TO_CONVOLVE = 8
"""Steps from which a sequence is convolved."""
MANY_ROWS = 10_000
Layers = list[dict[str, Any]]


@rule(sources.CONVOLUTION)
def images_are_convolved(case: Case) -> Advised:
    """Stack 3 x 3 convolutions and halve the picture after each block."""
    if case.form != "image":
        return
    layers, side = _convolutions(case)
    if side >= FEW_PIXELS:
        layers.append({"name": "pool", "kind": "global_average_pool2d"})
    layers.append(_dense(case, "hidden1", 64 if _lean(case) else 128))
    height, across = case.inputs.shape[1:]
    blocks = sum(layer["kind"] == "conv2d" for layer in layers)
    yield Take(
        LAYERS,
        layers,
        f"the input is a picture of {height} x {across} pixels: {blocks} convolutions "
        "of 3 x 3 find what lies near each other, wherever it lies"
        + _size(case, "few filters"),
    )


def _convolutions(case: Case) -> tuple[Layers, int]:
    """Return the blocks below, and the side of what comes out of them."""
    side, layers = case.side, []
    for number, filters in enumerate(FILTERS, start=1):
        if number > 1 and side < FEW_PIXELS:
            break
        layers.append(
            {
                "name": f"conv{number}",
                "kind": "conv2d",
                "filters": filters // 2 if _lean(case) else filters,
                "kernel_size": 3,
                "padding": "same",
            }
        )
        if side >= FEW_PIXELS:
            layers.append({"name": f"pool{number}", "kind": "max_pool2d"})
            side //= 2
    return layers, side


@rule(sources.SENTENCES)
def texts_are_embedded(case: Case) -> Advised:
    """Look up a vector for each token, and find the phrases that matter."""
    if case.form != "text":
        return
    units = 32 if _lean(case) else 64
    layers: Layers = [{"name": "tokens", "kind": "embedding", "units": units}]
    if _lean(case):
        layers.append({"name": "mean", "kind": "global_average_pool1d"})
        layers.append(_dense(case, "hidden1", 32))
        reason = (
            "the input is a text: the mean of its tokens' vectors is quick and, with "
            "few rows, hard to beat" + _size(case, "the simplest network")
        )
        yield Take(LAYERS, layers, reason, sources.BAGS)
        return
    layers += [
        _sliding("phrases", 2 * units, min(5, case.inputs.shape[0])),
        {"name": "strongest", "kind": "global_max_pool1d"},
        _dense(case, "hidden1", 64),
    ]
    yield Take(
        LAYERS,
        layers,
        "the input is a text: each token gets a learned vector, a convolution finds "
        "phrases, and the strongest find of each counts",
    )


@rule(sources.SIGNALS)
def sequences_are_walked(case: Case) -> Advised:
    """Convolve long sequences; read short ones and time series step by step."""
    if case.form != "sequence":
        return
    steps, features = case.inputs.shape
    is_series = case.inputs.windows is not None
    walks = is_series or steps < STEPS_TO_CONVOLVE
    told = f"the input is a sequence of {steps} steps of {features}"
    units = 32 if _lean(case) else 64
    if walks and not case.wants("very_fast_model"):
        layers: Layers = [
            {"name": "memory", "kind": "gru", "units": units},
            _dense(case, "hidden1", units),
        ]
        reason = f"{told}: a gated recurrent layer reads it in its order"
        yield Take(LAYERS, layers, reason, sources.SERIES)
        return
    layers = [_sliding("conv1", units, min(5, steps))]
    if steps >= STEPS_TO_CONVOLVE:
        layers.append({"name": "pool1", "kind": "max_pool1d"})
    layers += [
        _sliding("conv2", 2 * units, min(3, max(1, steps // 2))),
        {"name": "pool2", "kind": "global_average_pool1d"},
        _dense(case, "hidden1", units),
    ]
    yield Take(
        LAYERS,
        layers,
        f"{told}: convolutions see all steps at once, a recurrent layer one by one",
    )


@rule(sources.GUIDE)
def tables_are_dense(case: Case) -> Advised:
    """Connect every number with every unit, in layers that get narrower."""
    if case.form not in {"table", "array"}:
        return
    first, second = 128, 64
    if case.smallness:
        first, second = 64, 32
    elif case.rows >= MANY_ROWS:
        first, second = 300, 100
    if case.wants("very_fast_model"):
        first, second = first // 2, second // 2
    layers = [
        _dense(case, "hidden1", max(first, _for_classes(case))),
        _dense(case, "hidden2", max(second, _for_classes(case))),
    ]
    yield Take(
        LAYERS,
        layers,
        f"the input is {case.width:,} number{'s' * (case.width != 1)} without a "
        f"neighbourhood and there are {case.rows:,} rows: two dense layers"
        + _size(case, "few units"),
    )


def _lean(case: Case) -> bool:
    return bool(case.smallness) or case.wants("very_fast_model")


def _size(case: Case, words: str) -> str:
    """Say why the network is small, where it is."""
    if case.wants("very_fast_model"):
        return f"; {words}, because {case.asked('very_fast_model')}"
    return f"; {words}, because {case.smallness}" if case.smallness else ""


def _sliding(name: str, filters: int, kernel: int) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "conv1d",
        "filters": filters,
        "kernel_size": kernel,
        "padding": "same",
    }


def _dense(case: Case, name: str, units: int) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "dense",
        "units": max(units, _for_classes(case)),
    }


def _for_classes(case: Case) -> int:
    """Return how many units the classes ask for: no fewer than there are of them."""
    return min(len(case.counts), MOST_UNITS)
