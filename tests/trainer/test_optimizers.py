"""Optimizers, against torch, against their papers' formulas, and across a restart."""

import json
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainer.rules.muon import orthogonal
from trainer.spec.base import variants
from trainer.spec.optimizers import Momentum, Nesterov, Optimizer, Sgd

every_optimizer = pytest.mark.parametrize(
    "kind", [member.model_fields["kind"].default for member in variants(Optimizer)]
)
SHAPES = ((4, 3), (3,), (2, 4), (2, 3, 2, 2))
STEPS = 10


def wished(kind: str, **fields: Any) -> Any:
    """Return the spec of an optimizer."""
    return TypeAdapter(Optimizer).validate_python({"kind": kind} | fields)


def parameters(seed: int = 1) -> list[nn.Parameter]:
    """Return a few parameters in float64."""
    generator = torch.Generator().manual_seed(seed)
    return [
        nn.Parameter(torch.randn(*shape, generator=generator, dtype=torch.float64))
        for shape in SHAPES
    ]


def gradients(step: int) -> list[Tensor]:
    """Return the gradients of a step: of no function, and the same for all."""
    generator = torch.Generator().manual_seed(100 + step)
    return [
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in SHAPES
    ]


def after(build: Callable[[Any], Any], steps: int = STEPS) -> list[Tensor]:
    """Return the parameters after some steps of an optimizer."""
    weights = parameters()
    rule = build(weights)
    for step in range(steps):
        for weight, gradient in zip(weights, gradients(step), strict=True):
            weight.grad = gradient
        rule.step()
    return [weight.detach() for weight in weights]


def test_sgd_takes_the_step_of_its_definition() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    descent = Sgd(learning_rate=0.1).build([weight])
    weight.grad = torch.tensor([2.0])

    descent.step()

    assert weight.item() == pytest.approx(1 - 0.1 * 2)


def test_momentum_takes_the_steps_of_its_definition() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    descent = Momentum(learning_rate=0.1, momentum=0.5).build([weight])

    weight.grad = torch.tensor([2.0])
    descent.step()  # m = 2, w = 1 - 0.2
    weight.grad = torch.tensor([1.0])
    descent.step()  # m = 0.5 * 2 + 1 = 2, w = 0.8 - 0.2

    assert weight.item() == pytest.approx(0.6)


def test_nesterov_looks_ahead_as_its_definition_says() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    descent = Nesterov(learning_rate=0.1, momentum=0.5).build([weight])

    weight.grad = torch.tensor([2.0])
    descent.step()  # m = 2, w = 1 - 0.1 (2 + 0.5 * 2) = 0.7
    weight.grad = torch.tensor([1.0])
    descent.step()  # m = 2, w = 0.7 - 0.1 (1 + 0.5 * 2) = 0.5

    assert weight.item() == pytest.approx(0.5)


TORCH: dict[str, tuple[dict[str, Any], Callable[..., Any]]] = {
    "gradient_descent": ({}, torch.optim.SGD),
    "sgd": ({}, torch.optim.SGD),
    "momentum": ({}, lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9)),
    "nesterov": (
        {},
        lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True),
    ),
    "adagrad": (
        {"initial_accumulator": 0.2},
        lambda p, lr: torch.optim.Adagrad(
            p, lr=lr, initial_accumulator_value=0.2, eps=1e-7
        ),
    ),
    "adadelta": (
        {"rho": 0.9},
        lambda p, lr: torch.optim.Adadelta(p, lr=lr, rho=0.9, eps=1e-6),
    ),
    "rmsprop": (
        {"momentum": 0.8, "centered": True},
        lambda p, lr: torch.optim.RMSprop(
            p, lr=lr, alpha=0.9, momentum=0.8, centered=True, eps=1e-7
        ),
    ),
    "adam": ({"beta1": 0.8}, lambda p, lr: torch.optim.Adam(p, lr, (0.8, 0.999))),
    "adamw": (
        {"weight_decay": 0.3},
        lambda p, lr: torch.optim.AdamW(p, lr=lr, weight_decay=0.3),
    ),
    "amsgrad": (
        {"beta2": 0.5},
        lambda p, lr: torch.optim.Adam(p, lr, (0.9, 0.5), amsgrad=True),
    ),
    "adamax": ({"beta2": 0.5}, lambda p, lr: torch.optim.Adamax(p, lr, (0.9, 0.5))),
    "nadam": ({}, torch.optim.NAdam),
    "radam": ({}, torch.optim.RAdam),
}
"""What torch has: our fields, and torch's own optimizer with the same meaning. Its
single-tensor code is the reference, whatever kernel we ask for."""


