"""The phases of one job, one after the other over one network.

A job whose spec has no phases has one. Each phase is a `Training` of its own, with its
own frozen layers, cut, optimizer and best weights; it goes on from the weights that the
phase before has kept. Steps and epochs count on.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from trainer.data.examples import Examples
from trainer.data.views import MadeRows
from trainer.doctor.admission import admit
from trainer.doctor.patient import Patient
from trainer.errors import FrozenMoved
from trainer.frozen import Frozen
from trainer.frozen.cache import FrozenCache
from trainer.frozen.depths import every_depth
from trainer.frozen.outputs import FrozenOutputs
from trainer.process.environment import fingerprint
from trainer.spec.network import INPUT
from trainer.training import NETWORK, Material, Start
from trainer.training.disturbance import changes_input, layout_of
from trainer.training.range_test import training_of
from trainer.training.weighting import class_weights

if TYPE_CHECKING:
    from trainer.assembly import Assembly
    from trainer.data.examples import Prepared
    from trainer.network import Cut
    from trainer.preprocessing import Preprocessing
    from trainer.saved.checkpoint import Snapshot
    from trainer.spec.augmentation.augmented import Layout
    from trainer.spec.resolve.phases import ResolvedPhase
    from trainer.spec.training import Training as Recipe
    from trainer.training import Training

    Rows = Prepared | MadeRows

RESTING = "resting"
"""Name of a snapshot's tensors that an earlier phase has trained and this one keeps."""
PHASES = "phases"


@dataclass(frozen=True)
class Ended:
    """What came of one phase."""

    name: str
    steps: int
    epochs: int
    best_step: int
    """The step whose weights went on."""
    metrics: dict[str, float]
    """Figures of those weights."""
    frozen: list[str]
    """Layers that kept their values, to the last bit."""
    cache: dict[str, Any]


class Phases:
    """Where a job stands among its phases, and the training under way."""

    def __init__(self, assembly: Assembly) -> None:
        """Begin the first phase."""
        self.assembly = assembly
        self.all = assembly.resolution.phases
        self.number = 0
        self.ended: list[Ended] = []
        self.outputs: FrozenOutputs
        """What is kept of the frozen layers in the phase under way."""
        self.training: Training
        self._held: dict[str, str] = {}
        self._begin(Start())

    @property
    def phase(self) -> ResolvedPhase:
        """Return the phase under way."""
        return self.all[self.number]

    @property
    def last(self) -> bool:
        """Return whether no phase follows."""
        return self.number == len(self.all) - 1

    @property
    def steps(self) -> int:
        """Return the number of steps of all phases, if none stops early from now on."""
        ahead = self.all[self.number + 1 :]
        rows = len(self.training.material.train)
        later = sum(_steps(phase, rows) for phase in ahead)
        return self.training.start.step + self.training.steps + later

    @property
    def epochs(self) -> int:
        """Return the number of passes of all phases, likewise."""
        ahead = self.all[self.number :]
        return self.training.start.epoch + sum(p.recipe.epochs for p in ahead)

    def told(self) -> str:
        """Say which phase it is and what learns in it."""
        frozen = self.phase.frozen
        rows = [row for row in self.assembly.resolution.layers if row.parameters]
        learn = [row.name for row in rows if row.name not in frozen]
        keep = [row.name for row in rows if row.name in frozen]
        return (
            f"phase {self.phase.name!r}, {self.number + 1} of {len(self.all)}: "
            f"{', '.join(learn)} {'learn' if learn[1:] else 'learns'}"
            + (f"; {', '.join(keep)} frozen" if keep else "")
        )

    def next(self) -> None:
        """End the phase under way and begin the one after it.

        Raises:
            FrozenMoved: a layer that had to keep its values has not.
        """
        self.ended.append(self.report())
        training = self.training
        self.number += 1
        self._begin(Start(training.step, training.last_epoch))

    def report(self) -> Ended:
        """Return what came of the phase under way.

        Raises:
            FrozenMoved: a layer that had to keep its values has not.
        """
        training, frozen = self.training, self.training.frozen
        now = frozen.hashes() if self._held else {}
        if moved := [name for name in self._held if now[name] != self._held[name]]:
            raise FrozenMoved(moved)
        return Ended(
            name=self.phase.name,
            steps=training.taken,
            epochs=training.last_epoch - training.start.epoch,
            best_step=training.stopping.best.step or training.step,
            metrics=dict(training.final),
            frozen=sorted(frozen.layers),
            cache=self.outputs.report(),
        )

    def cache(self) -> dict[str, Any]:
        """Return the `cache` of the job's answer: of the phase that it saved most."""
        every = [each.cache for each in self.ended] + [self.outputs.report()]
        if len(every) == 1:
            return every[0]
        names = [phase.name for phase in self.all]
        most = max(every, key=lambda one: float(one["seconds_saved"]))
        told = [{"phase": n, **one} for n, one in zip(names, every, strict=False)]
        return {**most, PHASES: told}

    def snapshot(self) -> Snapshot:
        """Copy out everything that is needed to go on bit for bit."""
        taken = self.training.snapshot()
        if len(self.all) == 1:
            return taken
        always = self.assembly.resolution.frozen
        resting = {
            f"{RESTING}/{name}": tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in self.training.frozen.tensors().items()
            if name.partition(".")[0] not in always
        }
        place = {
            "number": self.number,
            "start": asdict(self.training.start),
            "ended": [asdict(each) for each in self.ended],
        }
        return replace(
            taken,
            state={**taken.state, PHASES: place},
            tensors={**taken.tensors, **resting},
        )

    def restore(self, snapshot: Snapshot) -> bool:
        """Go on from a snapshot; return whether the bits will be those of one run."""
        place = snapshot.state.get(PHASES)
        if place is not None and place["number"] > 0:
            self.number = place["number"]
            self.ended = [Ended(**each) for each in place["ended"]]
            self._load(snapshot)
            self._begin(Start(**place["start"]))
        return self.training.restore(snapshot)

    def _load(self, snapshot: Snapshot) -> None:
        """Put the weights of a snapshot into the network, before layers are frozen."""
        own = self.assembly.network.layers.state_dict()
        with torch.no_grad():
            for key, tensor in snapshot.tensors.items():
                group, _, name = key.partition("/")
                if group in {NETWORK, RESTING}:
                    own[name].copy_(tensor)

    def _begin(self, start: Start) -> None:
        """Freeze what the phase freezes and make its training."""
        made, phase = self.assembly, self.phase
        resolution, recipe, order = made.resolution, phase.recipe, made.order
        made.network.requires_grad_(requires_grad=True)
        frozen = Frozen(made.network, phase.frozen, recipe.frozen_normalization)
        purposes = {"train": made.rows, **made.held}
        self.outputs = outputs = _outputs(made, phase, frozen, purposes)
        inputs = resolution.inputs
        layout = layout_of(inputs.kind, made.preprocessing, pair=inputs.pair)
        held = {
            purpose: _examples(made, rows, outputs, purpose, (recipe, layout))
            for purpose, rows in purposes.items()
            if len(rows)
        }
        units = None if made.scale is None else made.scale.deviation
        material = Material(
            recipe,
            resolution.task,
            frozen,
            outputs.cut,
            **held,
            units=None if units is None else torch.from_numpy(units).to(made.device),
            layout=layout,
            class_weights=class_weights(
                recipe, resolution.classes, held["train"].targets
            ),
            micro_batch=order.micro_batch,
            fingerprint=fingerprint(made.device, order.micro_batch),
            start=start,
            last=self.last,
            multipliers=phase.multipliers,
        )
        self.training = training_of(material)
        self._held = frozen.hashes() if len(self.all) > 1 else {}
        written = order.spec if order.written is None else order.written
        given = made.loaded.reused if self.number == 0 else tuple(made.network.layers)
        in_force = resolution.spec.model_copy(update={"training": recipe})
        patient = Patient(written, in_force, made.acceptable, self.number)
        doctor = admit(self.training, resolution, patient, given)
        if doctor is not None:
            self.training.attach(doctor)


