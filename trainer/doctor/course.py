"""The course of a training so far: what the rules look at.

Losses are put in relation to the *baseline*, the loss of the best answer that does not
look at the input (the classes' shares, the targets' mean). ``explained`` is the share
of it that the network has done away with: 0 for a constant answer, 1 for a perfect one,
as R² is for squares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from trainer.doctor.figures import Sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trainer.doctor.anatomy import Organ
    from trainer.doctor.figures import Figures
    from trainer.spec.training import Training as Recipe

FIRST, LAST = 8, 8
"""Samples that are kept: the earliest and the newest."""
EVALUATIONS = 1000
"""Evaluations that are kept; of more, every second of the older ones goes."""
COUNTED = 3
"""Evaluations whose predictions are kept."""
UNEQUAL = 4
"""Rows of the largest class over those of the smallest from which on it pays to answer
the largest even where a row is four times as likely to be of the smallest."""
TREND = 3
"""Evaluations, at least, that make a trend."""


@dataclass(frozen=True)
class Evaluation:
    """The metrics of one evaluation by their full names."""

    step: int
    epoch: int
    figures: dict[str, float]


@dataclass(frozen=True)
class Situation:
    """What does not change while a job trains."""

    parts: tuple[Organ, ...]
    recipe: Recipe
    task: str
    baseline: float
    """Loss of the best constant answer, > 0."""
    steps_per_epoch: int
    train_rows: int
    validation_rows: int
    class_counts: tuple[int, ...] = ()
    """Training rows per class, for classification."""
    images: bool = False
    """Whether the input is images."""
    settled_after: int = 0
    """Steps until batch normalisation's moving statistics have forgotten where they
    began. Before, rows that are held back are judged by statistics of no data."""

    @property
    def unequal(self) -> bool:
        """Return whether one class has many times the rows of another."""
        counts = self.class_counts
        return bool(counts) and max(counts) > UNEQUAL * max(1, min(counts))

    @property
    def hidden(self) -> list[Organ]:
        """Return the hidden layers with weights, from the input upwards."""
        return [part for part in self.parts if part.hidden and part.weighs]


@dataclass
class Course:
    """Samples and evaluations in the order in which they were taken."""

    situation: Situation
    first: list[Sample] = field(default_factory=list)
    last: list[Sample] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    counts: list[tuple[list[int], list[int]]] = field(default_factory=list)
    """Predictions and rows per class before the newest evaluations."""
    count: int = 0
    """Samples taken in all."""
    ended: bool = False

    def take(self, sample: Sample) -> None:
        """Add a sample."""
        self.count += 1
        if len(self.first) < FIRST:
            self.first.append(sample)
        self.last = [*self.last, sample][-LAST:]

    def evaluate(
        self,
        step: int,
        epoch: int,
        figures: Mapping[str, float],
        counts: tuple[list[int], list[int]] | None = None,
    ) -> None:
        """Add an evaluation, with predictions and rows per class since the last."""
        if counts is not None:
            self.counts = [*self.counts, counts][-COUNTED:]
        self.evaluations.append(Evaluation(step, epoch, dict(figures)))
        if len(self.evaluations) > EVALUATIONS:
            half = EVALUATIONS // 2
            self.evaluations = self.evaluations[:half:2] + self.evaluations[half:]

    @property
    def now(self) -> Sample:
        """Return the newest sample."""
        return self.last[-1]

    @property
    def step(self) -> int:
        """Return the newest step that anything is known of."""
        sample = self.last[-1].step if self.last else 0
        return max(sample, self.evaluations[-1].step if self.evaluations else 0)

    @property
    def epoch(self) -> int:
        """Return the epoch of that step."""
        sample = self.last[-1].epoch if self.last else 1
        return max(sample, self.evaluations[-1].epoch if self.evaluations else 1)

    @property
    def from_the_start(self) -> bool:
        """Return whether the first step was seen."""
        return bool(self.first) and self.first[0].step == 1

    @property
    def start_loss(self) -> float:
        """Return the loss before anything was learned, at least the baseline."""
        loss = self.first[0].loss if self.from_the_start else None
        return max(loss or 0.0, self.situation.baseline)

    def recent_loss(self) -> float | None:
        """Return the newest training loss that is no single batch's."""
        evaluation = self.evaluations[-1] if self.evaluations else None
        late = [s for s in self.last[-3:] if not evaluation or s.step > evaluation.step]
        if evaluation is None or len(late) == 3:  # noqa: PLR2004 - a median of three
            losses = [s.loss for s in late]
            if not losses or None in losses:
                return None
            return median(loss for loss in losses if loss is not None)
        return evaluation.figures.get("train_loss")

    def explained(self) -> float:
        """Return the share of the baseline that training has done away with."""
        loss = self.recent_loss()
        return 0.0 if loss is None else 1 - loss / self.situation.baseline

    def kept_explained(self) -> float:
        """Return the same of the best evaluation, by the kinder of both losses.

        Dropout and other noise make the training loss the larger one.
        """
        losses = [
            value
            for one in self.evaluations
            for name, value in one.figures.items()
            if name in {"train_loss", "validation_loss"}
        ]
        return 1 - min(losses) / self.situation.baseline if losses else 0.0

    def series(self, name: str) -> list[float]:
        """Return one metric of all evaluations that have it."""
        return [e.figures[name] for e in self.evaluations if name in e.figures]

    def pace(self) -> float:
        """Return how much the training loss falls per epoch, by the newer half.

        The slope of the least-squares line, in baselines; 0 without a trend.
        """
        half = self.evaluations[-max(TREND, len(self.evaluations) // 2) :]
        points = [
            (e.step / self.situation.steps_per_epoch, e.figures["train_loss"])
            for e in half
            if "train_loss" in e.figures
        ]
        if len(points) < TREND:
            return 0.0
        return -slope(points) / self.situation.baseline

    def promise(self) -> float:
        """Return the share of the baseline that will be explained at this pace."""
        left = max(0, self.situation.recipe.epochs - self.epoch)
        return self.explained() + self.pace() * left

    def figures(self, name: str, samples: Sequence[Sample]) -> list[Figures]:
        """Return the figures of one layer in some samples."""
        return [s.layers[name] for s in samples if name in s.layers]

    def update_ratios(self) -> dict[str, float]:
        """Return the median update-to-weight ratio of each layer lately."""
        found = {}
        for part in self.situation.parts:
            lately = self.figures(part.name, self.last[-4:])
            ratios = [f["update_ratio"] for f in lately if f.get("update_ratio")]
            known = [one for one in ratios if one is not None]
            if known:
                found[part.name] = median(known)
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return everything that changes, for JSON."""
        return {
            "first": [sample.as_dict() for sample in self.first],
            "last": [sample.as_dict() for sample in self.last],
            "evaluations": [[e.step, e.epoch, e.figures] for e in self.evaluations],
            "counts": [[list(one) for one in both] for both in self.counts],
            "count": self.count,
        }

    def restore(self, found: Mapping[str, Any]) -> None:
        """Go on from what `as_dict` returned."""
        self.first = [Sample(**one) for one in found["first"]]
        self.last = [Sample(**one) for one in found["last"]]
        self.evaluations = [Evaluation(*one) for one in found["evaluations"]]
        self.counts = [(both[0], both[1]) for both in found["counts"]]
        self.count = found["count"]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the least-squares line through points (x, y)."""
    x_mean = sum(x for x, _ in points) / len(points)
    y_mean = sum(y for _, y in points) / len(points)
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    if spread == 0:
        return 0.0
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / spread
