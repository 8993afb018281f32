"""A doctor for a training that is about to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from trainer.doctor.anatomy import anatomy, settled_after
from trainer.doctor.course import Situation
from trainer.doctor.doctor import Doctor
from trainer.doctor.probes import Probes
from trainer.spec.losses import Contrastive, ContrastiveDivergence

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor

    from trainer.doctor.patient import Patient
    from trainer.spec.resolve import Resolution
    from trainer.training import Training

ROWS = 4096
"""Rows that the loss of a constant answer is measured on."""
SMALLEST = 1e-12
"""Stands for the loss of a constant answer where targets do not vary."""
IMAGE = 3
"""Axes of an image, channels first."""


def admit(
    training: Training,
    resolution: Resolution,
    patient: Patient,
    reused: Collection[str],
) -> Doctor | None:
    """Return the doctor of a phase's training, None if the spec wants none."""
    wish = training.recipe.doctor
    if isinstance(wish, str):
        return None
    material, network = training.material, training.network
    targets = material.train.targets
    classes = len(resolution.classes) if resolution.task == "classification" else 0
    counts: tuple[int, ...] = ()
    if classes:
        counts = tuple(torch.bincount(targets, minlength=classes).tolist())
    below = material.cut.below
    situation = Situation(
        parts=anatomy(
            network,
            {*material.frozen.layers, *below},
            reused,
            binary=isinstance(training.recipe.loss, ContrastiveDivergence),
        ),
        recipe=training.recipe,
        task=resolution.task,
        baseline=baseline(training, counts),
        steps_per_epoch=training.steps_per_epoch,
        train_rows=len(material.train),
        validation_rows=len(material.validation or ()),
        class_counts=counts,
        images=len(network.shape) == IMAGE,
        settled_after=settled_after(network),
    )
    return Doctor(
        wish,
        situation,
        Probes(network, situation.parts),
        patient,
        material.frozen,
        start=material.start,
    )


@torch.no_grad()
def baseline(training: Training, counts: tuple[int, ...]) -> float:
    """Return the loss of the best answer that does not look at the input.

    For classes that is the logarithm of their shares, for labels the logit of each
    label's share, for numbers their means.
    """
    targets = training.material.train.targets[:ROWS]
    answers = [_constant(training.material.task, targets, counts)]
    if counts:  # where classes have weights, equal shares may be the better answer
        answers.append(torch.zeros_like(answers[0]))
    loss_of = training.recipe.loss
    if isinstance(loss_of, Contrastive):  # the answer is a distance, then
        answers = [torch.full_like(answers[0], loss_of.margin / 2)]
    losses = []
    for answer in answers:
        loss = training.descent.loss(answer.expand(len(targets), -1), targets)
        losses.append(float(loss))
    return max(min(losses), SMALLEST)


def _constant(task: str, targets: Tensor, counts: tuple[int, ...]) -> Tensor:
    """Return the constant answer, (outputs,), of the type that networks give."""
    kind = torch.get_default_dtype()
    if counts:
        shares = torch.tensor(counts, dtype=kind, device=targets.device)
        return shares.clamp(min=0.5).div(shares.sum()).log()
    mean = targets.flatten(1).to(kind).mean(0)
    return torch.logit(mean, eps=1e-3) if task == "multi_label" else mean
