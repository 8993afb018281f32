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

from trainer.errors import Diverged
from trainer.saved.checkpoint import Snapshot
from trainer.spec.training import EverySteps
from trainer.training.averaging import Averages, recompute_statistics
from trainer.training.batches import rows_per_epoch, rows_per_step
from trainer.training.boltzmann import descent_of
from trainer.training.disturbance import Disturbance
from trainer.training.evaluate import Measure, evaluate
from trainer.training.pacing import Pacing
from trainer.training.pruning import ZERO_FRACTION, Pruner, zero_fraction
from trainer.training.randomness import generators, set_generators
from trainer.training.sampling import Sampler
from trainer.training.stopping import Stopping
from trainer.training.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from trainer.data.examples import Examples
    from trainer.doctor.doctor import Doctor
    from trainer.doctor.findings import Finding
    from trainer.doctor.probes import Probe
    from trainer.frozen import Frozen
    from trainer.network import Cut
    from trainer.spec.augmentation.augmented import Layout
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


@dataclass(frozen=True)
class Start:
    """What was behind when a training began: that of the phases before."""

    step: int = 0
    epoch: int = 0


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
    layout: Layout | None = None
    """What augmentations see of the input."""
    class_weights: Tensor | None = None
    """What an error on each class costs."""
    micro_batch: int | None = None
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    """What the exact bits of the result depend on beside the spec and the data."""
    start: Start = Start()
    last: bool = True
    """Whether no phase follows, so that the test rows are looked at."""
    multipliers: Mapping[str, float] = field(default_factory=dict)
    """What the learning rate is multiplied by, of layers where the phase says it."""


