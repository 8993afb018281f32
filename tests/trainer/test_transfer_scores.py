"""LogME, ridge and logistic regression: golden numbers, and slower ways to the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge

from tests.trainer.trainings import pictures
from trainer.transfer import logistic
from trainer.transfer.cuts import narrowed
from trainer.transfer.decomposition import decomposed
from trainer.transfer.evidence import log_maximum_evidence
from trainer.transfer.ridge import answered
from trainer.transfer.samples import DrawnRows
from trainer.transfer.scores import judged, scored

Array = np.ndarray[Any, np.dtype[Any]]


def drawn(rows: int, width: int, noise: float, seed: int = 0) -> tuple[Array, Array]:
    """Return features, and two targets that follow from them but for noise."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(rows, width)) * draw.uniform(0.2, 3, width)
    weights = draw.normal(size=(width, 2))
    return features, features @ weights + noise * draw.normal(size=(rows, 2))


def brute_force(features: Array, target: Array) -> float:
    """Maximise log N(y; 0, F Fᵀ / α + I / β) over α and β without any decomposition.

    In the directions at right angles to a constant: those that centring leaves.
    """
    rows = len(target)
    turn, _ = np.linalg.qr(np.hstack([np.ones((rows, 1)), np.eye(rows)[:, 1:]]))
    product = turn[:, 1:].T @ features @ features.T @ turn[:, 1:]
    wanted = turn[:, 1:].T @ target

    def less(logarithms: Array) -> float:
        alpha, beta = np.exp(logarithms)
        covariance = product / alpha + np.eye(len(wanted)) / beta
        _, determinant = np.linalg.slogdet(2 * np.pi * covariance)
        return 0.5 * float(determinant + wanted @ np.linalg.solve(covariance, wanted))

    starts = [(0.0, 0.0), (3.0, -2.0)]
    options = {"xatol": 1e-6, "fatol": 1e-8}
    ends = [minimize(less, s, method="Nelder-Mead", options=options) for s in starts]
    return -min(float(end.fun) for end in ends) / len(wanted)


@pytest.mark.parametrize(("rows", "width"), [(20, 5), (15, 40)])
@pytest.mark.parametrize("noise", [0.3, 5.0])
def test_logme_is_the_maximum_that_brute_force_finds(
    rows: int, width: int, noise: float
) -> None:
    features, targets = drawn(rows, width, noise)

    found = log_maximum_evidence(decomposed(features), targets)

    slow = np.mean([brute_force(features, targets[:, at]) for at in range(2)])
    assert found == pytest.approx(slow, abs=2e-4)


def test_logme_of_one_feature_is_what_is_worked_out_by_hand() -> None:
    # y = (2, -2, 1, -1), F = (1, -1, 1, -1): along u = F / 2 lies uᵀy = 3 of yᵀy = 10.
    # Centring leaves three numbers: 3 with variance s² / α + 1 / β, and two with 1 / β
    # whose squares add up to 1. Largest where the variances are 9 and 1 / 2.
    feature = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    target = np.array([[2.0], [-2.0], [1.0], [-1.0]])

    found = log_maximum_evidence(decomposed(feature), target)

    by_hand = -0.5 * (3 * np.log(2 * np.pi) + np.log(9) + 2 * np.log(1 / 2) + 3) / 3
    assert found == pytest.approx(by_hand, abs=1e-6)
    assert by_hand == pytest.approx(-1.55409, abs=1e-5)


def test_logme_does_not_change_when_features_are_turned_or_scaled() -> None:
    features, targets = drawn(40, 12, 1.0)
    turn: Array = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0]

    plain = log_maximum_evidence(decomposed(features), targets)
    changed = np.asarray(7 * features @ turn + 3)
    turned = log_maximum_evidence(decomposed(changed), targets)

    assert turned == pytest.approx(plain, abs=1e-4)


def test_features_that_say_nothing_have_less_evidence_than_those_that_do() -> None:
    features, targets = drawn(60, 6, 0.5)
    nonsense = np.random.default_rng(9).normal(size=(60, 6))

    told = log_maximum_evidence(decomposed(features), targets)

    assert told > log_maximum_evidence(decomposed(nonsense), targets) + 0.5


@pytest.mark.parametrize("width", [4, 50])
def test_a_row_is_answered_by_the_ridge_model_of_all_the_others(width: int) -> None:
    features, targets = drawn(20, width, 1.0)
    found = decomposed(features)

    answers = answered(found, targets, found.left[:3])

    penalty = answers.strength * float((found.singular**2).mean())
    for row in (0, 7, 19):
        rest = np.delete(np.arange(20), row)
        model = Ridge(alpha=penalty).fit(features[rest], targets[rest])
        slow = model.predict(features[[row]])[0]
        assert answers.own[row] == pytest.approx(slow, abs=1e-7)


def test_further_rows_are_answered_by_the_ridge_model_of_all_rows() -> None:
    features, targets = drawn(30, 8, 1.0)
    further = features[:4] + 0.3
    found = decomposed(features)

    answers = answered(found, targets, found.projected(further))

    model = Ridge(alpha=answers.strength * float((found.singular**2).mean()))
    slow = model.fit(features, targets).predict(further)
    assert answers.further == pytest.approx(slow, abs=1e-8)


@pytest.mark.parametrize("width", [5, 80])
def test_rows_that_were_decomposed_are_projected_onto_themselves(width: int) -> None:
    features, _ = drawn(30, width, 1.0)
    found = decomposed(features)

    assert found.projected(features) == pytest.approx(found.left, abs=1e-8)


