"""What every piece of a spec shares: the model class, the field types, the unions.

A family (``losses.py``, ``optimizers/``, …) has one class per technique and, at the
bottom of its file or of its ``__init__.py``, the union of them. To add a technique,
write its class there and put its name into the union: validation, the JSON schema,
``GET /v1/techniques`` and the family's conformance tests follow from that one edit.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

Fraction = Annotated[float, Field(ge=0, lt=1)]
"""A dimensionless coefficient in [0, 1): a momentum, a decay, a dropout rate."""

Rate = Annotated[float, Field(gt=0, le=1e6)]
"""A strictly positive rate: a learning rate, a threshold, a scale."""

Coefficient = Annotated[float, Field(ge=0, le=1e6)]
"""A penalty's weight; 0 switches it off."""

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""A number of things, at least one."""

Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", max_length=100)
]
"""The name of a job, a model or a data set: it may appear in a path."""

LayerName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$", max_length=100)
]
"""The name of a layer: no dot, because tensors are named ``<layer>.<tensor>``."""

Off = Literal["none"]
"""Written as ``"none"`` or ``null``: switched off, rather than inherited."""


class Spec(BaseModel):
    """A piece of a training request, exactly as the user wrote it."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=False,
    )


def spelled_out(value: object) -> object:
    """Turn a bare name into an object with that kind, and null into kind none."""
    if value is None:
        return {"kind": "none"}
    if isinstance(value, str):
        return {"kind": value}
    return value


def off_by_null(value: object) -> object:
    """Turn null into the word that the resolved form writes."""
    return "none" if value is None else value


Named = BeforeValidator(
    spelled_out, json_schema_input_type=str | Mapping[str, Any] | None
)
"""Beside a union: a bare name stands for the object with that kind."""

Nullable = BeforeValidator(off_by_null)
"""Beside a field that may be switched off: null stands for ``"none"``."""


def variants(union: object) -> tuple[type[Spec], ...]:
    """Return the classes that a family's union chooses between, in its order."""
    if isinstance(union, type):
        return (union,)
    if get_origin(union) is Annotated:
        return variants(get_args(union)[0])
    return tuple(found for part in get_args(union) for found in variants(part))