class Training:
    """A training under way: its position, its optimizer, its best weights so far."""

    def __init__(self, material: Material) -> None:
        recipe = material.recipe
        assert recipe.loss is not None
        self.material, self.recipe = material, recipe
        self.frozen, self.network = material.frozen, material.frozen.network
        self.device = material.train.targets.device
        self.measure = Measure(material.task, recipe.loss.build(), material.units)
        self.descent = descent_of(material)
        self.sampler = Sampler(recipe, material.train)
        self.disturbance = Disturbance(recipe, material.layout, self.device)
        self.tally = Tally(self.measure, material.train.targets)
        self.stopping = Stopping(recipe.early_stopping)
        self.rows = rows_per_epoch(self.network, len(material.train), recipe)
        self.averages = Averages(
            recipe, self.moving(), self.steps_per_epoch, self._recompute
        )
        self.pruner = Pruner(recipe, self.network, self.steps_per_epoch)
        self.pacing = Pacing(recipe, self.steps_per_epoch)
        self.memories: dict[str, Memory] = {
            **self.descent.memories(),
            "schedule": self.pacing,
            "stopping": self.stopping,
            "tally": self.tally,
            "averages": self.averages,
            "pruning": self.pruner,
        }
        """What a checkpoint holds beside the network and the position, by name."""
        self.doctor: Doctor | None = None
        self.start = material.start
        self.step = self.start.step
        """Optimizer steps taken, those of earlier phases among them."""
        self.epoch = self.start.epoch + 1
        """The epoch that the next step belongs to, from 1."""
        self.index = 0
        """Rows of that epoch already trained on."""
        self.final: dict[str, float] = {}
        """Metrics of the kept weights by their full names, filled as they are known."""
        self._paced = (time.monotonic(), 0)

    def attach(self, doctor: Doctor) -> None:
        """Have a doctor look on from now on; nothing that is trained changes."""
        self.doctor = doctor
        self.memories["doctor"] = doctor
        self.tally.onlooker = doctor.counts.add

    def probe(self, values: Mapping[str, Tensor]) -> Probe | None:
        """Return what watches the step about to be taken, if it is sampled."""
        if self.doctor is None or not self.doctor.due(self.taken + 1):
            return None
        position = (self.taken + 1, self.passes, self.learning_rate())
        return self.doctor.probe(position, values)

    @property
    def batch(self) -> int:
        """Return the number of rows in an optimizer step."""
        return rows_per_step(self.rows, self.recipe)

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of optimizer steps in one pass."""
        return -(-self.rows // self.batch)

    @property
    def steps(self) -> int:
        """Return the number of steps, if nothing stops the training early."""
        return self.recipe.epochs * self.steps_per_epoch

    @property
    def taken(self) -> int:
        """Return the number of steps taken since this training began."""
        return self.step - self.start.step

    @property
    def passes(self) -> int:
        """Return which pass since then the next step belongs to, from 1."""
        return self.epoch - self.start.epoch

    @property
    def over(self) -> bool:
        """Return whether no step is left to take."""
        return self.passes > self.recipe.epochs or self.stopping.over

    @property
    def last_epoch(self) -> int:
        """Return the epoch of the last step that was taken."""
        return max(1, self.epoch if self.index else self.epoch - 1)

    def learning_rate(self) -> float:
        """Return the learning rate of the next step."""
        return self.pacing.learning_rate(self.taken)

    def momentum(self) -> float | None:
        """Return the momentum of the next step; None: the optimizer's own."""
        return self.pacing.momentum(self.taken)

    def awaken(self) -> None:
        """Put the layers that learn into training mode, and no other."""
        self.network.train()
        self.frozen.hold()

    def follow(self, loss: Tensor, rows: int) -> tuple[Row, ...]:
        """Count a step whose mean loss is given; return the figures that are due.

        Raises: Diverged.
        """
        return self.look() if self.advance(rows) else ()

    def advance(self, rows: int) -> bool:
        """Count a step; return whether an evaluation is due after it."""
        self.step += 1
        self.pruner.follow(self.taken)
        self.averages.update(self.taken)
        self.index += rows
        ended = self.index >= self.rows
        every = self.recipe.evaluate_every
        if ended and self.passes >= self.recipe.epochs:
            return True
        if isinstance(every, EverySteps):
            return self.taken % every.steps == 0
        return ended and self.passes % every.epochs == 0

    def look(self) -> tuple[Row, ...]:
        """Evaluate at this step, tell early stopping, and return the figures.

        Raises: Diverged.
        """
        seconds, rows = time.monotonic() - self._paced[0], self._paced[1]
        told = self.tally.read() | self.descent.shown()
        found = {f"train_{name}": value for name, value in told.items()}
        position = (self.step, self.epoch)
        with self.averages.shown():
            self.pruner.hold()
            more = self.descent.measured(self.material.train)
            found |= {f"train_{name}": value for name, value in more.items()}
            found |= self.validated()
            self._check(found.values())
            if self.pruner.settled(self.taken):
                self.stopping.look(found, position, self.moving())
        self.pacing.look(found)
        if self.stopping.best.step in {0, self.step} or not self.stopping.weights:
            self.final = dict(found)
        if self.doctor is not None:
            self.doctor.look(self.taken, self.passes, found)
        if self.pruner.masks:
            found[ZERO_FRACTION] = zero_fraction(self.network)
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
        found = evaluate(self.measure, pairs) | self.descent.measured(examples)
        self.awaken()
        return {f"{purpose}_{name}": value for name, value in found.items()}

    def validated(self) -> dict[str, float]:
        """Return the metrics of the validation rows, if there are any."""
        rows = self.material.validation
        return {} if rows is None else self.measured("validation", rows)

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
            RANDOM: generators(self.device),
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
            if name in state["memories"]:  # older checkpoints have fewer
                memory.restore(groups.get(name, {}), state["memories"][name])
        set_generators(groups[RANDOM])
        self.step, self.epoch = state["step"], state["epoch"]
        self.index, self.final = state["index"], dict(state["final"])
        return dict(snapshot.fingerprint) == dict(self.material.fingerprint)

    def finish(self) -> tuple[Row, ...]:
        """Bring back the best weights; after the last phase, measure the test rows."""
        if self.doctor is not None:
            self.doctor.finish()
        rows = self.settle()
        if not self.material.last:
            return rows
        self.final |= self.pruner.finish(self.final, self._recompute, self.validated)
        self.final[ZERO_FRACTION] = zero_fraction(self.network)
        if self.material.test is not None:
            found = self.measured("test", self.material.test)
            self._check(found.values())
            self.final |= found
            position = (self.step, self.last_epoch)
            rows += tuple(Row(*position, name, value) for name, value in found.items())
        self.network.eval()
        return rows

    def settle(self) -> tuple[Row, ...]:
        """Give the network the weights that are kept; return what that has shown."""
        if not self.stopping.bring_back(self.moving()):
            self.averages.settle()
        return ()

    def findings(self) -> tuple[Finding, ...]:
        """Return what a finished training has found out beside its figures."""
        return ()

    def _recompute(self) -> None:
        """Let batch normalisation measure the training rows anew."""
        self.pruner.hold()
        self.awaken()
        size = min(EVALUATED, self.material.micro_batch or EVALUATED)
        recompute_statistics(self.network, self.material.cut, self.material.train, size)
        self.awaken()

    def _check(self, values: object) -> None:
        if not all(isfinite(value) for value in values):  # type: ignore[attr-defined]
            raise Diverged(
                step=self.step, epoch=self.epoch, learning_rate=self.learning_rate()
            )