@pytest.mark.parametrize("kind", TORCH)
def test_an_optimizer_takes_the_steps_of_torch(kind: str) -> None:
    fields, reference = TORCH[kind]

    found = after(wished(kind, learning_rate=0.03, **fields).build)
    expected = after(lambda weights: reference(weights, lr=0.03))

    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def lion(weight: Tensor, memory: dict[str, Any], gradient: Tensor) -> Tensor:
    """Return the next weight, after Chen et al. (2023), algorithm 2."""
    mean: Tensor = memory.get("m", torch.zeros_like(weight))
    update = torch.sign(0.9 * mean + 0.1 * gradient)
    memory["m"] = 0.99 * mean + 0.01 * gradient
    return weight - 0.03 * (update + 0.2 * weight)


def adam_ratio(memory: dict[str, Any], gradient: Tensor, epsilon: float) -> Tensor:
    """Return Adam's direction, after Kingma and Ba (2015), algorithm 1."""
    step = memory["t"] = memory.get("t", 0) + 1
    memory["m"] = 0.9 * memory.get("m", 0) + 0.1 * gradient
    memory["v"] = 0.999 * memory.get("v", 0) + 0.001 * gradient**2
    root = (memory["v"] / (1 - 0.999**step)).sqrt()
    ratio: Tensor = memory["m"] / (1 - 0.9**step) / (root + epsilon)
    return ratio


def lamb(weight: Tensor, memory: dict[str, Any], gradient: Tensor) -> Tensor:
    """Return the next weight, after You et al. (2020), algorithm 2."""
    update = adam_ratio(memory, gradient, 1e-6) + 0.2 * weight
    found: Tensor = weight - 0.03 * weight.norm() / update.norm() * update
    return found


def muon(weight: Tensor, memory: dict[str, Any], gradient: Tensor) -> Tensor:
    """Return the next weight, after Jordan et al. (2024), or by AdamW's step."""
    shrunk = weight * (1 - 0.03 * 0.2)
    if weight.ndim != 2:
        return shrunk - 0.03 * adam_ratio(memory, gradient, 1e-8)
    mean = memory["m"] = 0.95 * memory.get("m", 0) + 0.05 * gradient
    ahead = 0.05 * gradient + 0.95 * mean
    x = ahead / ahead.norm()
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x - 4.7750 * square @ x + 2.0315 * square @ square @ x
    found: Tensor = shrunk - 0.03 * 0.2 * sqrt(max(weight.shape)) * x
    return found


@pytest.mark.parametrize("formula", [lion, lamb, muon], ids=lambda f: f.__name__)
def test_an_optimizer_takes_the_steps_of_its_paper(
    formula: Callable[[Tensor, dict[str, Any], Tensor], Tensor],
) -> None:
    expected: list[Any] = [weight.detach() for weight in parameters()]
    memories: list[dict[str, Any]] = [{} for _ in expected]
    for step in range(STEPS):
        expected = list(map(formula, expected, memories, gradients(step)))

    wish = wished(formula.__name__, learning_rate=0.03, weight_decay=0.2)
    found = after(wish.build)

    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch 2.9 has the first")
def test_muon_is_about_that_of_torch() -> None:
    """Show it for matrices; torch computes the iteration in bfloat16."""
    start = torch.randn(20, 30, generator=torch.Generator().manual_seed(2))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    found = wished("muon", learning_rate=0.1, weight_decay=0.2).build([ours])
    expected = torch.optim.Muon(
        [theirs], lr=0.1, weight_decay=0.2, adjust_lr_fn="match_rms_adamw"
    )

    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        ours.grad = torch.randn(20, 30, generator=generator)
        theirs.grad = ours.grad.clone()
        found.step()
        expected.step()

    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved


@pytest.mark.parametrize("shape", [(30, 10), (10, 30), (12, 12)])
def test_the_orthogonal_step_has_singular_values_near_one(shape: Any) -> None:
    generator = torch.Generator().manual_seed(4)
    matrix = torch.randn(*shape, generator=generator, dtype=torch.float64)

    values = torch.linalg.svdvals(orthogonal(matrix, 10))

    # the coefficients do not converge to 1 but stay about it
    assert values.min() > 0.6
    assert values.max() < 1.3


