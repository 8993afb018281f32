"""How good a network is on rows: the metrics of each task, named without a prefix.

Outputs arrive in chunks and are summed in float64, so the figures do not depend on
the order of rows or, beyond the last bits, on the size of the chunks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

    from trainer.spec.losses import Task

LOWER_IS_BETTER = ("loss", "error")
"""A metric whose name ends so shall fall; all others shall rise."""


def falls(metric: str) -> bool:
    """Return whether smaller values of the metric are better."""
    return metric.endswith(LOWER_IS_BETTER)


@dataclass(frozen=True)
class Measure:
    """What is measured: the task and the loss that was trained on."""

    task: Task
    loss: Callable[[Tensor, Tensor], Tensor]
    """Mean loss of outputs and targets."""
    units: Tensor | None = None
    """For a regression on scaled targets: what one of each target stands for, so that
    errors are told in the target's own units (the loss is that of the scaled ones)."""


@torch.inference_mode()
def evaluate(
    measure: Measure, pairs: Iterable[tuple[Tensor, Tensor]]
) -> dict[str, float]:
    """Return the metrics of chunks of (outputs, targets), waiting for the device once.

    Shapes:
        outputs: (rows, outputs); targets: (rows,) class numbers or (rows, outputs).
    """
    sums = Sums()
    for outputs, targets in pairs:
        loss = measure.loss(outputs, targets)
        sums.add("loss", loss.double() * len(targets))
        sums.rows += len(targets)
        add_outputs(measure.task, sums, outputs, targets)
    return figures(measure, sums)


@dataclass
class Sums:
    """Running sums over the chunks, left on the device."""

    rows: int = 0
    totals: dict[str, Tensor] = field(default_factory=dict)
    scores: list[Tensor] = field(default_factory=list)
    """Of two classes: how much the outputs speak for the second."""
    truths: list[Tensor] = field(default_factory=list)

    def add(self, name: str, value: Tensor) -> None:
        """Add to the sum of that name."""
        known = self.totals.get(name)
        self.totals[name] = value if known is None else known + value


def _classes(sums: Sums, outputs: Tensor, targets: Tensor) -> None:
    sums.add("right", (outputs.argmax(1) == targets).sum())
    if outputs.shape[1] == 2:  # noqa: PLR2004 - two classes have one curve
        sums.scores.append(outputs[:, 1] - outputs[:, 0])
        sums.truths.append(targets)


def _labels(sums: Sums, outputs: Tensor, targets: Tensor) -> None:
    right = (outputs > 0) == (targets > 0.5)  # noqa: PLR2004 - labels are 0 and 1
    sums.add("right", right.sum() / right.shape[1])
    sums.add("exact", right.all(dim=1).sum())


def _numbers(sums: Sums, outputs: Tensor, targets: Tensor) -> None:
    wide, true = outputs.double(), targets.double()
    sums.add("squares", (wide - true).square().sum(0))
    sums.add("distances", (wide - true).abs().sum(0))
    sums.add("targets", true.sum(0))
    sums.add("target squares", true.square().sum(0))


def _inputs(sums: Sums, outputs: Tensor, targets: Tensor) -> None:
    sums.add("squares", (outputs - targets.flatten(1)).double().square().mean(1).sum())


_TASKS: dict[Task, Callable[[Sums, Tensor, Tensor], None]] = {
    "classification": _classes,
    "multi_label": _labels,
    "regression": _numbers,
    "reconstruction": _inputs,
}


def add_outputs(task: Task, sums: Sums, outputs: Tensor, targets: Tensor) -> None:
    """Add to the sums what the task's metrics need, the loss excepted."""
    _TASKS[task](sums, outputs, targets)


def figures(measure: Measure, sums: Sums) -> dict[str, float]:
    """Turn the sums into metrics; here the device is waited for."""
    means = {name: total.double() / sums.rows for name, total in sums.totals.items()}
    found = {"loss": float(means["loss"])}
    task = measure.task
    if task == "classification":
        found["accuracy"] = float(means["right"])
        if sums.scores:
            area = roc_auc(torch.cat(sums.scores), torch.cat(sums.truths) == 1)
            found |= {} if area is None else {"roc_auc": area}
    elif task == "multi_label":
        found["accuracy"] = float(means["right"])
        found["exact_match"] = float(means["exact"])
    else:
        units = 1.0 if measure.units is None else measure.units
        found["mean_squared_error"] = float((means["squares"] * units * units).mean())
    if task == "regression":
        found["mean_absolute_error"] = float((means["distances"] * units).mean())
        variance = means["target squares"] - means["targets"].square()
        if bool((variance > 0).all()):
            found["r2"] = float((1 - means["squares"] / variance).mean())
    return found


def roc_auc(scores: Tensor, positive: Tensor) -> float | None:
    """Return the area under the ROC curve; None where one of the classes is absent.

    The share of pairs of a positive and a negative that the scores put in the right
    order, equal scores counting half. Source: Hanley and McNeil (1982), Radiology 143.

    Shapes:
        scores, positive: (rows,).
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    _, group, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    ranks = (last - (counts.double() - 1) / 2)[group]  # equal scores share a rank
    above = float(ranks[positive].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)
