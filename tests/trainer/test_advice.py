"""The guide: every set of wishes has a spec, and each choice a reason and a source."""

from __future__ import annotations

import re
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest

from api.job_actions import merged
from frostline.cli import advise as command
from tests.trainer.advice_samples import COMBINATIONS, SCHEMAS, advised
from tests.trainer.combined_data import Given, dataset
from tests.trainer.trainings import carry_out, order
from trainer.spec.activations import Activation
from trainer.spec.advice.advise import Advice, advise
from trainer.spec.advice.rules import NETWORKS, RULES
from trainer.spec.advice.wishes import WISHES, AdviceRequest
from trainer.spec.base import variants
from trainer.spec.errors import InvalidSpec
from trainer.spec.job import JobSpec
from trainer.spec.resolve import resolve

PAIRS = list(chain.from_iterable(combinations(WISHES, n) for n in range(3)))
WHOLE = ("digits", "flowers", "fraud", "reviews")
"""The data sets for which every set of wishes is tried; the others get every pair."""


def value_at(spec: Any, pointer: str) -> Any:
    """Return what a JSON Pointer points to."""
    for part in pointer.split("/")[1:]:
        spec = spec[int(part)] if isinstance(spec, list) else spec[part]
    return spec


def unfounded(advice: Advice) -> list[str]:
    """Return the choices that lack a reason or a source, or are not in the spec."""
    return [
        choice.pointer
        for choice in advice.choices
        if value_at(advice.spec, choice.pointer) != choice.value
        or len(choice.reason) < 10
        or not choice.source
    ]


def refused(name: str, advice: Advice) -> list[tuple[str, str]]:
    """Return the alternatives whose patch makes no valid spec, and why."""
    found = []
    for each in advice.alternatives:
        if each.patch is not None:
            spec = JobSpec.model_validate(merged(advice.spec, each.patch))
            try:
                resolve(spec, SCHEMAS[name][0], {})
            except InvalidSpec as error:
                found.append((each.rule, str(error)))
    return found


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("size", range(len(WISHES) + 1))
def test_every_set_of_wishes_has_a_spec_whose_choices_are_founded(
    name: str, size: int
) -> None:
    tried = COMBINATIONS if name in WHOLE else PAIRS

    wrong = {
        wishes: found
        for wishes in tried
        if len(wishes) == size and (found := unfounded(advised(name, *wishes)))
    }

    assert wrong == {}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_alternative_is_a_valid_spec_too(name: str) -> None:
    wrong = [refused(name, advised(name, wish)) for wish in WISHES]
    wrong += [refused(name, advised(name)), refused(name, advised(name, *WISHES))]

    assert not any(wrong)


@pytest.mark.parametrize("inputs", ["image", "sequence", "table", "mixed", "text"])
@pytest.mark.parametrize(
    ("task", "wishes"),
    [
        ("classification", ()),
        ("classification", ("sparse_model", "very_fast_model", "imbalance")),
        ("classification", ("slow_convergence", "very_fast_model", "overfitting")),
        ("regression", ("small_training_set", "no_good_learning_rate")),
        ("multi_label", tuple(WISHES)),
    ],
)
def test_what_is_advised_trains(
    inputs: str, task: str, wishes: tuple[str, ...], tmp_path: Path
) -> None:
    given = Given(inputs, task)
    request = AdviceRequest(
        dataset="combined",
        target=given.target,
        wishes=wishes,
        time_budget_seconds=1e-6,  # one epoch
    )

    spec = advise(request, dataset(given).schema).spec
    events = list(carry_out(order(spec, model=tmp_path / "model"), dataset(given)))

    assert events[-1]["event"] == "result"
    assert events[-1]["step"] >= 1
    assert spec["training"]["epochs"] == 1


def test_without_wishes_the_practical_guide_is_followed() -> None:
    spec = advised("shops").spec

    defaults, training = spec["network"]["defaults"], spec["training"]
    assert defaults["initializer"] == "he_normal"
    assert defaults["activation"] == "elu"
    assert defaults["normalization"] == "batch"
    assert {layer["dropout"] for layer in spec["network"]["layers"]} == {0.2}
    assert training["schedule"] == "none"


def test_the_optimizer_is_nesterov_unless_names_are_looked_up() -> None:
    kinds = {
        name: advised(name).spec["training"]["optimizer"]["kind"] for name in SCHEMAS
    }

    assert {n for n, kind in kinds.items() if kind != "nesterov"} == {
        "reviews",
        "shops",
    }


