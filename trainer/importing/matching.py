"""Which tensor of a file is which tensor of a network that a person wrote down.

First what the person says, then equal names, then the order, then shapes; where more
than one would do, the candidates are listed and nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from trainer.importing.errors import NotImportable, unfit
from trainer.importing.found import Origin
from trainer.importing.layouts import dense_from_last, from_depthwise, from_hwio
from trainer.importing.naming import listed, natural, plain, taken_apart
from trainer.spec.errors import nearest, pointer
from trainer.spec.imports import ImportProblem
from trainer.spec.network import INPUT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from trainer.importing.found import Array, Weights
    from trainer.spec.network import Row
    from trainer.spec.shapes import Shape, TensorShape

COUNTER = "num_batches_tracked"
NORMALIZATION = frozenset({"running_mean", "running_var"})
PASSES = frozenset({"activation", "dropout", "flatten", "batch_normalization"})
"""Kinds that keep the order of what they are given."""


@dataclass(frozen=True)
class Slot:
    """A group of tensors of one layer: its own, or those of a part of it."""

    name: str
    """``layer`` or ``layer.part``."""
    row: Row
    tensors: Mapping[str, TensorShape]
    """By the last word of their names."""
    image: Shape | None
    """For a dense layer behind a flattened image: (channels, height, width)."""


@dataclass
class Group:
    """Tensors of the file that belong to one layer there."""

    name: str
    tensors: dict[str, tuple[str, Array]] = field(default_factory=dict)
    """By what they are called in a layer here: the name in the file, the values."""

    def described(self) -> str:
        """Return the group in words."""
        shapes = ", ".join(f"{r} {list(a.shape)}" for r, (_, a) in self.tensors.items())
        return f"{self.name or 'nameless'!r} ({shapes})"


@dataclass(frozen=True)
class Matched:
    """The tensors of a network, and where each comes from."""

    tensors: dict[str, Array]
    origins: list[Origin]
    unused: list[str]
    """Names in the file that no layer took."""


def match(
    weights: Weights,
    rows: Sequence[Row],
    wishes: Mapping[str, str],
    layout: str | None,
) -> Matched:
    """Return every tensor of a network from the arrays of a file.

    Raises:
        NotImportable: none fits a layer, or several do; the candidates are listed.
    """
    slots, groups = _slots(rows), _groups(weights)
    layouts = (layout,) if layout else weights.layouts
    found: list[tuple[str, dict[str, tuple[Group, str]]]] = []
    first: NotImportable | None = None
    for each in layouts:
        try:
            found.append((each, _assigned(slots, groups, wishes, each)))
        except NotImportable as problem:
            first = first or problem
    if not found:
        assert first is not None
        raise first
    made = [_laid(slots, assigned, each) for each, assigned in found]
    if len(made) > 1 and not _same(made[0], made[1]):
        raise unfit(
            "ambiguous_layout",
            "the weights fit as (out, in, …) and as (…, in, out) alike",
            "say `layout`: torch or tensorflow",
            pointer="/layout",
        )
    tensors, origins = made[0]
    used = {origin.source for origin in origins}
    unused = [name for name in weights.tensors if name not in used]
    return Matched(tensors, origins, unused)


def _slots(rows: Sequence[Row]) -> list[Slot]:
    slots: list[Slot] = []
    images = _flattened(rows)
    for row in rows:
        parts: dict[str, dict[str, TensorShape]] = {}
        for name, tensor in row.tensors.items():
            part, _, local = name.rpartition(".")
            parts.setdefault(part, {})[local] = tensor
        for part, tensors in parts.items():
            name = f"{row.name}.{part}" if part else row.name
            slots.append(Slot(name, row, tensors, images.get(row.name)))
    return slots


def _flattened(rows: Sequence[Row]) -> dict[str, Shape]:
    """Return, for each dense layer above an image, the image that it flattens."""
    images: dict[str, Shape] = {}
    seen: dict[str, Shape | None] = {INPUT: None}
    for row in rows:
        given = row.input_shape[0]
        image = given if len(given) == 3 else seen.get(row.inputs[0])
        if row.kind == "dense" and image is not None:
            images[row.name] = image
        seen[row.name] = image if row.kind in PASSES else None
    return images


def _groups(weights: Weights) -> list[Group]:
    """Return the file's tensors by layer, in the likeliest order."""
    names = list(weights.tensors)
    if not weights.is_ordered:
        names.sort(key=natural)
    groups: dict[str, Group] = {}
    nameless: Group | None = None
    for name in names:
        array, parts = weights.tensors[name], taken_apart(name)
        if parts.role is None:
            if nameless is None or array.ndim > 1 or "bias" in nameless.tensors:
                nameless = groups.setdefault(name, Group(name))
            role = "weight" if array.ndim > 1 else "bias"
            nameless.tensors[role] = (name, array)
            continue
        group = groups.setdefault(parts.group, Group(parts.group))
        if parts.role in group.tensors:
            group = groups.setdefault(name, Group(name))
        group.tensors[parts.role] = (name, array)
    return list(groups.values())


