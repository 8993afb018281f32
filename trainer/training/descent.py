"""One optimizer step: forward, backward, penalties, clipping, update, limits.

Nothing in a step waits for the device.
"""

from __future__ import annotations

from inspect import unwrap
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from trainer.errors import NothingLearns
from trainer.training.activity import Activity, means_of, undone
from trainer.training.parameter_groups import clipped, parameter_groups, set_rates
from trainer.training.penalties import Penalties

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from trainer.data.examples import Examples
    from trainer.doctor.probes import Probe
    from trainer.network import Cut, Network
    from trainer.spec.training import Training
    from trainer.training import Memory
    from trainer.training.activity import Seen
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
        self.activity = Activity(network)

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
            outputs, seen = self._forward(values)
            loss = self.loss(outputs, targets)
            self._backward(loss, seen, rows)
            return loss.detach(), outputs.detach()
        total = torch.zeros((), device=targets.device)
        parts = []
        means = self._means(values, rows) if self.activity.of_means else {}
        for part in divided(rows, self.micro_batch):
            few = {name: value[part] for name, value in values.items()}
            outputs, seen = self._forward(few)
            count = part.stop - part.start
            loss = self.loss(outputs, targets[part]) * (count / rows)
            self._backward(loss, seen, count, count / rows, means)
            total += loss.detach()
            parts.append(outputs.detach())
        return total, torch.cat(parts)

    def _forward(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Seen]:
        """Return the outputs, and what layers with a penalty on theirs have given."""
        if not self.activity:
            return self.network.run_above(self.cut, values), {}
        with self.activity.watched() as seen:
            return self.network.run_above(self.cut, values), seen

    def _backward(
        self,
        loss: Tensor,
        seen: Seen,
        rows: int,
        share: float = 1.0,
        means: Mapping[str, Sequence[Tensor]] | None = None,
    ) -> None:
        """Add up the gradients of a loss and of the penalties on what was given.

        `means` are those of the whole batch, of which the rows are a `share`.
        """
        whole = loss
        if seen:
            penalty = self.activity.penalty(seen, means or {})
            self.activity.note(penalty, rows)
            whole = loss + share * penalty
        whole.backward()  # type: ignore[no-untyped-call]

    def _means(
        self, values: Mapping[str, Tensor], rows: int
    ) -> Mapping[str, Sequence[Tensor]]:
        """Return the mean of each penalised unit over a batch that passes in parts."""
        assert self.micro_batch is not None
        given = []
        with undone(self.network):
            for part in divided(rows, self.micro_batch):
                few = {name: value[part] for name, value in values.items()}
                _, seen = self._forward(few)
                given.append(((part.stop - part.start) / rows, seen))
        return means_of(given)

    def memories(self) -> dict[str, Memory]:
        """Return what must be found again after a restart, by name."""
        found: dict[str, Memory] = {"optimizer": self}
        return {**found, "activity": self.activity} if self.activity else found

    def shown(self) -> dict[str, float]:
        """Return figures of the steps since the last time, and begin again."""
        return self.activity.read()

    def measured(self, examples: Examples) -> dict[str, float]:
        """Return figures of rows beyond the metrics of their task; here there are none.

        Whoever descends something else than a loss of outputs may have some.
        """
        return {}

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