def test_the_fastest_predictions_have_no_normalization_and_a_bound_on_norms() -> None:
    advice = advised("digits", "very_fast_model")

    assert advice.spec["network"]["defaults"]["activation"] == "leaky_relu"
    assert advice.spec["network"]["defaults"]["normalization"] == "none"
    assert advice.spec["training"]["regularization"]["max_norm"] > 0
    assert {"elu_alone", "folded_normalization", "int8"} <= {
        each.rule for each in advice.alternatives
    }


def test_fast_predictions_and_fast_training_meet_in_folding() -> None:
    advice = advised("digits", "very_fast_model", "slow_convergence")

    assert advice.spec["network"]["defaults"]["normalization"] == "batch"
    assert advice.spec["serving"] == {"fold_normalization": True}
    assert "max_norm" not in advice.spec["training"].get("regularization", {})
    assert any("folded away" in text for text in advice.warnings)


def test_a_sparse_model_has_l1_and_zeros_and_hears_of_ftrl() -> None:
    advice = advised("houses", "sparse_model")

    assert advice.spec["training"]["regularization"]["l1"] > 0
    assert advice.spec["training"]["pruning"]["final_sparsity"] == 0.8
    ftrl = next(each for each in advice.alternatives if each.rule == "ftrl")
    assert ftrl.patch is not None
    assert ftrl.patch["training"]["optimizer"]["kind"] == "ftrl"


def test_few_rows_lose_fewer_weights_and_it_is_said() -> None:
    advice = advised("flowers", "sparse_model")

    assert advice.spec["training"]["pruning"]["final_sparsity"] == 0.5
    assert any("150 training rows" in text for text in advice.warnings)


def test_a_rate_that_is_not_found_gets_a_schedule_and_a_range_test() -> None:
    advice = advised("houses", "no_good_learning_rate")

    assert advice.spec["training"]["schedule"]["kind"] == "exponential"
    test = next(each for each in advice.alternatives if each.rule == "range_test")
    tested = merged(advice.spec, test.patch)
    assert tested["training"]["schedule"] == {"kind": "range_test"}


def test_slow_convergence_begins_faster_unless_no_rate_is_good() -> None:
    slow = advised("houses", "slow_convergence")
    both = advised("houses", "slow_convergence", "no_good_learning_rate")

    assert slow.spec["training"]["optimizer"]["learning_rate"] == pytest.approx(0.03)
    assert both.spec["training"]["optimizer"]["learning_rate"] == pytest.approx(0.01)
    assert any("stays as it is" in text for text in both.warnings)


def test_few_rows_are_augmented_by_their_kind() -> None:
    kinds = {
        name: [
            each["kind"]
            for each in advised(name, "small_training_set")
            .spec["training"]
            .get("augmentation", ())
        ]
        for name in ("digits", "flowers", "signals", "reviews")
    }

    assert kinds == {
        "digits": ["shift", "rotate", "scale"],
        "flowers": ["swap_noise"],
        "signals": ["noise"],
        "reviews": [],
    }


def test_few_rows_are_seen_without_being_told() -> None:
    advice = advised("flowers")

    found = {choice.pointer: choice.reason for choice in advice.choices}
    assert "150 training rows are fewer than 1,000" in found["/training/augmentation"]
    assert "parametric ReLU would overfit" in found["/network/defaults/activation"]
    assert "autoencoder" in {each.rule for each in advice.alternatives}


def test_many_rows_that_are_called_few_are_doubted() -> None:
    assert any(
        "50,000" in text for text in advised("fraud", "small_training_set").warnings
    )


def test_rare_classes_are_seen_without_being_told() -> None:
    advice = advised("fraud")

    assert advice.spec["training"]["class_weights"] == "balanced"
    (choice,) = [c for c in advice.choices if c.pointer == "/training/class_weights"]
    assert "class 1 has 500 of 50,000 rows" in choice.reason


def test_rare_classes_are_no_matter_where_there_are_none() -> None:
    advice = advised("houses", "imbalance")

    assert "class_weights" not in advice.spec["training"]
    assert any("the task is regression" in text for text in advice.warnings)


def test_far_out_targets_get_a_loss_that_bears_them() -> None:
    assert advised("houses").spec["training"]["loss"] == "huber"


