"""Every member of every family keeps the promises that its family makes."""

from math import sqrt
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from trainer.spec.activations import Activation
from trainer.spec.activity import ActivityRegularization
from trainer.spec.augmentation import Augmentation
from trainer.spec.auxiliary import AuxiliaryTask
from trainer.spec.averaging import Averaging
from trainer.spec.base import variants
from trainer.spec.clipping import GradientClipping
from trainer.spec.data.encodings import Encoding
from trainer.spec.initializers import Constant as ConstantFill
from trainer.spec.initializers import Initializer, fans
from trainer.spec.layers import Layer
from trainer.spec.losses import DEFAULT_LOSS, Loss
from trainer.spec.mixing import Mixing
from trainer.spec.normalizations import Normalization
from trainer.spec.optimizers import Optimizer
from trainer.spec.pruning import Pruning
from trainer.spec.schedules import Schedule
from trainer.spec.weighting import ClassWeights, Sampling

FAMILIES: dict[str, Any] = {
    "activations": Activation,
    "activity_regularizers": ActivityRegularization,
    "augmentation": Augmentation,
    "auxiliary_tasks": AuxiliaryTask,
    "averaging": Averaging,
    "class_weights": ClassWeights,
    "clipping": GradientClipping,
    "encodings": Encoding,
    "initializers": Initializer,
    "layers": Layer,
    "losses": Loss,
    "mixing": Mixing,
    "normalizations": Normalization,
    "optimizers": Optimizer,
    "pruning": Pruning,
    "sampling": Sampling,
    "schedules": Schedule,
}
REQUIRED: dict[str, dict[str, Any]] = {
    "constant": {"value": 0.5},
    "piecewise_constant": {"boundaries": [10], "factors": [0.5]},
    "tied_dense": {"tied_to": "hidden1"},
    "shared": {"of": "hidden1"},
    "conv1d": {"filters": 4},
    "conv2d": {"filters": 4},
    "separable_conv1d": {"filters": 4},
    "separable_conv2d": {"filters": 4},
    "transposed_conv1d": {"filters": 4},
    "transposed_conv2d": {"filters": 4},
    "embedding": {"units": 4},
    "simple_rnn": {"units": 4},
    "gru": {"units": 4},
    "lstm": {"units": 4},
    "reshape": {"shape": [-1]},
    "columns": {"columns": ["age"]},
    "permute": {"axes": [1]},
    "repeat_vector": {"steps": 2},
    "residual": {"filters": 4},
    "activation": {"activation": "elu"},
    "given": {"weights_of": {"rare": 5.0}},
}
"""What a member cannot do without, by kind; the schedule ``constant`` and the encoding
``embedding`` take nothing."""

MEMBERS = [
    pytest.param(family, member, id=f"{family}-{member.model_fields['kind'].default}")
    for family, union in FAMILIES.items()
    for member in variants(union)
]
every_member = pytest.mark.parametrize(("family", "member"), MEMBERS)
every_optimizer = pytest.mark.parametrize("optimizer", variants(Optimizer))
every_initializer = pytest.mark.parametrize("initializer", variants(Initializer))
every_activation = pytest.mark.parametrize("activation", variants(Activation))


def _given(family: Any, member: Any) -> Any:
    kind = member.model_fields["kind"].default
    alike = {("schedules", "constant"), ("encodings", "embedding")}
    extra = {} if (family, kind) in alike else REQUIRED.get(kind)
    return {"kind": kind} | (extra or {})


@every_member
def test_a_member_survives_json(family: Any, member: Any):
    adapter = TypeAdapter(FAMILIES[family])
    first = adapter.validate_python(_given(family, member))

    again = adapter.validate_json(first.model_dump_json(exclude_none=True))

    assert isinstance(first, member)
    assert again == first


@every_member
def test_a_member_refuses_fields_it_does_not_have(family: Any, member: Any):
    with pytest.raises(ValidationError, match="extra"):
        TypeAdapter(FAMILIES[family]).validate_python(
            _given(family, member) | {"no_such_field": 1}
        )


@every_member
def test_a_member_documents_itself_and_its_fields(family: Any, member: Any):
    schema = member.model_json_schema()
    fields = {n: f for n, f in schema["properties"].items() if n != "kind"}

    assert schema["description"]
    assert all(field.get("description") for field in fields.values()), fields


