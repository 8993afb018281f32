"""Sources ranked for a data set: every candidate tried on the same few rows."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.errors import TrainerError
from trainer.preprocessing import Preprocessing
from trainer.spec.errors import InvalidSpec
from trainer.spec.job import JobSpec
from trainer.spec.resolve import resolve
from trainer.spec.transfer import (
    Baseline,
    CutScores,
    LeftOut,
    RecommendationAnswer,
    SourceScores,
)
from trainer.transfer import cuts, sources
from trainer.transfer.errors import NotComparable
from trainer.transfer.samples import drawn
from trainer.transfer.scores import scored

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trainer.data.dataset import Dataset
    from trainer.spec.resolve import Resolution
    from trainer.spec.transfer import Candidate, RecommendationOrder, Score
    from trainer.transfer.samples import DrawnRows
    from trainer.transfer.scores import Judged, Scored
    from trainer.transfer.sources import CutPoint, SourceLayers

Array = np.ndarray[Any, np.dtype[Any]]

CERTAIN = 2.0
"""Standard errors by which a source must be above the baseline to count as better."""
PROBED = 3
"""Cut points of a source that are probed: those with the most evidence."""
LONGEST_NAME = 100
"""Characters of a job's name."""
LONGEST_SHARE = 0.25
"""Share of the whole time that one model may take."""


@dataclass(frozen=True)
class Trial:
    """What every candidate is tried on."""

    order: RecommendationOrder
    sample: DrawnRows
    baseline: Baseline | None
    until: float
    """When time is up, on the monotonic clock."""
    under_way: Path | None
    """Folder that has an empty file for each model that is being tried."""


def ranked(
    order: RecommendationOrder, dataset: Dataset, under_way: Path | None = None
) -> RecommendationAnswer:
    """Compare all candidates and return the best of them.

    Raises:
        InvalidSpec: the data set cannot be used as it is asked for.
        TrainerError: its rows cannot.
    """
    until = time.monotonic() + order.seconds
    resolution = resolve(_spec(order, {"layers": []}), dataset.schema, {})
    sample = drawn(resolution, dataset, order.sample, order.seed)
    baseline, why = _baseline(resolution, sample)
    trial = Trial(order, sample, baseline, until, under_way)
    with ThreadPoolExecutor(order.threads) as pool:
        found = list(pool.map(partial(_tried, trial), order.candidates))
    compared = [each for each in found if isinstance(each, SourceScores)]
    compared.sort(key=lambda each: (-each.score, -each.probe, each.reference))
    return RecommendationAnswer(
        task=resolution.task,
        rows=sample.told,
        sources=tuple(compared[: order.limit]),
        compared=len(compared),
        baseline=baseline,
        no_baseline=why,
        left_out=tuple(each for each in found if isinstance(each, LeftOut)),
    )


def _spec(
    order: RecommendationOrder,
    network: dict[str, Any],
    reuse: dict[str, Any] | None = None,
) -> JobSpec:
    return JobSpec.model_validate(_written(order, network, reuse))


