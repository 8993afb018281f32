"""Small trainings that several tests carry out, on rows made from a seed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer.assembly import Assembly, assembled
from trainer.data.dataset import Dataset, described
from trainer.process.commands import Commands
from trainer.process.order import Order, OrderedSource
from trainer.run import Event, Run
from trainer.training import Row, Training
from trainer.training.loop import Report, fit

TOY = Path("toy")
DENSE: list[dict[str, Any]] = [
    {"kind": "dense", "name": "hidden1", "units": 6},
    {"kind": "dense", "name": "hidden2", "units": 5, "dropout": 0.3},
]
CONVOLUTIONAL: list[dict[str, Any]] = [
    {"kind": "conv2d", "name": "conv1", "filters": 3, "kernel_size": 3},
    {"kind": "max_pool2d", "name": "pool1"},
    {"kind": "residual", "name": "block1", "filters": 4},
    {"kind": "dense", "name": "hidden1", "units": 5, "dropout": 0.3},
]


def pictures(rows: int = 44, classes: int = 3, seed: int = 5) -> Dataset:
    """Return a data set of 6x6 images whose brightness tells their class."""
    draw = np.random.default_rng(seed)
    label = draw.integers(0, classes, rows)
    image = draw.integers(0, 120, (rows, 6, 6)) + 40 * label[:, None, None]
    arrays: dict[str, Any] = {"image": image.astype(np.uint8), "label": label}
    return described(TOY, {"train": arrays}, "toy")


def numbers(rows: int = 30, seed: int = 6) -> Dataset:
    """Return a table of three numbers and the number that follows from them."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, 3))
    columns: dict[str, Any] = {f"x{n}": x[:, n] for n in range(3)}
    y = x @ [1.0, -2.0, 0.5] + 0.1 * draw.normal(size=rows)
    return described(TOY, {"train": columns | {"y": y}}, "toy")


def spec(
    layers: list[dict[str, Any]] | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    dataset: Mapping[str, Any] | None = None,
    reuse: list[dict[str, Any]] | None = None,
    **training: Any,
) -> dict[str, Any]:
    """Return a spec on the pictures; what is named replaces a short recipe."""
    recipe = {"epochs": 3, "batch_size": 8, "seed": 7, "early_stopping": "none"}
    return {
        "name": "toy",
        "dataset": {"id": "toy", **(dataset or {})},
        "network": {"layers": DENSE if layers is None else layers}
        | ({"defaults": dict(defaults)} if defaults else {}),
        "reuse": reuse or [],
        "training": recipe | training,
    }


def order(what: Mapping[str, Any], **fields: Any) -> Order:
    """Return the order to train a spec; `sources` are model folders."""
    folders = fields.pop("sources", ())
    sources = tuple(OrderedSource(id=f"mdl_{f.name}", folder=f) for f in folders)
    return Order(spec=dict(what), dataset=TOY, sources=sources, **fields)


def build(what: Mapping[str, Any], data: Dataset, **fields: Any) -> Assembly:
    """Return everything that a spec comes to on a data set."""
    return assembled(order(what, **fields), data)


def trained(training: Training) -> list[Report]:
    """Train to the end, yielding to the caller at every step; return the reports."""
    return list(fit(training, pause_seconds=0))


def history(reports: list[Report]) -> list[Row]:
    """Return the figures of a training that do not depend on the clock."""
    rows = [row for report in reports for row in report.rows]
    return [row for row in rows if row.name != "examples_per_second"]


def weights(training: Training) -> dict[str, torch.Tensor]:
    """Return a copy of everything that the network holds."""
    state = training.network.state_dict()
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def assert_same(left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
    """Fail unless two sets of tensors are equal to the last bit."""
    assert left.keys() == right.keys()
    different = [name for name in left if not torch.equal(left[name], right[name])]
    assert different == []


class Carried(Run):
    """A run on a data set that is in memory."""

    def __init__(self, order: Order, data: Dataset, commands: Commands) -> None:
        super().__init__(order, commands)
        self.data = data

    def assemble(self) -> Assembly:
        """Build on the given data set."""
        return assembled(self.order, self.data)


def carry_out(
    ordered: Order, data: Dataset, commands: Commands | None = None
) -> Iterator[Event]:
    """Yield the events of an order on a data set in memory."""
    return Carried(ordered, data, commands or Commands()).events()


def model(folder: Path, what: Mapping[str, Any], data: Dataset) -> Path:
    """Train a spec and write its model into `folder`."""
    for _ in carry_out(order(what, model=folder), data):
        pass
    return folder
