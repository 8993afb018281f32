"""How closely the training doctor looks while a job trains."""

from typing import Annotated

from pydantic import BeforeValidator

from trainer.spec.base import Count, Off, Spec


class Doctor(Spec):
    """Sample figures of every layer, and name what is wrong with a patch for it.

    Nothing that is trained changes by it, to the last bit.
    """

    interval: Count = 100
    """Optimizer steps between two samples once the first have been taken (steps 1, 2,
    4, 16, 64); a sample costs about as much as a step, so 100 makes it one percent of
    the time."""


def _spelled_out(value: object) -> object:
    """Accept the words people use for a switch."""
    if value is None or value is False or value == "off":
        return "none"
    if value is True or value in ("on", "auto"):
        return {}
    return value


DoctorWish = Annotated[
    Doctor | Off,
    BeforeValidator(_spelled_out, json_schema_input_type=Doctor | str | bool | None),
]
"""The doctor, or ``"none"`` (also written ``"off"``, false or null)."""