@pytest.mark.parametrize("kind", ["lamb", "lion", "muon"])
def test_weight_decay_spares_vectors(kind: str) -> None:
    one, two = nn.Parameter(torch.full((2,), 2.0)), nn.Parameter(torch.full((2,), 2.0))
    for role, parameter, decay in (("vector", one, 0.9), ("vector", two, 0.0)):
        groups = [{"params": [parameter], "role": role}]
        rule = wished(kind, weight_decay=decay).build(groups)
        parameter.grad = torch.ones(2)
        rule.step()

    assert torch.equal(one, two)


def test_lamb_takes_adams_step_for_vectors() -> None:
    vector, free = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    rule = wished("lamb", learning_rate=0.1).build(
        [{"params": [vector], "role": "vector"}]
    )
    adam = torch.optim.Adam([free], lr=0.1, eps=1e-6)
    vector.grad = torch.tensor([1.0, -2.0, 3.0])
    free.grad = vector.grad.clone()

    rule.step()
    adam.step()

    torch.testing.assert_close(vector, free)


def test_lamb_steps_from_a_layer_of_zeros() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    rule = wished("lamb", learning_rate=0.1).build([weight])
    weight.grad = torch.ones(2, 2)

    rule.step()

    torch.testing.assert_close(weight.detach(), torch.full((2, 2), -0.1))


def remembered(rule: Any) -> dict[str, Any]:
    """Return what an optimizer remembers, by parameter and name."""
    state = rule.state_dict()["state"]
    return {f"{p}.{n}": v for p, memory in state.items() for n, v in memory.items()}


@every_optimizer
def test_slots_tell_how_many_numbers_are_kept_for_each_parameter(kind: str) -> None:
    extra = {"momentum": 0.5, "centered": True} if kind == "rmsprop" else {}
    wish = wished(kind, **extra)
    weights = parameters()
    rule = wish.build(weights)
    for weight, gradient in zip(weights, gradients(0), strict=True):
        weight.grad = gradient

    rule.step()

    of_vector = [
        value
        for name, value in remembered(rule).items()
        if name.startswith("1.") and isinstance(value, Tensor) and value.ndim
    ]
    assert sum(value.numel() for value in of_vector) == wish.slots * SHAPES[1][0]


@every_optimizer
def test_what_an_optimizer_remembers_is_tensors_and_numbers(
    kind: str, tmp_path: Path
) -> None:
    weights = parameters()
    rule = wished(kind).build(weights)
    for weight, gradient in zip(weights, gradients(0), strict=True):
        weight.grad = gradient
    rule.step()

    memory = remembered(rule)
    tensors = {n: v for n, v in memory.items() if isinstance(v, Tensor)}
    numbers = {n: v for n, v in memory.items() if not isinstance(v, Tensor)}
    save_file(tensors, tmp_path / "tensors")

    assert load_file(tmp_path / "tensors").keys() == tensors.keys()
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


@every_optimizer
def test_a_parameter_without_a_gradient_stays_where_it_is(kind: str) -> None:
    used, unused = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    rule = wished(kind).build([used, unused])
    used.grad = torch.ones(2, 2)

    rule.step()

    assert not torch.equal(used, torch.ones(2, 2))
    assert torch.equal(unused, torch.ones(2, 2))


@pytest.mark.gpu
@every_optimizer
def test_an_optimizer_takes_the_same_steps_on_a_gpu(kind: str) -> None:
    """Show it for the steps up to rounding; muon's are in bfloat16 there."""
    here, there = parameters(), [nn.Parameter(p.detach().cuda()) for p in parameters()]
    on_cpu, on_gpu = wished(kind).build(here), wished(kind).build(there)
    for step in range(STEPS):
        for one, other, gradient in zip(here, there, gradients(step), strict=True):
            one.grad, other.grad = gradient, gradient.cuda()
        on_cpu.step()
        on_gpu.step()

    tolerance = 1e-2 if kind == "muon" else 1e-9
    moved = [other.detach().cpu() for other in there]
    torch.testing.assert_close(
        moved, [p.detach() for p in here], rtol=tolerance, atol=tolerance
    )