def _assigned(
    slots: Sequence[Slot],
    groups: Sequence[Group],
    wishes: Mapping[str, str],
    layout: str,
) -> dict[str, tuple[Group, str]]:
    """Return which group each slot takes, and how that was found."""
    found = _wished(slots, groups, wishes, layout)
    used = {name for taken, _ in found.values() for name, _ in taken.tensors.values()}
    free = [g for g in groups if not used & {name for name, _ in g.tensors.values()}]
    for slot in slots:
        if slot.name in found:
            continue
        for group in free:
            if _called_alike(slot, group) and _fits(slot, group, layout):
                found[slot.name] = (group, "name")
                free.remove(group)
                break
    left = [slot for slot in slots if slot.name not in found]
    pairs = _in_order(left, free)
    if pairs is not None and all(_fits(s, g, layout) for s, g in pairs):
        return found | {slot.name: (group, "order") for slot, group in pairs}
    return found | _by_shape(left, free, layout)


def _in_order(
    left: Sequence[Slot], free: Sequence[Group]
) -> list[tuple[Slot, Group]] | None:
    """Return what stands at the same places; None where the numbers differ.

    Weights and normalisations are counted apart: files sort the one before or behind
    the other.
    """
    pairs: list[tuple[Slot, Group]] = []
    for normalises in (False, True):
        slots = [s for s in left if _normalises(s.tensors.keys()) == normalises]
        groups = [g for g in free if _normalises(g.tensors.keys()) == normalises]
        if len(slots) != len(groups):
            return None
        pairs += zip(slots, groups, strict=True)
    return pairs


def _normalises(names: Collection[str]) -> bool:
    return NORMALIZATION.issubset(names)


def _by_shape(
    left: Sequence[Slot], free: list[Group], layout: str
) -> dict[str, tuple[Group, str]]:
    """Match what is left where one group alone fits; else say what would do."""
    found: dict[str, tuple[Group, str]] = {}
    waiting, free = list(left), list(free)
    while waiting:
        options = {s.name: [g for g in free if _fits(s, g, layout)] for s in waiting}
        certain = [s for s in waiting if len(options[s.name]) == 1]
        if not certain:
            problems = [_problem(s, options[s.name], free) for s in waiting]
            raise NotImportable(*problems[:100])
        slot = certain[0]
        group = options[slot.name][0]
        found[slot.name] = (group, "shape")
        waiting.remove(slot)
        free.remove(group)
    return found


def _problem(slot: Slot, options: list[Group], free: list[Group]) -> ImportProblem:
    wanted = ", ".join(f"{n} {list(t.shape)}" for n, t in slot.tensors.items())
    if options:
        return ImportProblem(
            pointer=pointer("map", slot.name),
            code="ambiguous_tensor",
            detail=f"{slot.name!r} ({wanted}) could be any of "
            f"{', '.join(g.described() for g in options[:20])}",
            suggestion=f'"map": {{"{slot.name}": "{options[0].name}"}}',
        )
    part = slot.name.partition(".")[2]
    hint = f"write `{part}: none` if the source has none" if part else None
    there = "; ".join(g.described() for g in free[:20]) or "nothing that is not taken"
    return ImportProblem(
        pointer=pointer("map", slot.name),
        code="no_tensor_fits",
        detail=f"no tensors of the file fit {slot.name!r} ({wanted}); there is {there}",
        suggestion=hint or "other units, filters or kernel_size, or `bias: false`",
    )


