"""Predictions drawn many times: their mean, and how far they spread.

With dropout left on, each run of a network is a draw from the distribution over
networks that training has approximated; the spread of the predictions is a measure of
what the model does not know. Source: Gal and Ghahramani (2016), "Dropout as a Bayesian
Approximation", ICML, equations 6 and 8 (without the noise of the data, which a network
does not know).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from api.errors import InvalidInput
from api.inference import ROWS_AT_ONCE, Floats
from api.problems import Fault

FIELD = "monte_carlo_samples"
FEWEST, MOST = 2, 1000
MOST_DRAWS = 1_000_000
"""Rows times samples in one request."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """What many draws have come to, each row by itself.

    Shapes:
        mean, deviation: (rows, units); the sample deviation, over samples - 1.
    """

    mean: Numbers
    deviation: Numbers


def drawn(
    graph: Any, given: Floats, samples: int, meant: Callable[[Floats], Numbers]
) -> Drawn:
    """Run a graph that draws `samples` times for each row.

    `meant` turns outputs into what is predicted: probabilities, or values.
    """
    mean, squares = [], []
    for row in range(0, len(given), ROWS_AT_ONCE):
        few = given[row : row + ROWS_AT_ONCE]
        at_once = max(1, ROWS_AT_ONCE // len(few))
        count, middle, spread = 0, np.zeros(()), np.zeros(())
        while count < samples:
            copies = min(at_once, samples - count)
            outputs = graph.run(None, {"input": np.repeat(few, copies, axis=0)})[0]
            flat = meant(outputs.reshape(len(outputs), -1))
            found = flat.reshape(len(few), copies, -1)
            # two means and their squared distances as one, after Chan et al. (1979)
            new = found.mean(1)
            distance = new - middle
            spread = spread + ((found - new[:, None]) ** 2).sum(1)
            spread = spread + distance**2 * (count * copies / (count + copies))
            middle = middle + distance * (copies / (count + copies))
            count += copies
        mean.append(middle)
        squares.append(spread)
    deviation = np.sqrt(np.concatenate(squares) / (samples - 1))
    return Drawn(np.concatenate(mean), deviation)


def check_size(rows: int, samples: int) -> None:
    """Refuse more work than one request may ask for.

    Raises: InvalidInput.
    """
    if rows * samples > MOST_DRAWS:
        detail = (
            f"{rows:,} rows times {samples:,} samples are {rows * samples:,} draws; "
            f"at most {MOST_DRAWS:,} are made at a time"
        )
        raise InvalidInput([Fault(pointer=f"/{FIELD}", code="too_many", detail=detail)])


def no_draws(card: Mapping[str, Any]) -> InvalidInput:
    """Return why a model without a graph that draws cannot be asked to draw."""
    network = card.get("network") or {}
    if _has_dropout(network.get("layers") or ()):
        code = "no_sampled_graph"
        detail = (
            "the model has dropout but no graph that draws with it: it was exported "
            "before there were any, or has a layer that cannot draw; train it again"
        )
    else:
        code = "no_dropout"
        detail = (
            "the model has no dropout, so every draw would be the same: train it with "
            "dropout in its layers, or ask without monte_carlo_samples"
        )
    return InvalidInput([Fault(pointer=f"/{FIELD}", code=code, detail=detail)])


def _has_dropout(layers: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a filled network drops anything."""
    return any(
        bool(layer.get("dropout"))
        or ("dropout" in str(layer.get("kind")) and layer.get("rate") != 0)
        for layer in layers
    )
