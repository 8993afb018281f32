"""Every patch that a finding can carry is accepted, and holds only what changes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from api.job_actions import merged
from tests.trainer.doctor_cases import normal
from tests.trainer.spec_samples import DIGITS, job
from trainer.doctor.anatomy import Organ
from trainer.doctor.course import Course, Situation
from trainer.doctor.cures import TREATMENTS
from trainer.doctor.figures import Sample
from trainer.doctor.patches import difference, patch
from trainer.doctor.patient import Patient
from trainer.spec.errors import InvalidSpec
from trainer.spec.job import JobSpec
from trainer.spec.resolve import Resolution, resolve

Json = dict[str, Any]
SIGMOID = {"kind": "dense", "units": 30, "activation": "sigmoid", "dropout": 0.9}
SPECS: dict[str, Json] = {
    "short": job(),
    "defaults": job(
        network={
            "defaults": {
                "activation": "tanh",
                "initializer": normal(1.0),
                "normalization": None,
                "dropout": 0.0,
            },
            "layers": [{"kind": "dense", "units": 5}, {"kind": "dense", "units": 5}],
        },
        training={
            "optimizer": {"kind": "sgd", "learning_rate": 10},
            "schedule": {"kind": "exponential", "decay_steps": 1, "decay_rate": 0.1},
            "regularization": {"l1": 1.0, "l2": 1.0},
            "early_stopping": None,
        },
    ),
    "layers of their own": job(
        network={
            "layers": [
                SIGMOID | {"initializer": "zeros", "bias_initializer": "ones"},
                SIGMOID | {"normalization": "none", "regularization": {"l2": 2.0}},
                {"kind": "dropout", "rate": 0.9},
                {"kind": "dense", "name": "output", "initializer": "ones"},
            ]
        },
        training={"optimizer": "adam", "gradient_clipping": "value"},
    ),
    "images": job(
        network={
            "defaults": {"activation": "relu", "normalization": "none"},
            "layers": [
                {"kind": "conv2d", "filters": 4, "initializer": normal(0.001)},
                {"kind": "max_pool2d"},
                {"kind": "residual", "filters": 8},
                {"kind": "activation", "activation": "hard_tanh"},
            ],
        },
        dataset={"id": "digits", "examples_per_class": 5},
        training={"optimizer": {"kind": "nesterov", "learning_rate": 1e-9}},
    ),
    "linear": job(network={"layers": []}, training={"batch_size": 1}),
    "a recurrent one": job(
        network={
            "layers": [
                {"kind": "reshape", "shape": [28, 28]},
                {"kind": "lstm", "units": 8},
            ]
        },
    ),
}


def resolved(spec: Json) -> Resolution:
    return resolve(JobSpec.model_validate(spec), DIGITS, {})


def acceptable(spec: Json) -> bool:
    try:
        resolved(spec)
    except (InvalidSpec, ValueError):
        return False
    return True


def course(found: Resolution) -> Course:
    """Return a course on unequal classes and an input that is not scaled."""
    parts = tuple(
        Organ(row.name, row.kind, "relu", 5, 5, normalized=False, fresh=True)
        for row in found.layers
        if row.parameters
    )
    situation = Situation(
        parts=parts,
        recipe=found.spec.training,
        task="classification",
        baseline=2.3,
        steps_per_epoch=10,
        train_rows=500,
        validation_rows=50,
        class_counts=(400, *(10,) * 9),
        images=True,
    )
    sample = Sample(1, 1, 0.01, 2.3, {}, input_deviation=0.01)
    return Course(situation, first=[sample], last=[sample])


def offered(spec: Json, *treatments: str) -> Json | None:
    found = resolved(spec)
    return patch(Patient(spec, found.spec, acceptable), course(found), treatments)


@pytest.mark.parametrize("treatment", TREATMENTS)
@pytest.mark.parametrize("name", SPECS)
def test_every_treatment_leads_to_a_spec_that_is_accepted(
    name: str, treatment: str
) -> None:
    spec = deepcopy(SPECS[name])

    found = offered(spec, treatment)

    assert spec == SPECS[name]
    assert acceptable(merged(spec, found or {}))
    assert offered(merged(spec, found or {}), treatment) is None or treatment in {
        "longer",
        "slow_down",
        "speed_up",
        "regularize",
    }


@pytest.mark.parametrize("name", SPECS)
def test_all_treatments_together_lead_to_a_spec_that_is_accepted(name: str) -> None:
    found = offered(SPECS[name], *TREATMENTS)

    assert found is not None
    assert acceptable(merged(SPECS[name], found))


def test_every_treatment_finds_something_to_treat() -> None:
    treated = {
        name
        for name in TREATMENTS
        for spec in SPECS.values()
        if offered(spec, name) is not None
    }

    assert treated == set(TREATMENTS)


def test_a_patch_holds_what_changes_and_nothing_else() -> None:
    found = offered(
        SPECS["defaults"], "initialize", "rectify", "normalize", "slow_down"
    )

    assert found == {
        "network": {
            "defaults": {
                "activation": "elu",
                "initializer": "he_normal",
                "normalization": "batch",
            }
        },
        "training": {"optimizer": {"learning_rate": 0.1}},
    }


def test_an_initializer_belongs_to_the_activation_that_is_offered_with_it() -> None:
    alone = offered(SPECS["defaults"], "initialize")

    assert alone == {"network": {"defaults": {"initializer": "glorot_uniform"}}}


def test_layers_that_must_change_are_written_out_whole_without_the_fault() -> None:
    found = offered(SPECS["layers of their own"], "initialize")

    assert found is not None
    layers = found["network"]["layers"]
    assert [layer["kind"] for layer in layers] == ["dense", "dense", "dropout", "dense"]
    assert layers[0] == SIGMOID
    assert layers[1]["regularization"] == {"l2": 2.0}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"a": 1}),
        ({"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [2]}}),
        ({"a": {"kind": "x", "p": 1}}, {"a": {"kind": "y"}}),
        ({"a": {"b": 1}}, {"a": "none"}),
        ({"a": "none"}, {"a": {"b": {"c": 1}}}),
        ({"a": 1, "b": 2}, {"b": 2}),
    ],
)
def test_a_difference_is_a_merge_patch_from_one_to_the_other(
    before: Json, after: Json
) -> None:
    assert merged(before, difference(before, after)) == after
    assert difference(after, after) == {}


def test_a_treatment_whose_spec_would_be_refused_is_left_out() -> None:
    found = resolved(SPECS["defaults"])

    patient = Patient(SPECS["defaults"], found.spec, lambda _: False)
    refused = patch(patient, course(found), TREATMENTS)

    assert refused is None


def test_plain_descent_gives_way_to_adam_where_steps_are_read_one_by_one() -> None:
    assert offered(SPECS["images"], "adapt") is None
    assert offered(SPECS["a recurrent one"], "adapt") == {
        "training": {"optimizer": "adam"}
    }
