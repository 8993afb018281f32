"""A training under way: what it is made of, where it stands, what it must remember.

`Training` is all that changes while training goes on; `loop.fit` moves it. A part of it
that changes and must survive a restart is a `Memory`, named in `Training.memories`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from trainer.checkpoint import Snapshot
from trainer.descent import Descent
from trainer.errors import Diverged, TooFewRows
from trainer.evaluate import Measure, evaluate
from trainer.spec.training import EverySteps
from trainer.stopping import Stopping
from trainer.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from trainer.data import Examples
    from trainer.frozen import Frozen
    from trainer.network import Cut
    from trainer.spec.losses import Task
    from trainer.spec.training import Training as Recipe

EVALUATED = 1024
"""Rows that go through the network at once when it is evaluated."""
NETWORK, RANDOM = "network", "random"
"""Names of a snapshot's tensors that belong to no memory."""


class Memory(Protocol):
    """What changes with the steps and must be found again after a restart."""

    def state(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
        """Return its tensors, and what is no tensor and survives JSON."""

    def restore(
        self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
    ) -> None:
        """Go on from what `state` returned."""


@dataclass(frozen=True)
class Row:
    """One figure of the history of a training."""

    step: int
    epoch: int
    name: str
    value: float


@dataclass
class Material:
    """What a training is made of; nothing here changes but the network."""

    recipe: Recipe
    task: Task
    frozen: Frozen
    """The network, and which of its layers keep their values."""
    cut: Cut
    train: Examples
    validation: Examples | None = None
    test: Examples | None = None
    units: Tensor | None = None
    """What one of each scaled target stands for."""
    micro_batch: int | None = None
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    """What the exact bits of the result depend on beside the spec and the data."""


class Training:
    """A training under way: its position, its optimizer, its best weights so far."""

    def __init__(self, material: Material) -> None:
        recipe = material.recipe
        assert recipe.loss is not None
        self.material, self.recipe = material, recipe
        self.frozen, self.network = material.frozen, material.frozen.network
        self.device = material.train.targets.device
        self.measure = Measure(material.task, recipe.loss.build(), material.units)
        self.descent = Descent(
            self.network,
            material.cut,
            recipe,
            self.measure.loss,
            material.micro_batch,
        )
        self.tally = Tally(self.measure, material.train.targets)
        self.stopping = Stopping(recipe.early_stopping)
        self.memories: dict[str, Memory] = {
            "optimizer": self.descent,
            "stopping": self.stopping,
            "tally": self.tally,
        }
        """What a checkpoint holds beside the network and the position, by name."""
        self.rows = _rows_per_epoch(self.network, len(material.train), recipe)
        self.step = 0
        """Optimizer steps taken."""
        self.epoch = 1
        """The epoch that the next step belongs to, from 1."""
        self.index = 0
        """Rows of that epoch already trained on."""
        self.final: dict[str, float] = {}
        """Metrics of the kept weights by their full names, filled as they are known."""
        self._paced = (time.monotonic(), 0)

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of optimizer steps in one pass."""
        return -(-self.rows // self.recipe.batch_size)

    @property
    def over(self) -> bool:
        """Return whether no step is left to take."""
        return self.epoch > self.recipe.epochs or self.stopping.over

    @property
    def last_epoch(self) -> int:
        """Return the epoch of the last step that was taken."""
        return max(1, self.epoch if self.index else self.epoch - 1)

    def learning_rate(self) -> float:
        """Return the learning rate of the next step."""
        factor = self.recipe.schedule.factor(self.step, self.steps_per_epoch)
        return self.recipe.optimizer.learning_rate * factor

    def awaken(self) -> None:
        """Put the layers that learn into training mode, and no other."""
        self.network.train()
        self.frozen.hold()

    def advance(self, rows: int) -> bool:
        """Count a step; return whether an evaluation is due after it."""
        self.step += 1
        self.index += rows
        ended = self.index >= self.rows
        every = self.recipe.evaluate_every
        if ended and self.epoch >= self.recipe.epochs:
            return True
        if isinstance(every, EverySteps):
            return self.step % every.steps == 0
        return ended and self.epoch % every.epochs == 0

    def look(self) -> tuple[Row, ...]:
        """Evaluate at this step, tell early stopping, and return the figures.

        Raises: Diverged.
        """
        seconds, rows = time.monotonic() - self._paced[0], self._paced[1]
        found = {f"train_{n}": value for n, value in self.tally.read().items()}
        if self.material.validation is not None:
            found |= self.measured("validation", self.material.validation)
        self._check(found.values())
        position = (self.step, self.epoch)
        self.stopping.look(found, position, self.moving())
        if self.stopping.best.step in {0, self.step} or not self.stopping.weights:
            self.final = dict(found)
        found["learning_rate"] = self.learning_rate()
        found["examples_per_second"] = rows / max(seconds, 1e-9)
        self._paced = (time.monotonic(), 0)
        return tuple(Row(*position, name, value) for name, value in found.items())

    def measured(self, purpose: str, examples: Examples) -> dict[str, float]:
        """Return the metrics of held-back rows under their full names."""
        self.network.eval()
        cut = self.material.cut
        size = min(EVALUATED, self.material.micro_batch or EVALUATED)
        pairs = (
            (self.network.run_above(cut, values), targets)
            for values, targets in examples.chunks(size)
        )
        found = evaluate(self.measure, pairs)
        self.awaken()
        return {f"{purpose}_{name}": value for name, value in found.items()}

    def moving(self) -> dict[str, Tensor]:
        """Return every parameter and buffer that training may change."""
        held = self.frozen.tensors().keys()
        return {
            name.removeprefix("layers."): tensor
            for name, tensor in self.network.state_dict().items()
            if name.removeprefix("layers.") not in held
        }

    def check(self) -> None:
        """Make sure that the loss is still a number; this waits for the device.

        Raises: Diverged.
        """
        self._check([float(self.tally.loss)])

    def pace(self, rows: int) -> None:
        """Count rows for the examples per second."""
        self._paced = (self._paced[0], self._paced[1] + rows)

    def snapshot(self) -> Snapshot:
        """Copy out everything that is needed to go on bit for bit."""
        groups: dict[str, Mapping[str, Tensor]] = {
            NETWORK: self.moving(),
            RANDOM: _generators(self.device),
        }
        numbers: dict[str, Mapping[str, Any]] = {}
        for name, memory in self.memories.items():
            groups[name], numbers[name] = memory.state()
        tensors = {
            f"{group}/{name}": tensor.detach().to("cpu", copy=True).contiguous()
            for group, members in groups.items()
            for name, tensor in members.items()
        }
        state = {
            "step": self.step,
            "epoch": self.epoch,
            "index": self.index,
            "memories": numbers,
            "final": self.final,
        }
        return Snapshot(
            self.step, self.epoch, state, tensors, self.material.fingerprint
        )

    def restore(self, snapshot: Snapshot) -> bool:
        """Go on from a snapshot; return whether the bits will be those of one run."""
        groups: dict[str, dict[str, Tensor]] = {}
        for key, tensor in snapshot.tensors.items():
            group, _, name = key.partition("/")
            groups.setdefault(group, {})[name] = tensor
        moving, state = self.moving(), snapshot.state
        with torch.no_grad():
            for name, tensor in groups[NETWORK].items():
                moving[name].copy_(tensor)
        for name, memory in self.memories.items():
            memory.restore(groups.get(name, {}), state["memories"][name])
        _set_generators(groups[RANDOM])
        self.step, self.epoch = state["step"], state["epoch"]
        self.index, self.final = state["index"], dict(state["final"])
        return dict(snapshot.fingerprint) == dict(self.material.fingerprint)

    def finish(self) -> tuple[Row, ...]:
        """Bring back the best weights and measure them on the test rows, once."""
        self.stopping.bring_back(self.moving())
        rows: tuple[Row, ...] = ()
        if self.material.test is not None:
            found = self.measured("test", self.material.test)
            self._check(found.values())
            self.final |= found
            position = (self.step, self.last_epoch)
            rows = tuple(Row(*position, name, value) for name, value in found.items())
        self.network.eval()
        return rows

    def _check(self, values: object) -> None:
        if not all(isfinite(value) for value in values):  # type: ignore[attr-defined]
            raise Diverged(
                step=self.step, epoch=self.epoch, learning_rate=self.learning_rate()
            )


def _rows_per_epoch(network: torch.nn.Module, rows: int, recipe: Recipe) -> int:
    """Return how many rows of each epoch's order are used: all, or all but one.

    Batch normalisation cannot learn from a last batch of a single row.
    """
    normalised = any(isinstance(module, _BatchNorm) for module in network.modules())
    if not normalised or (rows % recipe.batch_size != 1 and recipe.batch_size > 1):
        return rows
    if rows == 1 or recipe.batch_size == 1:
        why = "batch normalisation needs at least two rows in a batch"
        raise TooFewRows(min(rows, recipe.batch_size), why)
    return rows - 1


def _generators(device: torch.device) -> dict[str, Tensor]:
    """Return the state of the generators that dropout draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_generators(states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
