"""The doctor of one training: when to look, what was seen, what to say of it.

It is a `Memory` of the training: a resumed job goes on with what is known already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.doctor import curve_rules, fit_rules, layer_rules, start_rules
from trainer.doctor.counts import Counts
from trainer.doctor.course import Course
from trainer.doctor.findings import CODES, Finding, Told
from trainer.doctor.patches import patch
from trainer.doctor.unmoved import Unmoved

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from trainer.doctor.course import Situation
    from trainer.doctor.figures import Sample
    from trainer.doctor.findings import Sign
    from trainer.doctor.patient import Patient
    from trainer.doctor.probes import Pending, Probe, Probes
    from trainer.frozen import Frozen
    from trainer.spec.doctor import Doctor as Wish
    from trainer.training import Start

Event = dict[str, Any]

DENSE = 64
"""Samples that are all stored; of the next as many every second, and so on."""

AT_SAMPLES: tuple[Callable[[Course], Sign | None], ...] = (
    start_rules.initialization,
    layer_rules.exploding,
    layer_rules.vanishing,
    layer_rules.saturated,
    layer_rules.dying,
    curve_rules.diverging,
)
AT_EVALUATIONS: tuple[Callable[[Course], Sign | None], ...] = (
    layer_rules.vanishing,
    layer_rules.saturated,
    layer_rules.dying,
    curve_rules.diverging,
    curve_rules.not_falling,
    curve_rules.collapse,
    fit_rules.underfitting,
    fit_rules.overfitting,
)
ORDER = list(CODES)


class Doctor:
    """Looks at sampled steps and every evaluation, and keeps what it has to tell."""

    def __init__(
        self,
        wish: Wish,
        situation: Situation,
        probes: Probes,
        patient: Patient,
        frozen: Frozen,
        *,
        start: Start,
    ) -> None:
        self.interval, self.probes, self.patient = wish.interval, probes, patient
        self.start = start
        """Where the training began; all that it sees counts from there."""
        self.course = Course(situation)
        self.told = Told()
        self.counts = Counts(len(situation.class_counts))
        self.unmoved = Unmoved(frozen)
        self._pending: list[Pending] = []
        self._news: list[Event] = []
        self._treated: dict[str, set[str]] = {}

    def due(self, step: int) -> bool:
        """Return whether a step, counted from 1, is sampled.

        It follows from the number alone: steps 1, 2, 4, 16, 64, ... at first, then one
        in every interval.
        """
        if step >= self.interval:
            return step % self.interval == 0
        power_of_four = step & (step - 1) == 0 and step.bit_length() % 2 == 1
        return power_of_four or step == 2  # noqa: PLR2004 - what the first step has done

    def probe(
        self, position: tuple[int, int, float], values: Mapping[str, Tensor]
    ) -> Probe:
        """Return what watches the step about to be taken.

        `position` is (step, epoch, learning rate). The sample stays on the device until
        somebody waits for it anyway.
        """
        batch = values if position[0] == 1 else None
        return self.probes.open(position, batch, self._pending)

    def collect(self) -> None:
        """Read the samples taken since the last time, and judge each in turn."""
        pending = list(self._pending)
        self._pending.clear()
        for one in pending:
            sample = self.probes.read(one)
            self.course.take(sample)
            self._store(sample)
            self._judge(AT_SAMPLES)

    def look(self, step: int, epoch: int, figures: Mapping[str, float]) -> None:
        """Judge after an evaluation."""
        self.collect()
        self.course.evaluate(step, epoch, figures, self.counts.read())
        self._judge(AT_EVALUATIONS)
        self._check_frozen()

    def finish(self) -> None:
        """Judge once more, now that training is over."""
        self.collect()
        self.course.ended = True
        self._judge(AT_EVALUATIONS)
        self._check_frozen()

    def lost(self) -> None:
        """Judge a training whose loss is no number any more."""
        self.collect()
        if self.course.last:
            self._judge((*AT_SAMPLES, curve_rules.lost))

    def news(self) -> list[Event]:
        """Return the events since the last call: findings, and figures of layers."""
        news, self._news = self._news, []
        return news

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what a resumed training must know."""
        self.collect()
        return {}, {
            "course": self.course.as_dict(),
            "told": dict(self.told.worst),
            "treated": {code: sorted(names) for code, names in self._treated.items()},
        }

    def restore(
        self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
    ) -> None:
        """Go on from what `state` returned."""
        self.course.restore(numbers["course"])
        self.told = Told(dict(numbers["told"]))
        self._treated = {c: set(names) for c, names in numbers["treated"].items()}

    def _store(self, sample: Sample) -> None:
        thin = 1
        while self.course.count > DENSE * thin:
            thin *= 2
        if self.course.count % thin == 0:
            self._news.append(
                {
                    "event": "layers",
                    "step": self.start.step + sample.step,
                    "epoch": self.start.epoch + sample.epoch,
                    "layers": sample.shown(),
                }
            )

    def _judge(self, rules: tuple[Callable[[Course], Sign | None], ...]) -> None:
        """Tell what the rules see and was not told before, root causes first."""
        signs = [sign for rule in rules if (sign := rule(self.course)) is not None]
        for sign in sorted(signs, key=_place):
            if self.told.is_news(sign):
                self._tell(sign)

    def _tell(self, sign: Sign) -> None:
        cause = self.told.cause_of(sign.code)
        if cause is None and sign.code == "loss_not_falling" and self._imbalance_told():
            cause = "class_collapse"
        self.told.note(sign)
        treatments = set(sign.treatments)
        if cause is not None:  # the cure of the cause is the cure
            treatments -= {"slow_down", "speed_up"}  # steps of a sick network mislead
            treatments |= self._treated.get(cause, set())
        self._treated[sign.code] = treatments
        finding = Finding(
            code=sign.code,
            layer=sign.layer,
            severity=sign.severity,
            detail=sign.detail,
            evidence=sign.evidence,
            patch=patch(self.patient, self.course, treatments),
            step=self.start.step + self.course.step,
            epoch=self.start.epoch + self.course.epoch,
            cause=cause,
        )
        self._news.append(finding.event())

    def _imbalance_told(self) -> bool:
        """Return whether classes that are never predicted are so for being rare."""
        return "weigh_classes" in self._treated.get("class_collapse", set())

    def _check_frozen(self) -> None:
        sign = self.unmoved.check()
        if sign is not None and self.told.is_news(sign):
            self._tell(sign)


def _place(sign: Sign) -> int:
    """Return where a fault stands among those seen at once: root causes first."""
    if sign.code == "class_collapse" and "weigh_classes" in sign.treatments:
        return ORDER.index("underfitting")  # unequal classes explain a loss that stays
    return ORDER.index(sign.code)
