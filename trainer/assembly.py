"""From an order to a training that can begin: data, network, reused layers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from trainer import reuse
from trainer.data.dataset import open_dataset
from trainer.data.examples import Prepared
from trainer.data.selection import select
from trainer.data.series import with_timeline
from trainer.data.target_scale import target_scale
from trainer.data.targets import Targets, targets_of
from trainer.data.views import MadeRows
from trainer.errors import NotADataset
from trainer.network import Network
from trainer.phases import Phases
from trainer.preprocessing import Preprocessing
from trainer.process.environment import choose_device, settle
from trainer.saved.model_folder import tensor_sha256
from trainer.spec.auxiliary import by_label
from trainer.spec.errors import InvalidSpec, problems_of
from trainer.spec.job import JobSpec
from trainer.spec.layers import OUTPUT
from trainer.spec.resolve import resolve
from trainer.training.memory import in_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.data.dataset import Dataset
    from trainer.data.selection import Labels, Selection
    from trainer.data.target_scale import TargetScale
    from trainer.frozen import Frozen
    from trainer.frozen.outputs import FrozenOutputs
    from trainer.process.order import Order
    from trainer.reuse import Loaded
    from trainer.spec.resolve import Resolution
    from trainer.training import Training


@dataclass
class Assembly:
    """Everything that one order came to; `trainer.phases` begins its trainings."""

    order: Order
    resolution: Resolution
    dataset: Dataset
    preprocessing: Preprocessing
    network: Network
    loaded: Loaded
    before: Mapping[str, str]
    """SHA-256 of every tensor that no phase may change: as the source's file holds it,
    or as it was drawn."""
    device: torch.device
    targets: Targets
    scale: TargetScale | None
    """How a regression's targets were scaled; the model answers in their own units."""
    rows: Prepared | MadeRows
    """The training rows as the network takes them."""
    held: Mapping[str, Prepared | MadeRows]
    """The rows held back for validation and test, likewise."""
    warnings: tuple[str, ...]
    phases: Phases = field(init=False)
    """Where it stands among its phases."""

    @property
    def training(self) -> Training:
        """Return the training of the phase under way."""
        return self.phases.training

    @property
    def frozen(self) -> Frozen:
        """Return what keeps its values in the phase under way."""
        return self.phases.training.frozen

    @property
    def outputs(self) -> FrozenOutputs:
        """Return what is kept of the frozen layers in the phase under way."""
        return self.phases.outputs

    def acceptable(self, spec: dict[str, Any]) -> bool:
        """Return whether a changed spec would be accepted as this one was."""
        spec = {name: said for name, said in spec.items() if name != "pretraining"}
        try:
            _resolved(self.order.model_copy(update={"spec": spec}), self.dataset)
        except InvalidSpec:
            return False
        return True


def assemble(order: Order) -> Assembly:
    """Build what an order asks for; the result depends on the order alone.

    Raises: InvalidSpec, TrainerError.
    """
    settle(order.threads)
    return assembled(order, open_dataset(order.dataset))


def assembled(order: Order, dataset: Dataset) -> Assembly:
    """Build what an order asks for on a data set that is open."""
    device = choose_device(order.device)
    resolution = _resolved(order, dataset)
    recipe = resolution.spec.training
    dataset = with_timeline(dataset, resolution.spec.dataset.windows)
    targets = _targets(resolution, dataset)
    rows = select(
        resolution.spec.dataset,
        dataset.schema,
        dataset.columns,
        _labels(resolution, targets),
        recipe.seed,
    )
    with in_memory("preparing", len(rows.train), str(device)):
        preprocessing, columns = _preprocessing(order, resolution, dataset, rows)
        network, loaded = _network(order, resolution, device)
        scale = target_scale(resolution, targets.numbers, rows.train)
        if scale is not None and OUTPUT in loaded.reused:
            scale.unfold(network)
        prepared = {
            purpose: _made(
                resolution,
                targets,
                purpose,
                Prepared(preprocessing, columns, getattr(rows, purpose)),
            )
            for purpose in ("train", "validation", "test")
        }
        torch.manual_seed(recipe.seed)  # dropout draws from here
        made = Assembly(
            order,
            resolution,
            dataset,
            preprocessing,
            network,
            loaded,
            _before(network, loaded, resolution),
            device,
            targets,
            scale,
            prepared["train"],
            {name: each for name, each in prepared.items() if name != "train"},
            (*resolution.warnings, *rows.warnings),
        )
        made.phases = Phases(made)
    return made