def _wished(
    slots: Sequence[Slot],
    groups: Sequence[Group],
    wishes: Mapping[str, str],
    layout: str,
) -> dict[str, tuple[Group, str]]:
    """Return what the person says: whole layers, or single tensors."""
    by_slot: dict[str, Group] = {}
    names = {g.name: g for g in groups}
    tensors = {
        name: (name, array) for g in groups for name, array in g.tensors.values()
    }
    known = {s.name: s for s in slots}
    for place, source in wishes.items():
        spot = pointer("map", place)
        if place in known and source in names:
            by_slot[place] = names[source]
            continue
        slot, _, local = place.rpartition(".")
        if slot not in known or local not in known[slot].tensors:
            every = [*known, *(f"{n}.{t}" for n, s in known.items() for t in s.tensors)]
            detail = f"the network has no {place!r}; it has {listed(known)}"
            raise unfit("unknown_tensor", detail, nearest(place, every), spot)
        if source not in tensors:
            near = nearest(source, tensors)
            raise unfit("unknown_tensor", f"the file has no {source!r}", near, spot)
        group = by_slot.setdefault(slot, Group(f"map of {slot}"))
        group.tensors[local] = tensors[source]
    for name, group in by_slot.items():
        if not _fits(known[name], group, layout):
            raise NotImportable(_problem(known[name], [], [group]))
    return {name: (group, "map") for name, group in by_slot.items()}


def _called_alike(slot: Slot, group: Group) -> bool:
    wanted = slot.name.replace(".", "_")
    last = group.name.replace(".", "/").rpartition("/")[2]
    return bool(group.name) and wanted in {plain(group.name), plain(last)}


def _fits(slot: Slot, group: Group, layout: str) -> bool:
    """Tell whether a group has what a slot needs, and nothing else."""
    for local in slot.tensors:
        held = group.tensors.get(local)
        if held is None:
            if not _may_lack(slot, local):
                return False
        elif placed(slot, local, held[1], layout) is None:
            return False
    return all(role in slot.tensors or role == COUNTER for role in group.tensors)


def _may_lack(slot: Slot, local: str) -> bool:
    """Tell whether a tensor is left to convention where a file has none."""
    normalises = _normalises(slot.tensors.keys())
    return local == COUNTER or (normalises and local in {"weight", "bias"})


def placed(slot: Slot, local: str, array: Array, layout: str) -> Array | None:
    """Return a file's array as a layer's tensor lies here; None if it cannot be it."""
    shape = slot.tensors[local].shape
    if array.size == 1 and shape in {(), (1,)}:
        return array.reshape(shape)
    if layout == "torch" or len(shape) < 2:
        return array if array.shape == shape else None
    turned = None
    if array.ndim == 2 and len(shape) == 2 and array.shape == shape[::-1]:
        kernel = array if slot.image is None else dense_from_last(array, slot.image)
        turned = np.ascontiguousarray(kernel.T)
    elif array.ndim == len(shape) == 4:
        turned = from_hwio(array)
        if turned.shape != shape and shape[1] == 1:
            turned = from_depthwise(array)
    return turned if turned is not None and turned.shape == shape else None


Made = tuple[dict[str, "Array"], list[Origin]]


def _laid(
    slots: Sequence[Slot], assigned: Mapping[str, tuple[Group, str]], layout: str
) -> Made:
    tensors: dict[str, Array] = {}
    origins = []
    for slot in slots:
        group, how = assigned[slot.name]
        for local, stated in slot.tensors.items():
            name = f"{slot.name}.{local}"
            held = group.tensors.get(local)
            if held is None:
                one = local in {"weight", "running_var"}
                tensors[name] = np.full(stated.shape, float(one), np.float32)
                source, shape, how_found = None, None, "default"
            else:
                values = placed(slot, local, held[1], layout)
                assert values is not None
                tensors[name] = values
                source, shape, how_found = held[0], held[1].shape, how
            layer, _, tensor = name.partition(".")
            origins.append(
                Origin(layer, tensor, stated.shape, source, shape, how_found)
            )
    return tensors, origins


def _same(one: Made, other: Made) -> bool:
    return one[0].keys() == other[0].keys() and all(
        np.array_equal(array, other[0][name]) for name, array in one[0].items()
    )
