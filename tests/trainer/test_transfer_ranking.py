"""Sources ranked on small, real models: the order, the reasons, the job to follow."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.trainings import build, carry_out, order
from trainer.data.dataset import Dataset, described
from trainer.export import export
from trainer.spec.data import DatasetRef
from trainer.spec.job import JobSpec
from trainer.spec.resolve import resolve
from trainer.spec.transfer import (
    Candidate,
    RecommendationAnswer,
    RecommendationOrder,
    SourceScores,
)
from trainer.transfer.ranking import ranked

HIDDEN = [{"kind": "dense", "name": "hidden1", "units": 12}]


def grids(rows: int = 300, seed: int = 0, *, nonsense: bool = False) -> Dataset:
    """Return 6x6 pictures of a bright row or column; the label says which of six."""
    draw = np.random.default_rng(seed)
    label = draw.integers(0, 6, rows)
    image = draw.integers(0, 120, (rows, 6, 6))
    for number, which in enumerate(label):
        line = image[number, which] if which % 2 else image[number, :, which]
        line += 55
    told = draw.permutation(label) if nonsense else label
    columns = {"image": image.astype(np.uint8), "label": told}
    return described(Path("grids"), {"train": columns}, "grids")


def table(rows: int = 200, seed: int = 1) -> Dataset:
    """Return numbers, a category, and what follows from both."""
    draw = np.random.default_rng(seed)
    x, z = draw.normal(size=rows), draw.normal(size=rows)
    colour = draw.choice(["blue", "green", "red"], rows)
    bonus = np.where(colour == "red", 3.0, 0.0)
    columns: dict[str, Any] = {
        "x": x,
        "z": z,
        "colour": colour,
        "target": np.sin(2 * x) * z + bonus + 0.1 * draw.normal(size=rows),
    }
    return described(Path("table"), {"train": columns}, "table")


def source(
    folder: Path,
    data: Dataset,
    layers: list[dict[str, Any]] | None = None,
    epochs: int = 40,
    **more: Any,
) -> Path:
    """Train a model and write its graph, as a worker would."""
    spec = {
        "name": folder.name,
        "dataset": {"id": "any", **more},
        "network": {"layers": layers or HIDDEN},
        "training": {"epochs": epochs, "batch_size": 16, "seed": 3},
    }
    for _ in carry_out(order(spec, model=folder), data):
        pass
    reuse = [{"from": f"mdl_{folder.name}", "layers": ".*"}]
    made = build(spec | {"reuse": reuse}, data, sources=(folder,))
    if made.scale is not None:
        made.scale.fold(made.network)
    export(made.network, made.rows[:8], folder / "model.onnx")
    return folder


def asked(folders: dict[str, Path], **changes: Any) -> RecommendationOrder:
    reference = {"id": "mine@1"} | changes.pop("reference", {})
    fields: dict[str, Any] = {
        "dataset": "unused",
        "reference": DatasetRef.model_validate(reference),
        "name": "mine",
        "candidates": [
            Candidate(id=f"mdl_{name}", word=f"{name}@1", folder=str(folder))
            for name, folder in folders.items()
        ],
        "sample": 100,
        "score": "probe",
        "seed": 0,
        "limit": 10,
        "seconds": 60.0,
    }
    return RecommendationOrder.model_validate(fields | changes)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return models of related, of random and of other data."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "related": source(folder / "related", grids(seed=5)),
        "random": source(folder / "random", grids(seed=6, nonsense=True)),
        "table": source(folder / "table", table()),
    }


@pytest.fixture(scope="module")
def answer(catalog: dict[str, Path]) -> RecommendationAnswer:
    """Return the ranking for ten examples of each class."""
    return ranked(asked(catalog, reference={"examples_per_class": 10}), grids(seed=7))


def test_a_source_of_the_same_kind_is_ranked_above_one_of_random_labels(
    answer: RecommendationAnswer,
) -> None:
    assert [each.reference for each in answer.sources] == ["related@1", "random@1"]
    first, second = answer.sources
    assert first.probe > second.probe + 0.1
    assert first.score == first.probe
    assert 0 < first.standard_error < 0.1


def test_a_model_of_other_inputs_is_left_out_and_says_why(
    answer: RecommendationAnswer,
) -> None:
    (left,) = answer.left_out

    assert (left.reference, left.code) == ("table@1", "other_inputs")
    assert "lacks the columns" in left.detail


def test_the_rows_are_those_that_a_job_would_train_and_choose_on(
    answer: RecommendationAnswer,
) -> None:
    assert answer.rows == {"train": 60, "validation": 30}
    assert answer.task == "classification"
    assert answer.compared == 2


def test_the_inputs_themselves_are_the_baseline(answer: RecommendationAnswer) -> None:
    assert answer.baseline is not None
    assert answer.baseline.shape == (1, 6, 6)
    assert 0.3 < answer.baseline.probe <= 1
    better = [each.better_than_baseline for each in answer.sources]
    assert set(better) <= {True, False}


def test_the_spec_of_the_answer_resolves_to_frozen_layers_below_a_new_output(
    answer: RecommendationAnswer, catalog: dict[str, Path]
) -> None:
    best = answer.sources[0]
    states = {line["layer"]: line["state"] for line in best.match}

    assert states == {"hidden1": "frozen", "output": "new"}
    assert best.spec is not None
    assert best.spec["name"] == "mine-from-related"
    assert best.spec["dataset"] == {"id": "mine@1", "examples_per_class": {"train": 10}}
    assert best.spec["reuse"] == [best.reuse]


def test_the_probe_forecasts_what_the_job_reaches(
    answer: RecommendationAnswer, catalog: dict[str, Path]
) -> None:
    def reached(each: SourceScores) -> float:
        spec = dict(each.spec or {}) | {"training": {"seed": 1}}
        spec["reuse"] = [dict(each.reuse or {}) | {"from": each.model}]
        folder = catalog[each.reference.partition("@")[0]]
        events = carry_out(order(spec, sources=(folder,)), grids(rows=1_000, seed=7))
        (result,) = (event for event in events if event["event"] == "result")
        return float(result["metrics"]["test_accuracy"])

    first, second = (reached(each) for each in answer.sources)

    assert first > second
    assert first == pytest.approx(answer.sources[0].probe, abs=0.15)


@pytest.mark.parametrize("score", ["probe", "ridge", "logme"])
def test_every_score_prefers_the_related_source(
    score: str, catalog: dict[str, Path]
) -> None:
    found = ranked(asked(catalog, score=score, limit=1), grids(seed=7))

    (best,) = found.sources
    assert best.reference == "related@1"
    assert found.compared == 2
    (cut,) = best.cuts
    assert (
        best.score
        == {"probe": cut.probe, "ridge": cut.ridge, "logme": cut.logme}[score]
    )


def test_the_same_request_has_the_same_answer(catalog: dict[str, Path]) -> None:
    def scores(threads: int) -> list[Any]:
        found = ranked(asked(catalog, threads=threads), grids(seed=7))
        return [each.model_dump(exclude={"seconds"}) for each in found.sources]

    assert scores(1) == scores(2)


def test_a_regression_is_judged_by_r2(tmp_path: Path) -> None:
    data = table(rows=400)
    folders = {
        "related": source(tmp_path / "related", data),
        "short": source(tmp_path / "short", table(rows=30, seed=8)),
    }

    found = ranked(asked(folders), table(rows=300, seed=2))

    assert found.task == "regression"
    assert [each.reference for each in found.sources] == ["related@1", "short@1"]
    first = found.sources[0]
    assert found.baseline is not None
    assert found.baseline.probe + 0.05 < first.probe <= 1
    assert first.better_than_baseline


def test_several_labels_are_judged_together(catalog: dict[str, Path]) -> None:
    data = grids(seed=7)
    label = data.columns["label"]
    columns: dict[str, Any] = {
        "image": data.columns["image"],
        "odd": label % 2 == 1,
        "late": label > 2,
    }
    several = described(Path("grids"), {"train": columns}, "several")

    found = ranked(asked(catalog, reference={"target": ("odd", "late")}), several)

    assert found.task == "multi_label"
    assert found.sources[0].reference == "related@1"


def test_a_time_series_has_sources_with_the_same_windows_only(tmp_path: Path) -> None:
    draw = np.random.default_rng(4)
    wave = np.sin(np.arange(300) / 5) + 0.1 * draw.normal(size=300)
    data = described(Path("wave"), {"train": {"target": wave}}, "wave")
    windows = {"windows": {"length": 8}}
    layers: list[dict[str, Any]] = [{"kind": "gru", "name": "hidden1", "units": 6}]
    folders = {
        "wave": source(tmp_path / "wave", data, layers, 2, **windows),
        "longer": source(
            tmp_path / "longer", data, layers, 2, windows={"length": 9, "horizon": 2}
        ),
    }

    found = ranked(asked(folders, reference=windows), data)

    assert [each.reference for each in found.sources] == ["wave@1"]
    assert [each.code for each in found.left_out] == ["other_inputs"]


def texts(seed: int) -> Dataset:
    """Return phrases of which one word says what the label is."""
    draw = np.random.default_rng(seed)
    label = draw.integers(0, 2, 150)
    words = np.array([["bad", "poor", "awful"], ["good", "fine", "great"]])
    said = [f"the film was {draw.choice(words[each])} and so on" for each in label]
    columns: dict[str, Any] = {"words": np.array(said), "label": label}
    return described(Path("texts"), {"train": columns}, "texts")


def test_models_of_texts_are_compared_on_texts(
    tmp_path: Path, catalog: dict[str, Path]
) -> None:
    read = {"encodings": {"words": {"kind": "text", "length": 8}}}
    layers: list[dict[str, Any]] = [
        {"kind": "embedding", "name": "embed", "units": 6},
        {"kind": "global_average_pool1d", "name": "mean"},
    ]
    model = source(tmp_path / "texts", texts(1), layers, 20, **read)
    folders = {"texts": model, "grids": catalog["related"]}

    found = ranked(asked(folders, reference=read), texts(2))

    assert found.baseline is None
    assert "tokens" in str(found.no_baseline)
    assert [(each.reference, each.cut) for each in found.sources] == [
        ("texts@1", "mean")
    ]
    assert found.sources[0].probe > 0.9
    assert [each.code for each in found.left_out] == ["other_inputs"]


SIAMESE: list[dict[str, Any]] = [
    {"name": "left", "kind": "select"},
    {"name": "hidden1", "kind": "dense", "units": 16},
    {"name": "hidden2", "kind": "dense", "units": 8},
    {"name": "right", "kind": "select", "index": 1, "inputs": ["input"]},
    {"name": "again1", "kind": "shared", "of": "hidden1"},
    {"name": "again2", "kind": "shared", "of": "hidden2"},
    {"name": "apart", "kind": "absolute_difference", "inputs": ["hidden2", "again2"]},
]


def test_layers_that_learned_on_pairs_are_tried_on_single_examples(
    tmp_path: Path,
) -> None:
    task = {"kind": "same_or_different"}
    model = source(tmp_path / "pairs", grids(), SIAMESE, 40, auxiliary_task=task)
    folders = {"pairs": model}

    found = ranked(asked(folders, reference={"examples_per_class": 10}), grids(seed=7))

    (best,) = found.sources
    assert best.spec is not None
    layers = best.spec["network"]["layers"]
    assert [each["name"] for each in layers] in (["hidden1"], ["hidden1", "hidden2"])
    assert layers[0]["inputs"] == ["input"]
    assert best.probe > 0.5


def test_a_layer_comes_with_the_one_whose_weights_it_uses(tmp_path: Path) -> None:
    layers: list[dict[str, Any]] = [
        {"kind": "dense", "name": "hidden1", "units": 9},
        {"kind": "tied_dense", "name": "back", "tied_to": "hidden1"},
        {"kind": "dense", "name": "hidden2", "units": 5},
    ]
    folders = {"tied": source(tmp_path / "tied", grids(), layers)}

    found = ranked(asked(folders), grids(seed=7))

    assert [cut.layer for cut in found.sources[0].cuts] == [
        "hidden1",
        "back",
        "hidden2",
    ]


def test_columns_are_read_at_the_drawn_rows_only(catalog: dict[str, Path]) -> None:
    class Counted(np.ndarray[Any, Any]):
        """An array that knows how many of its rows were taken."""

        taken = 0

        def __getitem__(self, rows: Any) -> Any:
            Counted.taken += np.size(rows)
            return np.asarray(super().__getitem__(rows))

    data = grids(rows=2_000, seed=7)
    image = data.columns["image"].view(Counted)
    watched = Dataset(data.schema, dict(data.columns) | {"image": image}, "watched")

    found = ranked(asked(catalog), watched)

    assert found.rows == {"train": 100, "validation": 200}
    assert Counted.taken == 300


def test_when_time_is_up_what_was_not_compared_is_left_out(
    catalog: dict[str, Path],
) -> None:
    found = ranked(asked(catalog, seconds=0.0), grids(seed=7))

    assert found.sources == ()
    assert {each.code for each in found.left_out} == {"no_time"}


def test_one_broken_model_does_not_spoil_the_others(
    catalog: dict[str, Path], tmp_path: Path
) -> None:
    broken = shutil.copytree(catalog["related"], tmp_path / "broken")
    (broken / "preprocessing.safetensors").write_bytes(b"nothing")

    found = ranked(asked(catalog | {"broken": broken}), grids(seed=7))

    reasons = {each.reference: each.code for each in found.left_out}
    assert found.compared == 2
    assert "broken@1" in reasons


def test_the_match_table_is_that_of_the_dry_run(
    answer: RecommendationAnswer, catalog: dict[str, Path]
) -> None:
    from trainer.transfer.sources import opened  # noqa: PLC0415 - only here

    best = answer.sources[0]
    spec = JobSpec.model_validate(best.spec)
    taken = opened(catalog["related"], "related@1", "mdl_related").source

    table_of = resolve(spec, grids(seed=7).schema, {"related@1": taken}).match_table()

    assert list(best.match) == table_of