def test_overfitting_is_answered_by_dropout_and_a_penalty_but_not_by_adam() -> None:
    advice = advised("houses", "overfitting")

    assert {layer["dropout"] for layer in advice.spec["network"]["layers"]} == {0.5}
    assert advice.spec["training"]["regularization"]["l2"] > 0
    assert "adaptive_optimizer" not in {each.rule for each in advice.alternatives}


def test_l1_stands_for_l2_where_both_are_wished() -> None:
    advice = advised("houses", "overfitting", "sparse_model")

    assert "l2" not in advice.spec["training"]["regularization"]
    assert any("left out" in text for text in advice.warnings)


def test_the_same_bits_on_a_gpu_are_not_promised() -> None:
    said = advised("houses", "deterministic", device="cuda").warnings

    assert any("last bits" in text for text in said)
    assert advised("houses", "deterministic", device="cpu").warnings == ()


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("digits", {"conv2d", "max_pool2d", "dense"}),
        ("stamps", {"conv2d", "max_pool2d", "dense"}),
        ("flowers", {"dense"}),
        ("points", {"dense"}),
        ("reviews", {"embedding", "conv1d", "global_max_pool1d", "dense"}),
        ("signals", {"conv1d", "max_pool1d", "global_average_pool1d", "dense"}),
    ],
)
def test_the_layers_follow_from_the_input(name: str, kinds: set[str]) -> None:
    layers = advised(name).spec["network"]["layers"]

    assert {layer["kind"] for layer in layers} == kinds


def test_many_classes_widen_the_last_layer() -> None:
    assert advised("photos").spec["network"]["layers"][-1]["units"] == 200


def test_a_time_series_is_read_in_its_order_and_its_gradients_are_clipped() -> None:
    spec = advised("houses", windows={"length": 24, "horizon": 1}).spec

    assert spec["network"]["layers"][0]["kind"] == "gru"
    assert spec["training"]["gradient_clipping"]["kind"] == "global_norm"
    assert spec["dataset"]["windows"]["length"] == 24


def test_a_time_budget_bounds_the_epochs() -> None:
    advice = advised("houses", "slow_convergence", time_budget_seconds=2)

    training = advice.spec["training"]
    spent = training["epochs"] * advice.resolution.estimate.seconds_per_epoch
    assert 1 < training["epochs"] < 100
    assert spent <= 2
    assert training["schedule"]["decay_steps"] == {"epochs": training["epochs"] // 2}


def test_a_budget_of_less_than_an_epoch_is_told() -> None:
    said = advised("photos", time_budget_seconds=1).warnings

    assert any("one epoch takes" in text for text in said)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"target": "colour"}, "/target"),
        ({"target": None}, "/target"),
        ({"windows": {"length": 3, "order_by": "day"}}, "/windows/order_by"),
    ],
)
def test_what_cannot_be_learned_is_refused_where_it_was_asked_for(
    changes: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InvalidSpec) as refusal:
        advised("houses", **changes)

    assert [problem.pointer for problem in refusal.value.problems] == [pointer]


def test_the_name_is_one_that_a_job_may_have() -> None:
    schema, target = SCHEMAS["flowers"]
    request = AdviceRequest(dataset="ds_01", target=target, name=None)

    assert re.fullmatch(
        r"[A-Za-z0-9][A-Za-z0-9._-]*", advise(request, schema).spec["name"]
    )


def test_no_advice_names_an_activation_that_overfits_small_sets() -> None:
    assert "prelu" in {v.model_fields["kind"].default for v in variants(Activation)}
    taken = {
        advised("flowers", *wishes).spec["network"]["defaults"]["activation"]
        for wishes in PAIRS
    }
    assert taken == {"elu", "leaky_relu"}


def test_every_rule_speaks_somewhere() -> None:
    spoken = {
        choice.rule
        for name in SCHEMAS
        for wishes in ((), *((wish,) for wish in WISHES), tuple(WISHES))
        for choice in advised(name, *wishes).choices
    }
    spoken |= {c.rule for c in advised("houses", windows={"length": 9}).choices}
    silent = {each.name for each in (*NETWORKS, *RULES)} - spoken

    assert silent == {"doubt_smallness"}, "it has a remark only"


def test_the_command_knows_every_wish() -> None:
    assert command.WISHES == WISHES