def _steps(phase: ResolvedPhase, rows: int) -> int:
    """Return about how many steps a phase has that has not begun."""
    recipe = phase.recipe
    whole = recipe.optimizer.full_batch
    return recipe.epochs * (1 if whole else -(-rows // recipe.batch_size))


def _outputs(
    made: Assembly,
    phase: ResolvedPhase,
    frozen: Frozen,
    purposes: dict[str, Rows],
) -> FrozenOutputs:
    cache, order = None, made.order
    if order.frozen_cache is not None:
        cache = FrozenCache(order.frozen_cache, order.frozen_cache_bytes)
    return FrozenOutputs(
        frozen,
        {name: (rows, rows.key) for name, rows in purposes.items() if len(rows)},
        dataset=made.dataset.version,
        preprocessing=_digest(made.preprocessing),
        device=next(made.network.parameters()).device,
        mode=phase.recipe.frozen_cache,
        cache=cache,
        augmentation=_changing(made.rows) or changes_input(phase.recipe),
        depths=_depths(made, phase),
    )


def _depths(made: Assembly, phase: ResolvedPhase) -> tuple[Cut, ...]:
    """Return the cuts that the cache is filled for beside the phase's own.

    Later phases have none: layers that have learned are no other job's.
    """
    first = phase is made.resolution.phases[0]
    if phase.recipe.frozen_cache_depths == "own" or not first:
        return ()
    return every_depth(made.network, made.loaded.reused)


def _changing(rows: Rows) -> str | None:
    """Say what of the rows themselves differs from epoch to epoch, if anything does."""
    return rows.changing if isinstance(rows, MadeRows) else None


def _examples(
    made: Assembly,
    rows: Rows,
    outputs: FrozenOutputs,
    purpose: str,
    changes: tuple[Recipe, Layout],
) -> Examples:
    """Put one purpose's rows where training takes them from."""
    device = outputs.device
    if isinstance(rows, MadeRows):
        examples = rows.examples(device, *changes, trained=purpose == "train")
        if not outputs.applies:
            return examples
        return Examples(lambda: outputs.of(purpose), examples.targets)
    answers = made.targets.of(rows.rows, made.resolution.target, made.scale)
    layer = made.network.target
    if layer is not None:
        wanted = outputs.target(purpose, layer).flatten(1).to(device)
    elif answers is None:  # the input is to be given back
        whole = rows[:].to(device)
        wanted = whole.flatten(1)
        if not outputs.applies:
            return Examples(lambda: {INPUT: whole}, wanted)
    else:
        wanted = torch.from_numpy(answers).to(device)
    if not outputs.applies:
        return Examples(lambda: {INPUT: rows.held(device)}, wanted)
    if not outputs.keeps and purpose == "train":
        rows.held(torch.device("cpu"))  # read once, not in every epoch
    return Examples(lambda: outputs.of(purpose), wanted)


def _digest(preprocessing: Preprocessing) -> str:
    digest = hashlib.sha256(json.dumps(preprocessing.described()).encode())
    for name, array in sorted(preprocessing.arrays.items()):
        digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()
