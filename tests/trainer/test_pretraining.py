"""What a job with pretraining comes to: its stages, and the job on top of them."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from trainer.spec.base import variants
from trainer.spec.data.schema import Column, Part, Schema, Value
from trainer.spec.errors import InvalidSpec
from trainer.spec.job import JobSpec
from trainer.spec.pretraining import Pretraining
from trainer.spec.pretraining.chain import expand
from trainer.spec.resolve import Resolution, resolve
from trainer.spec.resolve.planned import source_to_be
from trainer.spec.reuse import Source

SCHEMA = Schema(
    rows=1000,
    parts=(Part(name="train", start=0, stop=1000),),
    columns=(
        Column(name="image", kind="image", shape=(8, 8, 1)),
        Column(
            name="label",
            kind="integer",
            distinct=10,
            values=tuple(Value(value=n, count=100, train=100) for n in range(10)),
            minimum=0,
            maximum=9,
        ),
        Column(
            name="parity",
            kind="category",
            categories=("even", "odd"),
            distinct=2,
            values=(
                Value(value="even", count=500, train=500),
                Value(value="odd", count=500, train=500),
            ),
        ),
    ),
    target="label",
    source="images",
)
PLAIN = {"normalization": "none", "dropout": 0}
MACHINE = PLAIN | {"activation": "sigmoid"}
SAMPLES: dict[str, dict[str, Any]] = {
    "stacked_autoencoders": {"kind": "stacked_autoencoders"},
    "deep_belief_network": {"kind": "deep_belief_network", "steps": 2},
    "auxiliary": {"kind": "auxiliary", "dataset": {"target": "parity"}},
}
every_kind = pytest.mark.parametrize("kind", sorted(SAMPLES))


def spec(pretraining: Any, **changes: Any) -> JobSpec:
    return JobSpec.model_validate(
        {
            "name": "few",
            "dataset": {"id": "digits", "examples_per_class": 10},
            "network": {
                "defaults": MACHINE,
                "layers": [
                    {"name": "hidden1", "kind": "dense", "units": 30},
                    {"name": "hidden2", "kind": "dense", "units": 20},
                ],
            },
            "pretraining": pretraining,
            **changes,
        }
    )


def chain(asked: JobSpec) -> list[Resolution]:
    """Resolve the stages and the job as the service does; the job is last."""
    stages, last = expand(asked, SCHEMA)
    known: dict[str, Source] = {}
    found = []
    for one in [*(stage.spec for stage in stages), last]:
        found.append(resolve(one, SCHEMA, known))
        known[one.name] = source_to_be(found[-1], one.name, SCHEMA, known)
    return found


def refused(asked: JobSpec) -> tuple[str, str]:
    with pytest.raises(InvalidSpec) as raised:
        chain(asked)
    problem = raised.value.problems[0]
    return problem.pointer, problem.code


def test_every_member_of_the_family_has_a_sample() -> None:
    kinds = {member.model_fields["kind"].default for member in variants(Pretraining)}

    assert kinds == set(SAMPLES)


@every_kind
def test_an_entry_survives_json(kind: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Pretraining)
    entry = adapter.validate_python(SAMPLES[kind])

    written = adapter.dump_json(entry, by_alias=True, exclude_none=True)

    assert adapter.validate_json(written) == entry


@every_kind
def test_a_stage_is_a_job_that_can_be_written_down(kind: str) -> None:
    stages, last = expand(spec(SAMPLES[kind]), SCHEMA)

    written = [
        one.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        for one in stages
    ]
    read = [JobSpec.model_validate(one) for one in written]
    assert read == [one.spec for one in stages]
    assert last.pretraining == ()


@every_kind
def test_the_job_takes_its_hidden_layers_from_the_last_stage(kind: str) -> None:
    *stages, last = chain(spec(SAMPLES[kind]))

    sources = {m.layer: m.source for m in last.reuse}
    top = stages[-1].spec.name
    assert sources == {"hidden1": top, "hidden2": top, "output": None}
    assert last.preprocessing_from == 0
    assert last.frozen == frozenset()


def test_each_autoencoder_gives_back_what_the_resting_layer_below_gives() -> None:
    first, second, _ = chain(spec("stacked_autoencoders"))

    assert first.spec.training.reconstruct is None
    assert first.layers[-1].output_shape == (64,)
    assert second.spec.training.reconstruct == "hidden1"
    assert second.layers[-1].output_shape == (30,)
    assert second.frozen == {"hidden1"}
    assert [one.spec.name for one in (first, second)] == ["few-hidden1", "few-hidden2"]


def test_autoencoders_are_trained_on_all_rows_without_the_target() -> None:
    where = {"label": {"in": [5, 6]}}
    asked = spec("stacked_autoencoders", dataset={"id": "digits", "where": where})

    first, _, last = chain(asked)

    assert first.spec.dataset.where == {}
    assert first.spec.dataset.target is None
    assert first.spec.dataset.features == ("image",)
    assert last.classes == (5, 6)


def test_tied_denoising_sparse_autoencoders_are_written_out() -> None:
    entry = {
        "kind": "stacked_autoencoders",
        "tied": True,
        "corruption": {"kind": "dropout", "rate": 0.4},
        "sparsity": {"kind": "kl_divergence", "target": 0.1},
    }

    _, second, _ = chain(spec(entry))

    assert [(r.name, r.kind, r.inputs) for r in second.layers] == [
        ("hidden1", "dense", ("input",)),
        ("corruption", "dropout", ("hidden1",)),
        ("hidden2", "dense", ("corruption",)),
        ("output", "tied_dense", ("hidden2",)),
    ]
    learned = second.spec.network.layers[2]
    assert learned.activity_regularization.kind == "kl_divergence"  # type: ignore[union-attr]


def test_a_belief_network_learns_by_contrastive_divergence() -> None:
    first, second, _ = chain(spec(SAMPLES["deep_belief_network"]))

    assert first.spec.training.loss.kind == "contrastive_divergence"  # type: ignore[union-attr]
    assert second.frozen == {"hidden1"}
    assert second.layers[-1].lender == "hidden2"


def test_pairs_go_through_the_same_layers() -> None:
    dataset = {"auxiliary_task": {"kind": "same_or_different", "same": "label"}}

    stage, last = chain(spec({"kind": "auxiliary", "dataset": dataset}))

    lenders = {row.name: row.lender for row in stage.layers if row.lender}
    assert lenders == {"hidden1-twin": "hidden1", "hidden2-twin": "hidden2"}
    assert stage.classes == ("different", "same")
    assert {m.layer for m in last.reuse if m.state == "reused"} == {
        "hidden1",
        "hidden2",
    }


def test_entries_in_a_row_go_on_from_each_other() -> None:
    entries = ["stacked_autoencoders", SAMPLES["auxiliary"] | {"freeze": 1}]

    *stages, last = chain(spec(entries))

    assert [one.spec.name for one in stages] == [
        "few-hidden1",
        "few-hidden2",
        "few-auxiliary",
    ]
    assert stages[-1].spec.reuse[0].from_ == "few-hidden2"
    assert stages[-1].frozen == frozenset()
    assert last.frozen == {"hidden1"}


@pytest.mark.parametrize(
    ("entry", "changes", "place", "code"),
    [
        (
            {"kind": "stacked_autoencoders", "layers": ["hidden2"]},
            {},
            "/pretraining/0/layers",
            "not_pretrained",
        ),
        (
            {"kind": "stacked_autoencoders", "layers": "conv.*"},
            {},
            "/pretraining/0/layers",
            "nothing_matched",
        ),
        (
            {"kind": "stacked_autoencoders", "freeze": ["hidden9"]},
            {},
            "/pretraining/0/freeze",
            "nothing_matched",
        ),
        (
            ["stacked_autoencoders", "stacked_autoencoders"],
            {},
            "/pretraining/1/layers",
            "pretrained_twice",
        ),
        (
            "deep_belief_network",
            {"network": {"layers": [{"kind": "dense", "units": 3}]}},
            "/pretraining/0/layers",
            "not_a_machine",
        ),
        (
            "stacked_autoencoders",
            {"reuse": [{"from": "other"}]},
            "/reuse",
            "conflict",
        ),
        (
            "stacked_autoencoders",
            {"name": "x" * 95},
            "/pretraining/0",
            "bad_name",
        ),
        (
            "stacked_autoencoders",
            {"network": {"layers": []}},
            "/pretraining/0/layers",
            "nothing_matched",
        ),
    ],
)
def test_what_cannot_be_pretrained_is_refused_at_its_place(
    entry: Any, changes: dict[str, Any], place: str, code: str
) -> None:
    assert refused(spec(entry, **changes)) == (place, code)


def test_a_single_job_is_not_trained_without_its_stages() -> None:
    with pytest.raises(InvalidSpec, match="chain of jobs"):
        resolve(spec("stacked_autoencoders"), SCHEMA, {})
