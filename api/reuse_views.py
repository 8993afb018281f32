"""What a search for the depth of reuse found: a table, its front, and sentences."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from api.reuse_candidates import MOST_DEPTHS, SCRATCH
from api.reuse_steps import standing
from catalog.search_rows import Search
from catalog.searches import Trial
from trainer.spec.resolve.recipe import rises

NEAR = 0.01
"""How much worse than the best the cheapest may be, in units of the metric."""


class ReuseRowView(BaseModel):
    """One candidate at one rung."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    trial: int
    """The trial's number."""
    candidate: str
    """What it is, in words."""
    reused: int
    """How many layers with weights come from the source."""
    frozen: int
    """How many of them kept their values."""
    dropped: int
    """How many of the source's upper layers the network is without."""
    added: int
    """How many layers were put on top."""
    rung: int
    """Its rung, from 0."""
    epochs: int
    """Epochs that it was given."""
    status: str
    """As the job's."""
    value: float | None
    """The monitored metric of the kept weights."""
    seconds: float | None
    """How long its job took, from its first start to its end."""
    on_front: bool
    """Whether no other row has as good a value in as few seconds, one of them better:
    the Pareto front."""
    job: str | None
    """Its job; null where it made no valid spec."""
    model: str | None
    """Id of its model."""


class ReuseResultView(BaseModel):
    """What a search for the depth of reuse has found so far."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    table: list[ReuseRowView]
    """A row for each candidate at each rung, in the order in which they began."""
    cheapest: int | None
    """Trial of the quickest row whose value is at most 0.01 worse than the best's."""
    scratch: int | None
    """Trial of the best row without reuse."""
    explanation: str
    """What the numbers say."""


def result_of(
    search: Search, trials: Sequence[Trial], best: Trial | None
) -> ReuseResultView | None:
    """Return the result of a search for the depth of reuse; None for other kinds."""
    if search.kind != "reuse_depth":
        return None
    up = rises(search.monitor)
    rows = [_row(trial, search.monitor, up=up) for trial in trials]
    front = _front(rows, up=up)
    table = [row.model_copy(update={"on_front": row.trial in front}) for row in rows]
    by_trial = {row.trial: row for row in table}
    first = None if best is None else by_trial[best.row.number]
    cheapest = None if first is None else _cheapest(table, first, up=up)
    scratch = min(
        (
            place
            for trial in trials
            if trial.row.draws["candidate"] == SCRATCH
            and (place := standing(trial, search.monitor)) is not None
        ),
        default=None,
    )
    twin = None if scratch is None else by_trial[scratch[2]]
    words = [_extent(search, trials)]
    if first is not None and cheapest is not None:
        words += _sentences(search.monitor, first, cheapest, twin)
    return ReuseResultView(
        table=table,
        cheapest=cheapest and cheapest.trial,
        scratch=twin and twin.trial,
        explanation=" ".join(words),
    )


def _row(trial: Trial, monitor: str, *, up: bool) -> ReuseRowView:
    return ReuseRowView(
        trial=trial.row.number,
        rung=trial.row.draws["rung"],
        status=trial.status,
        value=trial.value(monitor, rises=up),
        seconds=trial.seconds,
        on_front=False,
        job=trial.row.job_id,
        model=trial.model.id if trial.model else None,
        **trial.row.parameters,
    )


def _front(rows: Sequence[ReuseRowView], *, up: bool) -> set[int]:
    """Return the trials that no other beats in value and seconds (Pareto 1906)."""
    measured = sorted(
        (row.seconds, -row.value if up else row.value, row.trial)
        for row in rows
        if row.status == "succeeded"
        and row.value is not None
        and row.seconds is not None
    )
    front: set[int] = set()
    least = (float("inf"), float("inf"))  # the best value so far, and its seconds
    for seconds, value, trial in measured:
        if value < least[0] or (value, seconds) == least:
            front.add(trial)
            least = value, seconds
    return front


def _cheapest(
    rows: Sequence[ReuseRowView], best: ReuseRowView, *, up: bool
) -> ReuseRowView:
    """Return the quickest of those that are nearly as good as the best."""
    assert best.value is not None
    sign = -1.0 if up else 1.0
    near = [
        (row.seconds, sign * row.value, row.trial, row)
        for row in rows
        if row.status == "succeeded"
        and row.value is not None
        and row.seconds is not None
        and sign * (row.value - best.value) <= NEAR + 1e-12
    ]
    return min(near, default=(0.0, 0.0, 0, best))[3]


def _extent(search: Search, trials: Sequence[Trial]) -> str:
    """Say how much was tried."""
    if not trials:
        return "Nothing was tried yet."
    draws = trials[-1].row.draws
    count, depth = len(trials[0].row.draws["field"]), draws["depth"]
    words = (
        f"{_number(count, 'candidate')} over {_number(depth, 'layer')} of "
        f"{search.request['from']}; {len(draws['field'])} of them reached rung "
        f"{draws['rung'] + 1}."
    )
    if depth > MOST_DEPTHS:
        words += f" Of {depth} depths, {MOST_DEPTHS} evenly spread ones were tried."
    return words


def _sentences(
    monitor: str,
    best: ReuseRowView,
    cheapest: ReuseRowView,
    twin: ReuseRowView | None,
) -> list[str]:
    words = [f"Best: {best.candidate}, {_measured(monitor, best)}."]
    if cheapest.trial == best.trial:
        words.append(f"Nothing quicker comes within {NEAR} of it.")
    else:
        words.append(
            f"The quickest within {NEAR} of it: {cheapest.candidate}, "
            f"{_measured(monitor, cheapest)}."
        )
    if twin is None:
        words.append("The network without reuse made no model to compare with.")
    elif twin.trial == best.trial:
        words.append("That is the network without reuse: no reused layer did better.")
    else:
        words.append(f"From scratch: {_measured(monitor, twin)}; {_gain(best, twin)}.")
    return words


def _gain(best: ReuseRowView, twin: ReuseRowView) -> str:
    assert best.value is not None
    assert twin.value is not None
    gain = abs(best.value - twin.value)
    words = f"reuse is better by {gain:.4g}" if gain else "reuse is as good"
    if best.seconds is None or not twin.seconds:
        return words
    return f"{words} and takes {best.seconds / twin.seconds:.2g} times as long"


def _measured(monitor: str, row: ReuseRowView) -> str:
    time = "" if row.seconds is None else f" in {row.seconds:.2f} s"
    return f"{monitor} {row.value:.4g}{time} ({_number(row.epochs, 'epoch')})"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
