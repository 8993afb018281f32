"""From what a reader found to a network that is complete and checked.

Shapes are worked out by the vocabulary itself, without torch: what passes here is what
the trainer builds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from trainer.importing.errors import NotImportable, damaged, oversized, unfit
from trainer.importing.found import FoundNetwork, Origin, Weights
from trainer.importing.matching import match
from trainer.importing.naming import listed
from trainer.spec.errors import InvalidSpec
from trainer.spec.imports import ImportProblem
from trainer.spec.network import NetworkSpec, Row, filled, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trainer.importing.found import Array, Scaling
    from trainer.spec.imports import ImportForm, ImportLimits
    from trainer.spec.shapes import Shape


@dataclass(frozen=True)
class Settled:
    """A filled network with its tensors, and what its outputs mean."""

    format: str
    spec: NetworkSpec
    rows: tuple[Row, ...]
    tensors: dict[str, Array]
    origins: list[Origin]
    input_shape: Shape
    task: str
    classes: tuple[Any, ...]
    ending: str | None
    scaling: Scaling | None
    runtime: Callable[[Array], Array] | None
    runtime_name: str | None
    notes: list[str]

    @property
    def output_shape(self) -> Shape:
        """Return the shape of one example's outputs."""
        return self.rows[-1].output_shape


def settle(
    found: Weights | FoundNetwork,
    form: ImportForm,
    shape: Shape | None,
    limits: ImportLimits,
) -> Settled:
    """Return the network of a file.

    `shape` is that of one example as the person states it, if at all.

    Raises:
        NotImportable: it is not complete, does not fit, or is too large.
    """
    if isinstance(found, FoundNetwork):
        settled = _of_graph(found, form, shape, limits)
    else:
        settled = _of_weights(found, form, shape, limits)
    _check_tensors(settled)
    return settled


def _of_graph(
    found: FoundNetwork, form: ImportForm, shape: Shape | None, limits: ImportLimits
) -> Settled:
    if form.network is not None:
        raise unfit(
            "network_known",
            f"{found.format} files say their layers themselves",
            "leave `network` out; name the last layer in `output`",
            pointer="/network",
        )
    if shape is not None and shape != found.input_shape:
        raise unfit(
            "other_input",
            f"the file's input is {list(found.input_shape)}, channels first",
            str(list(found.input_shape)),
            pointer="/input/shape",
        )
    try:
        spec = NetworkSpec.model_validate({"layers": found.layers})
    except ValidationError as error:
        raise damaged("the graph", str(error).splitlines()[-2].strip()) from error
    spec, rows = _filled(spec, None, found.input_shape, limits)
    origins = []
    for row in rows:
        for local, tensor in row.tensors.items():
            source, theirs = found.origins[f"{row.name}.{local}"]
            how = "graph" if source is not None else "default"
            theirs = found.shapes.get(source or "", theirs)
            origins.append(Origin(row.name, local, tensor.shape, source, theirs, how))
    task, classes = _meaning(form, found.ending, rows[-1].output_shape)
    return Settled(
        found.format,
        spec,
        rows,
        found.tensors,
        origins,
        found.input_shape,
        task,
        classes,
        found.ending,
        found.scaling,
        found.runtime,
        found.runtime_name,
        list(found.notes),
    )


def _of_weights(
    found: Weights, form: ImportForm, shape: Shape | None, limits: ImportLimits
) -> Settled:
    if form.network is None:
        raise unfit(
            "network_missing",
            f"{found.format} files hold weights, not layers; the file has "
            f"{listed(_described(found), 40)}",
            "write the layers in `network`, as in a job's spec",
            pointer="/network",
        )
    if form.output is not None:
        raise unfit(
            "no_graph",
            f"{found.format} files have no graph to end somewhere",
            "leave `output` out",
            pointer="/output",
        )
    if shape is None:
        raise unfit(
            "input_missing",
            "the shape of one example is not known",
            'for instance "input": {"shape": [1, 28, 28]}, channels first',
            pointer="/input/shape",
        )
    units = len(form.classes) if form.classes else None
    spec, rows = _filled(form.network, units, shape, limits)
    matched = match(found, rows, form.map, form.layout)
    task, classes = _meaning(form, None, rows[-1].output_shape)
    notes = list(found.notes)
    if matched.unused:
        notes.append(f"not used: {listed(matched.unused)}")
    return Settled(
        found.format,
        spec,
        rows,
        matched.tensors,
        matched.origins,
        shape,
        task,
        classes,
        None,
        None,
        None,
        None,
        notes,
    )


