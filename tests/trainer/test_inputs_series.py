"""Time series: windows of rows, divided by time, and predictions of what comes next."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.inputs import HOUR, dataset, made, reopened, waves
from tests.trainer.trainings import build, spec
from trainer.data.dataset import Dataset
from trainer.data.selection import Labels, select
from trainer.data.series import with_timeline
from trainer.errors import BadValue
from trainer.preprocessing import Preprocessing
from trainer.preprocessing.timeline import Timeline
from trainer.spec.data import DatasetRef, Windows
from trainer.spec.data.schema import Part
from trainer.spec.errors import InvalidSpec
from trainer.spec.job import JobSpec
from trainer.spec.resolve import Resolution, resolve

LSTM = [{"kind": "lstm", "units": 8}]


def counted(rows: int = 20, **columns: Any) -> Dataset:
    """Return rows that are numbered, with whatever else is given."""
    given: dict[str, Any] = {
        name: ("integer", np.asarray(values)) for name, values in columns.items()
    }
    return dataset({"n": ("number", np.arange(float(rows))), **given})


def chosen(data: Dataset, windows: dict[str, Any], **split: Any) -> Any:
    """Return which rows are the targets of which purpose."""
    ref = DatasetRef.model_validate(
        {"id": "d", "windows": windows, "split": split or {}}
    )
    timed = with_timeline(data, ref.windows)
    known = Labels(np.ones(data.schema.rows, bool))
    return select(ref, data.schema, timed.columns, known, 0), timed, ref


def fitted(data: Dataset, windows: dict[str, Any], rows: Any) -> Preprocessing:
    return Preprocessing.fit(
        data.schema, data.columns, ["n"], np.asarray(rows), standardize=False,
        windows=Windows(**windows),
    )  # fmt: skip


def test_a_window_ends_a_horizon_before_its_target() -> None:
    data = counted()
    windows = {"length": 3, "horizon": 2}

    inputs = fitted(data, windows, [8]).apply(data.columns, np.array([4, 19]))

    assert inputs[:, :, 0].tolist() == [[0, 1, 2], [15, 16, 17]]
    assert inputs.shape == (2, 3, 1)


def test_rows_are_ordered_by_the_column_that_says_when_they_were() -> None:
    draw = np.random.default_rng(0)
    at = draw.permutation(20)
    data = counted(at=at)
    windows = {"length": 4, "order_by": "at"}
    last = int(np.flatnonzero(at == 19)[0])

    (window,) = fitted(data, windows, [last]).apply(data.columns, np.array([last]))

    assert at[window[:, 0].astype(int)].tolist() == [15, 16, 17, 18]


def test_a_window_lies_within_one_series() -> None:
    data = counted(12, shop=[0, 1] * 6)
    selection, timed, ref = chosen(
        data, {"length": 3, "group_by": "shop"}, validation="none", test="none"
    )

    assert ref.windows is not None
    windows = timed.columns[""].windows(selection.train, ref.windows)
    assert selection.train.tolist() == [6, 7, 8, 9, 10, 11]
    assert windows.tolist()[:2] == [[0, 2, 4], [1, 3, 5]]


def test_a_window_lies_within_one_part() -> None:
    parts = [Part(name="train", start=0, stop=12), Part(name="test", start=12, stop=20)]
    data = dataset({"n": ("number", np.arange(20.0))}, parts=parts)

    selection, _, _ = chosen(data, {"length": 5}, validation="none")

    assert selection.train.tolist() == list(range(5, 12))
    assert selection.test.tolist() == [17, 18, 19]


@pytest.mark.parametrize(
    ("stride", "targets"), [(1, [3, 4, 5, 6, 7, 8, 9]), (3, [3, 6, 9])]
)
def test_windows_begin_a_stride_apart(stride: int, targets: list[int]) -> None:
    selection, _, _ = chosen(
        counted(10), {"length": 3, "stride": stride}, validation="none", test="none"
    )

    assert selection.train.tolist() == targets


def test_the_latest_examples_are_held_back() -> None:
    selection, _, _ = chosen(counted(24), {"length": 4}, validation=0.1, test=0.2)

    assert selection.train.tolist() == list(range(4, 18))
    assert selection.validation.tolist() == [18, 19]
    assert selection.test.tolist() == [20, 21, 22, 23]


@pytest.mark.parametrize("group_by", [None, "shop"])
@pytest.mark.parametrize("horizon", [1, 3])
def test_what_is_trained_on_is_from_before_what_is_held_back(
    group_by: str | None, horizon: int
) -> None:
    draw = np.random.default_rng(1)
    rows = 120
    data = counted(rows, at=draw.integers(0, 40, rows), shop=draw.integers(0, 3, rows))
    windows = {"length": 4, "horizon": horizon, "order_by": "at", "group_by": group_by}

    selection, timed, ref = chosen(data, windows)

    assert ref.windows is not None
    at = data.columns["at"]
    inside = timed.columns[""].windows(selection.train, ref.windows)
    newest = max(at[inside].max(), at[selection.train].max())
    assert newest < at[selection.validation].min()
    assert at[selection.validation].max() < at[selection.test].min()


def test_shops_without_a_clock_are_each_divided_at_their_own_end() -> None:
    data = counted(60, shop=[0] * 40 + [1] * 20)

    selection, _, _ = chosen(data, {"length": 2, "group_by": "shop"}, validation="none")

    assert {row < 40 for row in selection.test.tolist()} == {True, False}
    assert max(selection.train[selection.train < 40]) < 39


def test_statistics_are_those_of_the_rows_that_training_windows_hold() -> None:
    data = counted(20)
    read = Preprocessing.fit(
        data.schema, data.columns, ["n"], np.array([4, 5]), standardize=True,
        windows=Windows(length=3),
    )  # fmt: skip

    # targets 4 and 5 have the rows 1 to 4 in their windows: mean 2.5
    assert read.described()["encodings"][0]["mean"] == 2.5


def resolved(data: Dataset, **ref: Any) -> Resolution:
    what = spec(LSTM, dataset={"target": "value"} | ref)
    return resolve(JobSpec.model_validate(what), data.schema, {})


def test_a_series_learns_from_its_targets_past_and_not_from_the_clock() -> None:
    found = resolved(waves(), windows={"length": 12, "order_by": "at"})

    assert found.spec.dataset.features == ("value",)
    assert found.inputs.shape == (12, 1)
    assert found.spec.dataset.split.stratify is False


def test_a_clock_can_be_a_feature() -> None:
    found = resolved(
        waves(), windows={"length": 12, "order_by": "at"}, features=["value", "at"]
    )

    # 200 hours vary in the time, the weekday, the day of the year and the hour
    assert found.inputs.shape == (12, 1 + 1 + 2 + 2 + 2)


@pytest.mark.parametrize(
    ("windows", "split", "place", "code"),
    [
        ({"length": 12, "order_by": "when"}, {}, "order_by", "unknown_column"),
        ({"length": 12, "group_by": "value"}, {}, "group_by", "wrong_column"),
        ({"length": 200}, {}, "length", "too_few_rows"),
        ({"length": 190, "horizon": 11}, {}, "length", "too_few_rows"),
    ],
)
def test_windows_that_cannot_be_are_refused(windows, split, place, code) -> None:
    with pytest.raises(InvalidSpec) as refused:
        resolved(waves(), windows=windows, split=split)

    (problem,) = refused.value.problems
    assert (problem.pointer, problem.code) == (f"/dataset/windows/{place}", code)


@pytest.mark.parametrize(
    ("split", "place"),
    [
        ({"validation": {"rows": [10, 40]}}, "validation"),
        ({"test": {"rows": [10, 40]}}, "test"),
        ({"stratify": True}, "stratify"),
    ],
)
def test_a_series_is_divided_by_time_alone(split, place) -> None:
    with pytest.raises(InvalidSpec) as refused:
        resolved(waves(), windows={"length": 12}, split=split)

    (problem,) = refused.value.problems
    assert (problem.pointer, problem.code) == (f"/dataset/split/{place}", "not_by_time")


def test_the_estimate_counts_a_row_in_every_window_that_holds_it() -> None:
    short = resolved(waves(), windows={"length": 2}).estimate
    long = resolved(waves(), windows={"length": 64}).estimate

    assert long.data_bytes > 10 * short.data_bytes
    assert long.training_rows < short.training_rows < 200


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "m"
    made(
        folder, waves(), LSTM, target="value",
        windows={"length": 12, "order_by": "at"}, training={"epochs": 12},
    )  # fmt: skip
    return folder


def hours(start: int, stop: int) -> list[dict[str, Any]]:
    """Return rows of the wave without its noise."""
    begin = datetime(1970, 1, 1, tzinfo=UTC)
    return [
        {
            "at": (begin + timedelta(hours=hour)).isoformat(),
            "value": float(np.sin(hour / 4)),
        }
        for hour in range(start, stop)
    ]


def test_a_wave_is_predicted_better_than_by_its_last_value(source: Path) -> None:
    model, _ = reopened(source)

    # a step of the sine has a mean square of 1/32 · 1/2, its variance is 1/2
    assert model.description["metrics"]["test_r2"] > 0.95


def test_raw_rows_in_any_order_are_one_window(source: Path) -> None:
    _, preprocessing = reopened(source)
    rows = hours(100, 120)
    mixed = [rows[at] for at in np.random.default_rng(0).permutation(20)]

    x = preprocessing.apply(mixed)

    assert x.shape == (1, 12, 1)
    np.testing.assert_array_equal(x, preprocessing.apply(rows[-12:]))


def test_too_few_rows_are_refused_with_what_is_needed(source: Path) -> None:
    _, preprocessing = reopened(source)

    with pytest.raises(BadValue, match="11 rows, the model looks at the last 12"):
        preprocessing.apply(hours(0, 11))


def test_a_row_without_its_moment_is_refused(source: Path) -> None:
    _, preprocessing = reopened(source)
    rows = hours(0, 12)
    rows[4]["at"] = None

    with pytest.raises(BadValue, match="row 4, column 'at'"):
        preprocessing.apply(rows)


def test_each_series_has_a_prediction_even_one_that_was_not_known() -> None:
    data = dataset(
        {
            "n": ("number", np.arange(12.0)),
            "shop": ("category", np.array([0, 1] * 6, np.int32)),
        },
        {"shop": ["a", "b"]},
    )
    read = fitted(data, {"length": 2, "group_by": "shop"}, [8])
    rows = [{"n": n, "shop": shop} for n, shop in enumerate("ccddcd")]

    assert read.apply(rows)[:, :, 0].tolist() == [[1, 4], [3, 5]]


def test_windows_of_another_length_cannot_be_reused(source: Path) -> None:
    what = spec(
        LSTM, dataset={"target": "value", "windows": {"length": 9, "order_by": "at"}},
        reuse=[{"from": "s", "layers": "lstm1"}],
    )  # fmt: skip

    with pytest.raises(InvalidSpec, match=r"set dataset\.windows to"):
        build(what, waves(), sources=[source])


def test_a_series_model_is_reused_frozen_with_its_scale(source: Path, tmp_path) -> None:
    result = made(
        tmp_path / "m", waves(seed=8), [*LSTM, {"kind": "dense", "units": 3}],
        target="value", windows={"length": 12, "order_by": "at", "stride": 2},
        reuse=[{"from": "s", "layers": "lstm1", "freeze": ".*"}], sources=[source],
        training={"epochs": 1},
    )  # fmt: skip

    assert all(line["before"] == line["after"] for line in result["frozen"])
    _, ours = reopened(tmp_path / "m")
    _, theirs = reopened(source)
    assert ours.described() == theirs.described()


def test_a_timeline_counts_the_rows_before_each() -> None:
    line = Timeline(5, np.array([0, 1, 0, 1, 0]), np.array([9, 1, 2, 0, 5]))

    assert line.before.tolist() == [2, 1, 0, 0, 1]
    assert HOUR == 3_600_000_000
