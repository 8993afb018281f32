"""Metrics of the training rows, gathered while they are trained on.

Nothing here waits for the device: outputs are kept as they come and added up every
few steps; figures are read once per evaluation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from trainer.training.evaluate import Sums, add_outputs, figures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from trainer.training.evaluate import Measure

STEPS = 64
"""Steps whose outputs are kept before they are added up."""
NUMBERS = 2**20
"""Outputs that are kept at most, whatever the number of steps."""
OUTPUTS, CHOSEN, LOSS, SUM = "outputs", "chosen", "loss", "sum."


class Tally:
    """What the steps since the last evaluation have shown.

    Shapes:
        targets: those of all training rows.
    """

    def __init__(self, measure: Measure, targets: Tensor) -> None:
        self.measure, self.targets = measure, targets
        self.onlooker: Callable[[Tensor, Tensor], None] | None = None
        """Is shown all outputs with their targets, some steps at a time."""
        self._outputs: list[Tensor] = []
        self._chosen: list[Tensor] = []
        self.clear()

    def clear(self) -> None:
        """Begin again."""
        self.rows = 0
        self.loss = torch.zeros((), dtype=torch.float64, device=self.targets.device)
        self._sums = Sums()
        self._forget()

    def add(self, loss: Tensor, outputs: Tensor, chosen: Tensor) -> None:
        """Note a step: the batch's mean loss, its outputs and which rows it had."""
        self.rows += len(chosen)
        self.loss.add_(loss, alpha=len(chosen))
        self._outputs.append(outputs)
        self._chosen.append(chosen)
        self._steps += 1
        self._kept += outputs.numel()
        if self._steps >= STEPS or self._kept > NUMBERS:
            self._add_up()

    def read(self) -> dict[str, float]:
        """Return the metrics, wait for the device, and begin again."""
        self._add_up()
        self._sums.rows = self.rows
        self._sums.totals["loss"] = self.loss
        read = figures(self.measure, self._sums)
        self.clear()
        return read

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what a checkpoint needs to go on counting, to the last bit."""
        kept = {LOSS: self.loss}
        kept |= {f"{SUM}{name}": total for name, total in self._sums.totals.items()}
        if self._outputs:
            kept[OUTPUTS] = torch.cat(self._outputs)
            kept[CHOSEN] = torch.cat(self._chosen)
        return kept, {"rows": self.rows, "steps": self._steps}

    def restore(
        self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
    ) -> None:
        """Go on from what `state` returned."""
        self.clear()
        device = self.targets.device
        self.rows, self._steps = numbers["rows"], numbers["steps"]
        self.loss = tensors[LOSS].to(device)
        for name, tensor in tensors.items():
            if name.startswith(SUM):
                self._sums.totals[name.removeprefix(SUM)] = tensor.to(device)
        if OUTPUTS in tensors:
            self._outputs = [tensors[OUTPUTS].to(device)]
            self._chosen = [tensors[CHOSEN].to(device)]
            self._kept = tensors[OUTPUTS].numel()

    def _add_up(self) -> None:
        if self._outputs:
            targets = self.targets.index_select(0, torch.cat(self._chosen))
            outputs = torch.cat(self._outputs)
            add_outputs(self.measure.task, self._sums, outputs, targets)
            if self.onlooker is not None:
                self.onlooker(outputs, targets)
            # the area under the curve is for rows that are held back
            self._sums.scores.clear()
            self._sums.truths.clear()
        self._forget()

    def _forget(self) -> None:
        self._outputs, self._chosen = [], []
        self._steps = self._kept = 0