def _described(found: Weights) -> list[str]:
    return [f"{name} {list(array.shape)}" for name, array in found.tensors.items()]


def _filled(
    network: NetworkSpec, units: int | None, shape: Shape, limits: ImportLimits
) -> tuple[NetworkSpec, tuple[Row, ...]]:
    if len(network.layers) > limits.layers:
        raise oversized(
            "too_many_layers",
            f"{len(network.layers):,} layers, at most {limits.layers:,}",
        )
    try:
        spec = filled(network, units)
        rows = table(spec, shape)
    except InvalidSpec as error:
        raise NotImportable(
            *(ImportProblem(**problem.as_dict()) for problem in error.problems)
        ) from error
    parameters = sum(row.parameters for row in rows)
    if parameters > limits.parameters:
        raise oversized(
            "too_many_parameters",
            f"{parameters:,} parameters, at most {limits.parameters:,}",
        )
    return spec, rows


def _meaning(
    form: ImportForm, ending: str | None, shape: Shape
) -> tuple[str, tuple[Any, ...]]:
    """Return the task and the classes of a network's outputs."""
    measured = form.expected is not None and form.expected.accuracy is not None
    by_ending = {"softmax": "classification", "sigmoid": "multi_label"}
    default = "classification" if form.classes or measured else "regression"
    task = form.task or by_ending.get(ending or "", default)
    if task not in {"classification", "multi_label"}:
        return task, ()
    units = shape[0] if len(shape) == 1 else 0
    if not units:
        raise unfit(
            "wrong_output",
            f"the outputs are {list(shape)}, no vector of classes",
            "task regression for a part of a network, or another `output`",
            pointer="/output",
        )
    classes = form.classes if form.classes is not None else tuple(range(units))
    if task == "multi_label":
        classes = tuple(map(str, classes))
    if len(classes) != units or len(set(classes)) != units:
        raise unfit(
            "wrong_classes",
            f"there are {units} outputs and {len(classes)} classes",
            "one different class for each output, in their order",
            pointer="/classes",
        )
    return task, classes


def _check_tensors(settled: Settled) -> None:
    """See that every tensor is there, in its shape and type, and made of numbers."""
    tensors = settled.tensors
    for row in settled.rows:
        for local, stated in row.tensors.items():
            name = f"{row.name}.{local}"
            array = tensors.get(name)
            if array is None or array.shape != stated.shape:
                there = "missing" if array is None else f"{array.shape}"
                raise damaged(f"the tensor {name!r}", f"{there}, {stated.shape} is due")
            tensors[name] = _converted(name, array, stated.dtype, settled.notes)


def _converted(name: str, array: Array, dtype: str, notes: list[str]) -> Array:
    if dtype == "float32" and array.dtype.kind != "f":
        raise unfit(
            "not_real",
            f"the tensor {name!r} holds {array.dtype}, as quantised weights do",
            "send the weights as real numbers",
        )
    if array.dtype == np.float64 and dtype == "float32":
        note = "float64 weights were rounded to float32"
        if note not in notes:
            notes.append(note)
    with np.errstate(over="ignore"):
        converted = np.asarray(array, np.dtype(dtype), order="C")
    if converted.dtype.kind == "f" and not np.isfinite(converted).all():
        raise unfit("not_finite", f"the tensor {name!r} holds NaN or infinities")
    return converted


def tensors_by_layer(
    tensors: Mapping[str, Array], layer: str
) -> list[tuple[str, Array]]:
    """Return a layer's tensors with their names, in the file's order."""
    return [(n, a) for n, a in tensors.items() if n.partition(".")[0] == layer]
