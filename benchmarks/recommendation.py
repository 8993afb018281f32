"""How the ranking of sources agrees with what they turn out to be worth, and how fast.

Twenty-four models, unrelated ones among them, are ranked for five small tasks by the
very process that the API starts. Each is then really used: the job of the answer, with
the layers up to the recommended cut frozen below a new output, is trained from several
seeds, and Kendall's tau is taken between the probe and the mean accuracy on the test
part. The seeds' own agreement shows how much tau could be. Then a hundred models are
ranked against the clock.

    python benchmarks/recommendation.py FOLDER_WITH_THE_IDX_FILES [--seeds 1 2 3]
"""

import argparse
import copy
import json
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from benchmarks.transfer_sources import (
    SOURCES,
    TARGETS,
    SourceCase,
    TargetCase,
    pictures,
)
from catalog.recommendations import compare
from trainer.assembly import Assembly, assembled
from trainer.data.dataset import Dataset
from trainer.export import export
from trainer.process.commands import Commands
from trainer.process.order import Order, OrderedSource
from trainer.run import Run
from trainer.spec.data import DatasetRef
from trainer.spec.transfer import (
    Candidate,
    RecommendationAnswer,
    RecommendationOrder,
    Score,
    SourceScores,
)

GIB = 1024**3
HUNDRED = 100
THREADS = 2


class Bench(Run):
    """A run on a data set that is in memory."""

    def __init__(self, order: Order, data: Dataset) -> None:
        """Carry out `order` on `data`, with nobody to stop it."""
        super().__init__(order, Commands())
        self.data = data

    def assemble(self) -> Assembly:
        """Build on the given data set."""
        return assembled(self.order, self.data)

    def metrics(self) -> Mapping[str, float]:
        """Train to the end; return the final metrics."""
        results = [event for event in self.events() if event["event"] == "result"]
        found: Mapping[str, float] = results[0]["metrics"]
        return found


def catalogued(case: SourceCase, data: Dataset, folder: Path) -> Path:
    """Train a source and write its model folder with its graph."""
    spec = {
        "name": case.name,
        "dataset": {"id": "pictures"} | case.rows,
        "network": {"layers": case.layers},
        "training": {"epochs": 5, "seed": 1} | case.training,
    }
    place = folder / case.name
    run = Bench(Order(spec=spec, dataset=Path("pictures"), model=place), data)
    accuracy = run.metrics()["test_accuracy"]
    assert run.assembly is not None
    export(run.assembly.network, run.assembly.rows[:8], place / "model.onnx")
    print(f"  {case.name:20} {accuracy:.3f} on its own task", flush=True)
    return place


def stored(data: Dataset, folder: Path) -> Path:
    """Write a data set as the service stores it."""
    (folder / "columns").mkdir(parents=True)
    (folder / "dataset.json").write_text(data.schema.model_dump_json())
    for number, column in enumerate(data.schema.columns):
        np.save(folder / "columns" / f"{number}.npy", data.columns[column.name])
    return folder


def ranking(
    target: TargetCase,
    data: Path,
    folders: Mapping[str, Path],
    score: Score = "probe",
) -> RecommendationAnswer:
    """Have sources ranked by a child process, as the API does."""
    order = RecommendationOrder(
        dataset=str(data),
        reference=DatasetRef.model_validate({"id": "pictures"} | target.rows),
        name="benchmark",
        candidates=tuple(
            Candidate(id=f"mdl_{name}", word=f"{name}@1", folder=str(folder))
            for name, folder in folders.items()
        ),
        sample=500,
        score=score,
        seed=0,
        limit=1_000,
        seconds=600,
        threads=THREADS,
    )
    with tempfile.TemporaryDirectory() as folder:
        return compare(order, Path(folder), 4 * GIB, threading.Event())


def accuracies(
    source: SourceScores, data: Dataset, folder: Path, seeds: Sequence[int]
) -> list[float]:
    """Train the job of the answer from each seed; return the accuracies on the test."""
    found = []
    for seed in seeds:
        spec = copy.deepcopy(dict(source.spec or {}))
        spec["training"] = {"seed": seed}
        used = OrderedSource(id=source.model, folder=folder)
        order = Order(spec=spec, dataset=Path("pictures"), sources=(used,))
        found.append(Bench(order, data).metrics()["test_accuracy"])
    return found


def tau(left: Sequence[float], right: Sequence[float]) -> float:
    """Return Kendall's tau-b of two orders of the same things."""
    return float(kendalltau(left, right)[0])


def judged(
    target: TargetCase,
    data: Dataset,
    answer: RecommendationAnswer,
    folders: Mapping[str, Path],
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Use every source as it was recommended; print and return what came of it."""
    trained = [
        accuracies(source, data, folders[source.reference.partition("@")[0]], seeds)
        for source in answer.sources
    ]
    truth = [mean(each) for each in trained]
    forecast = [source.probe for source in answer.sources]
    by_seed = list(zip(*trained, strict=True))
    pairs = [tau(one, other) for one, other in combinations(by_seed, 2)]
    print(f"\n{target.name}")
    for source, reached in zip(answer.sources, truth, strict=True):
        cut = f"{source.reference} up to {source.cut}"
        print(f"  {cut:36} forecast {source.probe:.3f}  reached {reached:.3f}")
    if answer.baseline is not None:
        print(f"  {'the inputs themselves':36} forecast {answer.baseline.probe:.3f}")
    found = {
        "target": target.name,
        "sources": len(truth),
        "tau": round(tau(forecast, truth), 3),
        "tau_between_seeds": round(mean(pairs), 3) if pairs else None,
        "mean_error": round(
            mean(f - t for f, t in zip(forecast, truth, strict=True)), 3
        ),
        "lost_by_taking_the_first": round(max(truth) - truth[0], 3),
    }
    print(f"  {json.dumps(found)}", flush=True)
    return found


def clocked(
    target: TargetCase, data: Path, folders: Mapping[str, Path], folder: Path
) -> dict[str, float]:
    """Rank a hundred models, copies of the sources; return seconds."""
    names = sorted(folders)
    many = {}
    for number in range(HUNDRED):
        name = f"model-{number}"
        shutil.copytree(folders[names[number % len(names)]], folder / name)
        many[name] = folder / name
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    answer = ranking(target, data, many)
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert answer.compared == HUNDRED
    return {"wall_seconds": round(wall, 2), "processor_seconds": round(used, 2)}


def main() -> None:
    """Train the sources, rank and use them, and print the agreement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mnist", type=Path, help="the folder with MNIST's idx files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    data = pictures(options.mnist)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        print("sources")
        folders = {
            case.name: catalogued(case, data[case.data], place / "models")
            for case in SOURCES
        }
        kept = {name: stored(data[name], place / name) for name in data}
        found = []
        for target in TARGETS:
            answer = ranking(target, kept[target.data], folders)
            assert not answer.left_out, answer.left_out
            found.append(
                judged(target, data[target.data], answer, folders, options.seeds)
            )
        seconds = [
            clocked(target, kept[target.data], folders, place / f"hundred-{number}")
            for number, target in enumerate(TARGETS)
        ]
    taus = [each["tau"] for each in found]
    print(f"\nKendall's tau: median {median(taus):.2f}, least {min(taus):.2f}")
    for target, each in zip(TARGETS, seconds, strict=True):
        print(f"a hundred models for {target.name!r}: {json.dumps(each)}")


if __name__ == "__main__":
    main()
