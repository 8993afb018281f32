"""The parameters that learn, grouped by what an optimizer has to tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.spec.layers import OUTPUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from trainer.network import Described, Network
    from trainer.spec.clipping import GradientClipping
    from trainer.spec.optimizers.rule import Rule

MATRIX = 2
MULTIPLIER, ROLE = "multiplier", "role"
"""What a group says beside torch's own fields: what its layers' learning rate is
multiplied by, and the role of its parameters: `spec.optimizers.rule.Rule.by_role`."""
TABLES = frozenset({"embedding", "column_embedding"})
"""Layers whose matrix is looked up in, not multiplied by."""


def parameter_groups(
    network: Network, rule: Rule, multipliers: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return torch's parameter groups: as few as can be, in layer order.

    One group, unless layers have multipliers of their own or the rule asks for roles.
    `multipliers`, by layer, take the place of those.
    """
    own = {
        str(layer.name): getattr(layer, "learning_rate_multiplier", 1.0)
        for layer in network.spec.layers
    }
    whole = {**own, **multipliers}
    kinds = {row.name: row.kind for row in network.rows}
    groups: dict[tuple[float, str], list[nn.Parameter]] = {}
    for each in network.described():
        if not each.parameter.requires_grad:
            continue
        role = _role(each, kinds[each.layer]) if rule.by_role else ""
        groups.setdefault((whole[each.layer], role), []).append(each.parameter)
    return [
        {"params": parameters, MULTIPLIER: multiplier, ROLE: role}
        for (multiplier, role), parameters in groups.items()
    ]


def clipped(
    network: Network, clipping: GradientClipping
) -> tuple[list[nn.Parameter], list[int]]:
    """Return the parameters whose gradients are clipped, and their units' axes."""
    found = [
        each
        for each in network.described()
        if each.parameter.requires_grad
        and not (clipping.spares_output and each.layer == OUTPUT)
    ]
    return [e.parameter for e in found], [e.shape.unit_axis for e in found]


def set_rates(
    groups: list[dict[str, Any]], learning_rate: float, momentum: float | None
) -> None:
    """Give every group its learning rate, and its momentum if that changes too."""
    for group in groups:
        group["lr"] = learning_rate * group[MULTIPLIER]
        if momentum is None:
            continue
        if group.get("momentum"):
            group["momentum"] = momentum
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])


def _role(each: Described, kind: str) -> str:
    if not each.weighs:
        return "vector"
    matrix = each.parameter.ndim == MATRIX and kind not in TABLES
    return "hidden" if matrix and each.layer != OUTPUT else "weight"
