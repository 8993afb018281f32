"""GET /v1/techniques: every technique a spec can name, described from its own class."""

import re
from functools import cache
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from trainer.spec.activations import Activation
from trainer.spec.activity import ActivityRegularization
from trainer.spec.augmentation import Augmentation
from trainer.spec.auxiliary import AuxiliaryTask
from trainer.spec.averaging import Averaging
from trainer.spec.base import Spec, variants
from trainer.spec.clipping import GradientClipping
from trainer.spec.data import Windows
from trainer.spec.data.encodings import Encoding
from trainer.spec.doctor import Doctor
from trainer.spec.initializers import Initializer
from trainer.spec.layers import Layer
from trainer.spec.losses import Loss
from trainer.spec.mixing import Mixing
from trainer.spec.normalizations import Normalization
from trainer.spec.optimizers import Optimizer
from trainer.spec.phases import Phase
from trainer.spec.pretraining import Pretraining
from trainer.spec.pruning import Pruning
from trainer.spec.regularization import EarlyStopping, Regularization
from trainer.spec.schedules import Schedule
from trainer.spec.serving import Serving
from trainer.spec.weighting import ClassWeights, Sampling

router = APIRouter(prefix="/techniques", tags=["service"])

FAMILIES: dict[str, object] = {
    "layers": Layer,
    "activations": Activation,
    "initializers": Initializer,
    "normalizations": Normalization,
    "activity_regularizers": ActivityRegularization,
    "optimizers": Optimizer,
    "schedules": Schedule,
    "gradient_clipping": GradientClipping,
    "regularization": Regularization,
    "early_stopping": EarlyStopping,
    "pruning": Pruning,
    "serving": Serving,
    "doctor": Doctor,
    "losses": Loss,
    "augmentation": Augmentation,
    "mixing": Mixing,
    "averaging": Averaging,
    "class_weights": ClassWeights,
    "sampling": Sampling,
    "encodings": Encoding,
    "windows": Windows,
    "auxiliary_tasks": AuxiliaryTask,
    "phases": Phase,
    "pretraining": Pretraining,
}
"""Each family's union; its members follow from it."""

SOURCE = re.compile(r"\b[Aa]fter ([A-Z].*?\(\d{4}\).*?)\.(?:\s|$)", re.DOTALL)
SENTENCE_END = re.compile(r"(?<!\bal)\.\s")
"""Not the full stop of "et al."."""
RANGES = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum",
}


class FieldView(BaseModel):
    """One field of a technique."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """The field's name in a spec."""
    description: str
    """Its meaning and unit."""
    required: bool
    """Whether it must be given."""
    default: Any
    """What holds where it is absent."""
    minimum: float | None = None
    """Smallest value."""
    maximum: float | None = None
    """Largest value."""
    exclusive_minimum: float | None = None
    """Every value must be larger than this."""
    exclusive_maximum: float | None = None
    """Every value must be smaller than this."""


class TechniqueView(BaseModel):
    """One technique."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    kind: str
    """The name that a spec uses."""
    summary: str
    """What it does."""
    source: str | None
    """Where it was published."""
    fields: list[FieldView]
    """Its parameters."""
    json_schema: dict[str, Any]
    """The same for programs: the JSON schema of the object form."""


class FamilyView(BaseModel):
    """Techniques that can stand in for each other."""

    family: str
    summary: str
    kinds: list[TechniqueView]


class TechniquesView(BaseModel):
    """Everything that a spec can name."""

    object: str = "list"
    data: list[FamilyView]
    has_more: bool = False
    next_cursor: str | None = None


@router.get("")
def list_techniques() -> TechniquesView:
    """List every technique with its parameters, defaults, ranges and source."""
    return _all()


@cache
def _all() -> TechniquesView:
    return TechniquesView(
        data=[
            FamilyView(
                family=family,
                summary=family.replace("_", " "),
                kinds=[_technique(member) for member in variants(union)],
            )
            for family, union in FAMILIES.items()
        ]
    )


def _technique(member: type[Spec]) -> TechniqueView:
    schema = member.model_json_schema()
    text = " ".join((member.__doc__ or "").split())
    found = SOURCE.search(text)
    kind = member.model_fields.get("kind")
    return TechniqueView(
        kind=str(kind.default) if kind is not None else _in_words(member.__name__),
        summary=SENTENCE_END.split(text)[0].rstrip("."),
        source=found.group(1) if found else None,
        fields=[
            _field(name, field, name in schema.get("required", ()))
            for name, field in schema["properties"].items()
            if name != "kind"
        ],
        json_schema=schema,
    )


def _in_words(name: str) -> str:
    """Return EarlyStopping as early_stopping."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _field(name: str, schema: dict[str, Any], required: bool) -> FieldView:
    limits: dict[str, float] = {}
    for part in [schema, *schema.get("anyOf", ())]:
        limits |= {own: part[given] for given, own in RANGES.items() if given in part}
    return FieldView(
        name=name,
        description=" ".join(str(schema.get("description", "")).split()),
        required=required,
        default=schema.get("default"),
        **limits,
    )