@every_member
def test_a_member_is_hashable_and_cannot_be_changed(family: Any, member: Any):
    one = TypeAdapter(FAMILIES[family]).validate_python(_given(family, member))

    assert hash(one) == hash(one.model_copy())
    with pytest.raises(ValidationError, match="frozen"):
        one.kind = "other"


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"layers"}))
def test_a_bare_name_stands_for_the_object(family: Any):
    adapter = TypeAdapter(FAMILIES[family])
    kinds = [m.model_fields["kind"].default for m in variants(FAMILIES[family])]
    plain = next(kind for kind in kinds if kind not in REQUIRED)

    assert adapter.validate_python(plain) == adapter.validate_python({"kind": plain})


@pytest.mark.parametrize(
    "family",
    [
        "activations",
        "activity_regularizers",
        "averaging",
        "class_weights",
        "clipping",
        "mixing",
        "normalizations",
        "schedules",
    ],
)
def test_null_and_none_switch_off(family: Any):
    adapter = TypeAdapter(FAMILIES[family])

    assert adapter.validate_python(None).kind == "none"
    assert adapter.validate_python(None) == adapter.validate_python("none")


@every_optimizer
def test_an_optimizer_goes_downhill(optimizer: Any):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.tensor([3.0, -2.0, 1.0]))
    descent = optimizer(learning_rate=0.05).build([weight])
    start = float((weight**2).sum().detach())

    for _ in range(60):
        descent.zero_grad()
        (weight**2).sum().backward()
        descent.step()

    assert float((weight**2).sum().detach()) < start


@every_initializer
def test_an_initializer_fills_alike_for_the_same_seed(initializer: Any):
    given = {"value": 0.5} if initializer is ConstantFill else {}
    one, two = torch.empty(40, 30), torch.empty(40, 30)

    initializer(**given).fill(one, torch.Generator().manual_seed(7))
    initializer(**given).fill(two, torch.Generator().manual_seed(7))

    assert torch.equal(one, two)
    assert torch.isfinite(one).all()


@pytest.mark.parametrize(
    ("kind", "variance"),
    [
        ("glorot_uniform", 2 / (200 + 300)),
        ("glorot_normal", 2 / (200 + 300)),
        ("he_uniform", 2 / 200),
        ("he_normal", 2 / 200),
        ("lecun_uniform", 1 / 200),
        ("lecun_normal", 1 / 200),
    ],
)
def test_an_initializer_has_the_variance_of_its_paper(kind: Any, variance: Any):
    weight = torch.empty(300, 200)

    TypeAdapter(Initializer).validate_python(kind).fill(
        weight, torch.Generator().manual_seed(3)
    )

    assert weight.var().item() == pytest.approx(variance, rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=3 * sqrt(variance / 60_000))


def test_fans_count_the_kernel_positions_of_a_convolution():
    assert fans((64, 32, 5, 5)) == (32 * 25, 64 * 25)


@every_activation
def test_an_activation_keeps_the_shape_and_passes_gradients(activation: Any):
    sums = 6 * activation().sums_per_output
    z = torch.linspace(-3, 3, 5 * sums).reshape(5, sums).requires_grad_()

    outputs = activation().build((sums,))(z)
    outputs.sum().backward()

    assert outputs.shape == (5, 6)
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize(
    ("given", "z", "expected"),
    [
        ({"kind": "leaky_relu"}, -2.0, -0.02),
        ({"kind": "leaky_relu", "negative_slope": 0.2}, -2.0, -0.4),
        ({"kind": "elu", "alpha": 2.0}, -1.0, 2 * (0.36787944 - 1)),
        ({"kind": "selu"}, 1.0, 1.05070098),
        ({"kind": "sigmoid"}, 0.0, 0.5),
        ({"kind": "softplus"}, 0.0, 0.69314718),
    ],
)
def test_an_activation_has_the_value_of_its_formula(given: Any, z: Any, expected: Any):
    module = TypeAdapter(Activation).validate_python(given).build((1,))

    assert module(torch.tensor([z])).item() == pytest.approx(expected, rel=1e-6)


def test_every_task_has_a_loss_that_is_for_it():
    assert all(task in loss.tasks for task, loss in DEFAULT_LOSS.items())
