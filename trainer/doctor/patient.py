"""The spec of the job under treatment: as submitted, as it runs, as it may change."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from trainer.spec.base import spelled_out
from trainer.spec.phases import OVERRIDES
from trainer.spec.training import Training

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trainer.spec.job import JobSpec

Json = dict[str, Any]


class Patient:
    """What treatments change, and what becomes of the job's spec by it.

    In a job with phases they see the phase under treatment as if it were the whole
    training; what they change goes to the phase where the phase says it, else to the
    recipe that all phases share.
    """

    def __init__(
        self,
        submitted: Mapping[str, Any],
        resolved: JobSpec,
        accepted: Callable[[Json], bool],
        phase: int = 0,
    ) -> None:
        self.submitted, self._accepted = dict(submitted), accepted
        self._phase = phase if submitted.get("phases") else None
        self.resolved = resolved
        """The spec in force."""
        self._made = submitted["network"].get("from") is not None
        self.written = self._seen()
        """The spec as treatments see it; almost everything may be absent."""

    def accepts(self, changed: Json) -> bool:
        """Return whether a changed `written` makes a spec that is accepted."""
        return self._accepted(self.whole(changed))

    def whole(self, changed: Json) -> Json:
        """Return the submitted spec with what was changed of `written`."""
        if self._made and changed["network"] == self.written["network"]:
            changed = {**changed, "network": self.submitted["network"]}
        if self._phase is None:
            return changed
        phases = deepcopy(list(self.submitted["phases"]))
        phase, recipe = phases[self._phase], dict(self.submitted.get("training") or {})
        seen, now = self.written["training"], changed.get("training") or {}
        for name in {*seen, *now}:
            if name in seen and name in now and seen[name] == now[name]:
                continue
            paced = name == "optimizer" and "learning_rate" in phase
            place = phase if name in phase or paced else recipe
            place.pop(name, None)
            if name in now:
                place[name] = now[name]
            if paced:
                del phase["learning_rate"]
        return {**changed, "training": recipe, "phases": phases}

    def _seen(self) -> Json:
        submitted = self.submitted
        if self._made:  # treatments see layers, not the model that they come from
            layers = self.resolved.network.model_dump(
                mode="json", by_alias=True, exclude_none=True
            )
            submitted = {**submitted, "network": layers}
        if self._phase is None:
            return submitted
        phase = self.submitted["phases"][self._phase]
        recipe = dict(self.submitted.get("training") or {})
        recipe |= {name: phase[name] for name in OVERRIDES if name in phase}
        if "learning_rate" in phase:
            rule = recipe.get("optimizer", Training().optimizer.kind)
            rate = {"learning_rate": phase["learning_rate"]}
            recipe["optimizer"] = {**_named(rule), **rate}
        rest = {name: each for name, each in submitted.items() if name != "phases"}
        return {**rest, "training": recipe}


def _named(rule: object) -> Json:
    """Return a rule as an object, whether or not it was a bare name."""
    found = spelled_out(rule)
    return dict(found) if isinstance(found, dict) else {}
