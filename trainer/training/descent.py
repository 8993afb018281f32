"""One optimizer step: forward, backward, penalties, clipping, update, limits.

Nothing in a step waits for the device.
"""

from __future__ import annotations

from inspect import unwrap
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from trainer.errors import NothingLearns
from trainer.training.parameter_groups import clipped, parameter_groups, set_rates
from trainer.training.penalties import Penalties

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor

    from trainer.doctor.probes import Probe
    from trainer.network import Cut, Network
    from trainer.spec.training import Training
    from trainer.training.mixing import Mixed
    from trainer.training.weighting import TrainingLoss


class Descent:
    """Turns batches into steps of the parameters that learn.

    `micro_batch` bounds how many rows go through the network at once; the gradients
    of the parts add up to that of the whole batch. `multipliers` of the learning rate
    take the place of the layers' own.
    """

    def __init__(
        self,
        network: Network,
        cut: Cut,
        recipe: Training,
        loss: TrainingLoss,
        micro_batch: int | None = None,
        *,
        multipliers: Mapping[str, float] | None = None,
    ) -> None:
        self.network, self.cut, self.recipe, self.loss = network, cut, recipe, loss
        self.micro_batch = micro_batch
        self.learning = [p for p in network.parameters() if p.requires_grad]
        if not self.learning:
            raise NothingLearns
        leave_compiler_out()
        self.optimizer = recipe.optimizer.build(
            parameter_groups(network, recipe.optimizer, multipliers or {})
        )
        # as the class defines it: what torch wraps it in serves profilers and compilers
        self._update: Callable[[Optimizer], object] = unwrap(type(self.optimizer).step)
        self.clipped = clipped(network, recipe.gradient_clipping)
        self.penalties = Penalties(network, recipe.regularization)

    def step(
        self,
        values: Mapping[str, Tensor],
        targets: Tensor | Mixed,
        learning_rate: float,
        momentum: float | None = None,
        *,
        probe: Probe | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Take one step; return the batch's mean loss and its outputs.

        `momentum` replaces the optimizer's own, if it has one; `probe` measures.
        """
        loss, outputs = self._gradients(values, targets)
        if probe is not None:
            probe.gradients()
        self.penalties.add_gradients()
        self.recipe.gradient_clipping.clip(*self.clipped)
        set_rates(self.optimizer.param_groups, learning_rate, momentum)
        self.penalties.decay(self.optimizer.param_groups)
        with torch.no_grad():
            self._update(self.optimizer)
        for parameter in self.learning:
            parameter.grad = None
        self.penalties.limit()
        if probe is not None:
            probe.updated(loss)
        return loss, outputs

    def _gradients(
        self, values: Mapping[str, Tensor], targets: Tensor | Mixed
    ) -> tuple[Tensor, Tensor]:
        """Add up the gradients of the batch's mean loss."""
        rows = len(targets)
        if self.micro_batch is None or rows <= self.micro_batch:
            outputs = self.network.run_above(self.cut, values)
            loss = self.loss(outputs, targets)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach(), outputs.detach()
        total = torch.zeros((), device=targets.device)
        parts = []
        for part in divided(rows, self.micro_batch):
            few = {name: value[part] for name, value in values.items()}
            outputs = self.network.run_above(self.cut, few)
            share = (part.stop - part.start) / rows
            loss = self.loss(outputs, targets[part]) * share
            loss.backward()
            total += loss.detach()
            parts.append(outputs.detach())
        return total, torch.cat(parts)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the optimizer's memory: its tensors, and what is no tensor."""
        whole = self.optimizer.state_dict()
        tensors: dict[str, Tensor] = {}
        numbers: dict[str, dict[str, Any]] = {}
        for parameter, memory in whole["state"].items():
            for name, value in memory.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"{parameter}.{name}"] = value
                else:
                    numbers.setdefault(str(parameter), {})[name] = value
        return tensors, numbers

    def restore(
        self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
    ) -> None:
        """Go on with the memory that `state` returned."""
        memory: dict[int, dict[str, Any]] = {}
        for key, tensor in tensors.items():
            parameter, _, name = key.partition(".")
            memory.setdefault(int(parameter), {})[name] = tensor
        for parameter, values in numbers.items():
            memory.setdefault(int(parameter), {}).update(values)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": memory, "param_groups": groups})
        for known in self.optimizer.state.values():
            if "mu_product" in known:  # torch reads nadam's on the host, at every step
                known["mu_product"] = known["mu_product"].cpu()


def leave_compiler_out() -> None:
    """Keep torch from importing its compiler as soon as an optimizer is made.

    That would take a second of every trainer's start. torch notes on some methods that
    they were exempted from compilation; here the note is made without the import. A
    version of torch that keeps no such note starts slower, and that is all.
    """
    for name in ("add_param_group", "state_dict", "load_state_dict"):
        method = unwrap(getattr(Optimizer, name))
        vars(method).setdefault("__dynamo_disable", method)


def divided(rows: int, size: int) -> Iterator[slice]:
    """Divide a batch; a single row left over joins the part before it.

    Batch normalisation cannot train on one row.
    """
    start = 0
    while start < rows:
        stop = min(start + size, rows)
        if rows - stop == 1:
            stop = rows
        yield slice(start, stop)
        start = stop