def _resolved(order: Order, dataset: Dataset) -> Resolution:
    try:
        spec = JobSpec.model_validate(order.spec)
    except ValidationError as error:
        raise InvalidSpec(problems_of(error, order.spec, JobSpec)) from error
    sources = {
        entry.from_: reuse.source_of(source.folder, source.id)
        for entry, source in zip(spec.reuse, order.sources, strict=False)
    }
    return resolve(spec, dataset.schema, sources)


def _targets(resolution: Resolution, dataset: Dataset) -> Targets:
    """Return the targets; of an auxiliary task, those of the job it prepares."""
    if resolution.spec.dataset.auxiliary_task.made:
        if not resolution.groups:
            return Targets(dataset.schema.rows)
        given = dataset.schema, dataset.columns
        return targets_of("classification", resolution.label, resolution.groups, *given)
    return targets_of(
        resolution.task,
        resolution.target,
        resolution.classes,
        dataset.schema,
        dataset.columns,
    )


def _labels(resolution: Resolution, targets: Targets) -> Labels:
    """Return what the choice of rows must know of the targets."""
    task = resolution.spec.dataset.auxiliary_task
    return replace(targets.labels, needed=not task.made or by_label(task))


def _made(
    resolution: Resolution, targets: Targets, purpose: str, rows: Prepared
) -> Prepared | MadeRows:
    """Return the rows, or what an auxiliary task makes of them."""
    task, seed = resolution.spec.dataset.auxiliary_task, resolution.spec.training.seed
    if not task.made or not len(rows):
        return rows
    groups = None if targets.classes is None else targets.classes[rows.rows]
    return MadeRows(rows, task, purpose, groups, seed)


def _preprocessing(
    order: Order, resolution: Resolution, dataset: Dataset, rows: Selection
) -> tuple[Preprocessing, Mapping[str, Any]]:
    """Return the source's preprocessing if its lowest layers are reused, else fit one.

    A layer that was trained on one scaling of the input means nothing on another.
    """
    if resolution.preprocessing_from is not None:
        folder = order.sources[resolution.preprocessing_from].folder
        taken = Preprocessing.load(folder)
        seen = dataset.schema.column(resolution.inputs.features[0].name)
        if seen is not None:
            taken = taken.reading(seen)
        if why := taken.mismatch(dataset.schema):
            raise NotADataset(order.dataset, f"{folder.name} cannot be reused: {why}")
        return taken, taken.recoded(dataset.schema, dataset.columns)
    fitted = Preprocessing.fit(
        dataset.schema,
        dataset.columns,
        [feature.name for feature in resolution.inputs.features],
        rows.train,
        standardize=bool(resolution.spec.dataset.standardize),
        encodings=resolution.spec.dataset.encodings,
        windows=resolution.spec.dataset.windows,
    )
    return fitted, fitted.recoded(dataset.schema, dataset.columns)


def _network(
    order: Order, resolution: Resolution, device: torch.device
) -> tuple[Network, Loaded]:
    """Build the network, fill it from the seed, then from the sources."""
    network = Network(resolution.spec.network, resolution.inputs.shape)
    network.target = resolution.spec.training.reconstruct
    generator = torch.Generator().manual_seed(resolution.spec.training.seed)
    network.initialize(generator)
    folders = [source.folder for source in order.sources]
    loaded = reuse.load(network, resolution.reuse, folders)
    return network.to(device), loaded


def _before(network: Network, loaded: Loaded, resolution: Resolution) -> dict[str, str]:
    """Return the hash of each tensor of the layers that are frozen to the end."""
    drawn = {
        f"{name}.{tensor}": tensor_sha256(value)
        for name in resolution.frozen
        if name not in loaded.reused
        for tensor, value in network.layers[name].state_dict().items()
    }
    return {**drawn, **loaded.before}