def test_a_feature_that_never_changes_has_no_direction() -> None:
    assert decomposed(np.ones((6, 3))).rank == 0


def test_a_layer_that_gives_nothing_is_scored_like_a_guess() -> None:
    classes = np.array([0, 0, 0, 1] * 5)
    targets = np.eye(2)[classes]
    rows = DrawnRows(
        schema=pictures().schema,
        columns={},
        rows=np.arange(20),
        train=12,
        targets=targets,
        task="classification",
    )

    found = scored(np.zeros((20, 7), np.float32), rows)

    assert np.isfinite(found.logme)
    assert found.ridge.value == pytest.approx(0.75)
    assert found.probe(rows).value == pytest.approx(0.75)


def test_the_logistic_fits_are_those_of_scikit_learn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logistic, "ITERATIONS", 5_000)
    monkeypatch.setattr(logistic, "SETTLED", 1e-6)
    features, targets = drawn(90, 4, 1.0)
    classes = np.digitize(targets[:, 0], [-2, 2])
    found = decomposed(features)
    turned = logistic.components(found, found.left[:0])
    uses = np.stack([np.ones(90, bool), np.arange(90) % 5 != 0])

    fits = logistic.fitted(turned, classes, 3, uses)

    slow = LogisticRegression(C=1 / logistic.PENALTY, tol=1e-8, max_iter=5_000)
    for fit, use in zip(fits, uses, strict=True):
        slow.fit(turned[use, :-1], classes[use])
        assert fit[:-1] == pytest.approx(slow.coef_.T, abs=2e-3)


def test_fits_are_the_same_however_many_are_made_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, targets = drawn(60, 5, 1.0)
    classes = (targets[:, 0] > 0).astype(np.int64)
    found = decomposed(features)
    turned = logistic.components(found, found.left[:0])
    uses = np.stack([np.arange(60) % 5 != fold for fold in range(5)])
    monkeypatch.setattr(logistic, "SETTLED", 1e-5)
    monkeypatch.setattr(logistic, "ITERATIONS", 2_000)

    together = logistic.fitted(turned, classes, 2, uses)
    monkeypatch.setattr(logistic, "AT_ONCE", 1)
    alone = logistic.fitted(turned, classes, 2, uses)

    assert together == pytest.approx(alone, abs=1e-3)


def tried(features: Array, classes: Array, train: int) -> Array:
    """Return which rows are answered rightly, the first of them trained on."""
    found = decomposed(features[:train])
    further = found.projected(features[train:])
    return logistic.right_answers(found, further, classes, train)


def test_classes_that_a_line_divides_are_answered_rightly() -> None:
    features, targets = drawn(80, 3, 0.0)
    classes = (targets[:, 0] > 0).astype(np.int64)

    right = tried(features, classes, 50)

    assert right[:50].mean() >= 0.85
    assert right[50:].mean() >= 0.85


def test_a_class_that_only_held_rows_have_is_answered_wrongly_not_refused() -> None:
    features, _ = drawn(20, 3, 1.0)
    classes = np.array([4, 7] * 8 + [9] * 4)

    right = tried(features, classes, 16)

    assert not right[16:].any()


def test_each_class_is_spread_over_the_folds() -> None:
    classes = np.repeat([0, 1, 2], [50, 25, 5])

    fold = logistic.folds_of(classes)

    counts = [np.bincount(fold[classes == each], minlength=5) for each in range(3)]
    assert [count.tolist() for count in counts] == [[10] * 5, [5] * 5, [1] * 5]


def test_maps_are_made_narrow_by_averaging_neighbours() -> None:
    maps = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4)

    found = narrowed(maps, 8)

    assert found.tolist() == [[2.5, 4.5, 10.5, 12.5, 18.5, 20.5, 26.5, 28.5]]


def test_an_odd_edge_is_averaged_with_nothing_that_is_not_there() -> None:
    maps = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)

    assert narrowed(maps, 4).tolist() == [[2.0, 3.5, 6.5, 8.0]]


def test_wide_vectors_keep_their_distances_when_they_are_made_narrow() -> None:
    rows = np.random.default_rng(3).normal(size=(2, 20_000))

    found = narrowed(rows, 2_000)

    assert found.shape == (2, 2_000)
    ratio = np.linalg.norm(found[0] - found[1]) / np.linalg.norm(rows[0] - rows[1])
    assert ratio == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(
    ("task", "value"), [("regression", 0.5), ("classification", 0.5)]
)
def test_answers_are_judged_as_the_task_is(task: str, value: float) -> None:
    targets = np.array([[1.0, 0.0], [0.0, 1.0]])
    answers = {
        "regression": targets * 0 + [0.5, 0.5],
        "classification": targets[[0, 0]],
    }
    # R² of the mean is 0; half way to the truth is what half of the variance leaves
    closer = 0.5 + (targets - 0.5) * (1 - np.sqrt(0.5))

    found = judged(closer if task == "regression" else answers[task], targets, task)

    assert found.value == pytest.approx(value)


def test_labels_are_judged_one_by_one() -> None:
    targets = np.array([[1.0, 0.0], [1.0, 1.0]])

    found = judged(np.array([[0.9, 0.2], [0.4, 0.8]]), targets, "multi_label")

    assert found.value == pytest.approx(0.75)
    likely = (0.75 * 2 + 2) / 6
    assert found.error == pytest.approx(np.sqrt(likely * (1 - likely) / 6))