def _written(
    order: RecommendationOrder,
    network: dict[str, Any],
    reuse: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return a job of the answer as a person would write it."""
    reference = order.reference.model_dump(
        mode="json", by_alias=True, exclude_unset=True
    )
    source = "" if reuse is None else f"-from-{reuse['from'].rpartition('@')[0]}"
    name = f"{order.name}{source}"[:LONGEST_NAME]
    spec = {"name": name, "dataset": reference, "network": network}
    if order.seed:
        spec["training"] = {"seed": order.seed}
    return spec | ({"reuse": [reuse]} if reuse else {})


def _baseline(
    resolution: Resolution, sample: DrawnRows
) -> tuple[Baseline | None, str | None]:
    """Score the inputs as they are, where they are numbers that mean something."""
    if resolution.inputs.layout:
        return None, "some inputs are numbers of categories or tokens, not quantities"
    reference = resolution.spec.dataset
    fitted = Preprocessing.fit(
        sample.schema,
        sample.columns,
        [feature.name for feature in resolution.inputs.features],
        sample.rows[: sample.train],
        standardize=bool(reference.standardize),
        encodings=reference.encodings,
        windows=reference.windows,
    )
    given = fitted.apply(fitted.recoded(sample.schema, sample.columns), sample.rows)
    found = scored(cuts.narrowed(given), sample)
    probe = found.probe(sample)
    baseline = Baseline(
        shape=fitted.shape,
        logme=found.logme,
        ridge=found.ridge.value,
        probe=probe.value,
        standard_error=probe.error,
    )
    return baseline, None


def _tried(trial: Trial, candidate: Candidate) -> SourceScores | LeftOut:
    """Compare one model, or say why it cannot be compared."""
    started = time.monotonic()
    if candidate.reason is not None:
        return _left_out(candidate, *candidate.reason)
    if started > trial.until:
        return _left_out(candidate, "no_time", "time was up before it was its turn")
    mark = None if trial.under_way is None else trial.under_way / candidate.id
    if mark is not None:
        mark.touch()
    try:
        found = _compared(trial, candidate, started)
    except NotComparable as error:
        return _left_out(candidate, error.code, error.detail)
    except MemoryError:
        return _left_out(candidate, "too_large", "it needs too much memory")
    finally:
        if mark is not None:
            mark.unlink(missing_ok=True)
    return found.model_copy(update={"seconds": round(time.monotonic() - started, 4)})


def _left_out(candidate: Candidate, code: str, detail: str) -> LeftOut:
    return LeftOut(
        model=candidate.id, reference=candidate.word, code=code, detail=detail
    )


def _compared(trial: Trial, candidate: Candidate, started: float) -> SourceScores:
    layers = sources.opened(Path(candidate.folder), candidate.word, candidate.id)
    order, sample = trial.order, trial.sample
    _check_fits(trial, layers)
    inputs = _inputs(layers, sample)
    graph = cuts.opened(layers)
    until = min(trial.until, started + LONGEST_SHARE * order.seconds)
    given = cuts.features(graph, inputs, until)
    _check_finite(graph.cuts, given)
    found = [scored(each, sample) for each in given]
    tried = _probed(order.score, found, sample)
    values = {at: (_chooses(order.score, found[at], tried[at]), at) for at in tried}
    best, spec, match = _best(trial, layers, graph.cuts, values)
    cut, probe = graph.cuts[best], tried[best]
    return SourceScores(
        model=candidate.id,
        reference=candidate.word,
        cut=cut.layer,
        depth=len(cut.weighted),
        score=_chooses(order.score, found[best], probe),
        probe=probe.value,
        standard_error=probe.error,
        better_than_baseline=_is_better(probe, trial.baseline),
        cuts=tuple(
            _told(each, found[at], tried.get(at)) for at, each in enumerate(graph.cuts)
        ),
        seconds=0.0,
        reuse=spec["reuse"][0],
        spec=spec,
        match=tuple(match),
    )


def _probed(
    score: Score, found: Sequence[Scored], sample: DrawnRows
) -> dict[int, Judged]:
    """Probe the cut points that the quick scores leave; by position, lowest first."""
    most = PROBED if score == "probe" else 1
    order = sorted(range(len(found)), key=lambda at: (_quick(score, found[at]), at))
    return {at: found[at].probe(sample) for at in sorted(order[-most:])}


def _quick(score: Score, found: Scored) -> float:
    return found.ridge.value if score == "ridge" else found.logme


def _chooses(score: Score, found: Scored, probe: Judged) -> float:
    """Return what decides between cut points, and between sources."""
    return probe.value if score == "probe" else _quick(score, found)


def _check_fits(trial: Trial, layers: SourceLayers) -> None:
    """Refuse a model whose layers a job on this data set could not take.

    Whether the deepest can be taken tells it soon; if not, the lowest may.
    """
    found = layers.cuts()
    if not found:
        raise NotComparable("no_layers", "no layer of it can be taken by itself")
    try:
        _job(trial, layers, found[-1])
    except NotComparable:
        _job(trial, layers, found[0])


def _best(
    trial: Trial,
    layers: SourceLayers,
    points: Sequence[CutPoint],
    values: Mapping[int, tuple[float, int]],
) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
    """Return the place of the best cut that a job can take, its spec and match table.

    Raises: NotComparable for the best of them where no job can.
    """
    refused: list[NotComparable] = []
    for at in sorted(values, key=lambda at: values[at], reverse=True):
        try:
            return at, *_job(trial, layers, points[at])
        except NotComparable as error:
            refused.append(error)
    raise refused[0]


def _job(
    trial: Trial, layers: SourceLayers, cut: CutPoint
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the job that takes a source up to a cut, and its match table.

    Raises: NotComparable where that job would be refused.
    """
    names = list(cut.weighted)
    entry = {"from": layers.word, "layers": names, "freeze": names}
    written = _written(trial.order, layers.network(cut), entry)
    try:
        spec = JobSpec.model_validate(written)
        resolution = resolve(spec, trial.sample.schema, {layers.word: layers.source})
    except InvalidSpec as error:
        first = error.problems[0]
        raise NotComparable(first.code, first.detail) from None
    except ValueError as error:
        raise NotComparable(
            "broken", f"its layers are no spec: {error!s:.200}"
        ) from None
    return written, resolution.match_table()


def _inputs(layers: SourceLayers, sample: DrawnRows) -> Array:
    """Return the sample's rows as the source's own preprocessing makes them.

    Raises: NotComparable.
    """
    try:
        preprocessing = Preprocessing.load(layers.folder)
        if why := preprocessing.mismatch(sample.schema):
            raise NotComparable("other_inputs", why)
        columns = preprocessing.recoded(sample.schema, sample.columns)
        given = preprocessing.apply(columns, sample.rows)
    except TrainerError as error:
        raise NotComparable(error.reason, str(error)) from None
    return np.stack([given, given], axis=1) if layers.of_pairs else given


def _check_finite(found: Sequence[CutPoint], values: Sequence[Array]) -> None:
    for cut, features in zip(found, values, strict=True):
        if not np.isfinite(features).all():
            detail = f"layer {cut.layer!r} gives numbers that are not finite"
            raise NotComparable("not_finite", detail)


def _told(cut: CutPoint, found: Scored, probe: Judged | None) -> CutScores:
    return CutScores(
        layer=cut.layer,
        depth=len(cut.weighted),
        shape=cut.shape,
        logme=found.logme,
        ridge=found.ridge.value,
        probe=None if probe is None else probe.value,
    )


def _is_better(probe: Judged, baseline: Baseline | None) -> bool | None:
    if baseline is None:
        return None
    error = float(np.hypot(probe.error, baseline.standard_error))
    return probe.value - baseline.probe > CERTAIN * error
