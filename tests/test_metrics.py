"""bnnkit.evaluation.metrics against scikit-learn, slow loops, and values computed by hand."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnkit.errors import MissingExtraError, UsageError
from bnnkit.evaluation.metrics import accuracy, brier, ece, nll

Metric = Callable[[NDArray[Any], NDArray[Any]], float]
METRICS: list[Metric] = [accuracy, nll, brier, ece]
Arrays = tuple[NDArray[np.float64], NDArray[np.int64]]


@pytest.fixture(params=[(1, 2), (7, 3), (500, 10), (2000, 2)], ids=str)
def predictions(request: pytest.FixtureRequest) -> Arrays:
    n, k = request.param
    rng = np.random.default_rng(n)
    return rng.dirichlet(np.full(k, 0.4), size=n), rng.integers(k, size=n)


def test_accuracy_equals_sklearn(predictions: Arrays) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    p, y = predictions
    assert accuracy(p, y) == metrics.accuracy_score(y, p.argmax(axis=1))


def test_nll_equals_sklearn(predictions: Arrays) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    p, y = predictions
    want = metrics.log_loss(y, p, labels=np.arange(p.shape[1]))
    assert nll(p, y) == pytest.approx(want, rel=1e-12)


def test_brier_equals_sklearn(predictions: Arrays) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    p, y = predictions
    labels = np.arange(p.shape[1])
    p_in = p[:, 1] if p.shape[1] == 2 else p
    want = metrics.brier_score_loss(y, p_in, labels=labels, scale_by_half=False)
    assert brier(p, y) == pytest.approx(want, rel=1e-12)


def _ece_by_loop(p: NDArray[np.float64], y: NDArray[np.int64], n_bins: int) -> float:
    total = 0.0
    for b in range(1, n_bins + 1):
        members = [i for i in range(len(y)) if (b - 1) / n_bins <= max(p[i]) < b / n_bins]
        if members:
            correct = sum(int(p[i].argmax() == y[i]) for i in members) / len(members)
            confidence = sum(max(p[i]) for i in members) / len(members)
            total += len(members) / len(y) * abs(correct - confidence)
    return total


@pytest.mark.parametrize("n_bins", [1, 2, 15])
def test_ece_equals_a_slow_loop(predictions: Arrays, n_bins: int) -> None:
    p, y = predictions
    assert ece(p, y, n_bins) == pytest.approx(_ece_by_loop(p, y, n_bins), abs=1e-6)


def test_ece_puts_a_confidence_on_an_edge_into_the_upper_bin() -> None:
    # 0.5 belongs to [0.5, 1]: the two gaps, +0.5 and -0.9, cancel in part.
    p = np.array([[0.5, 0.5], [0.9, 0.1]])
    assert ece(p, np.array([0, 1]), n_bins=2) == pytest.approx(abs(0.5 - 0.9) / 2)


def test_ece_puts_a_confidence_of_1_into_the_last_bin() -> None:
    p = np.array([[1.0, 0.0], [0.95, 0.05]])
    assert ece(p, np.array([0, 1])) == pytest.approx(0.95 / 2)


def test_ece_takes_rows_that_are_rounded_up_for_probabilities() -> None:
    p = np.array([[1 + 2e-7, 0], [0.25, 0.75]])
    assert ece(p, np.array([0, 0])) == pytest.approx(0.75 / 2, abs=1e-6)


@pytest.mark.parametrize(("metric", "want"), [(accuracy, 1), (nll, 0), (brier, 0), (ece, 0)])
def test_certain_and_right(metric: Metric, want: float) -> None:
    assert metric(np.eye(4), np.arange(4)) == pytest.approx(want, abs=1e-7)


def test_certain_and_wrong_stays_finite() -> None:
    p, y = np.array([[1.0, 0.0]]), np.array([1])
    assert nll(p, y) == pytest.approx(87.3365, abs=1e-3)
    assert (accuracy(p, y), brier(p, y)) == (0, 2)
    assert ece(p, y) == pytest.approx(1, abs=1e-7)


def test_arguments_are_left_alone(predictions: Arrays) -> None:
    p, y = predictions
    before = p.copy(), y.copy()
    for metric in METRICS:
        metric(p, y)
    np.testing.assert_array_equal(p, before[0])
    np.testing.assert_array_equal(y, before[1])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        (np.full((2, 2), 0.5), np.array([0]), r"got \(2, 2\) and \(1,\)"),
        (np.full((2,), 0.5), np.array([0, 1]), "N, K"),
        (np.empty((0, 2)), np.empty(0, np.int64), "N > 0"),
        (np.ones((2, 1)), np.array([0, 0]), "K > 1"),
        (np.array([[np.nan, 1.0]]), np.array([0]), "rows sum to 1"),
        (np.array([[1.5, -0.5]]), np.array([0]), "numbers from 0"),
        (np.array([[3.0, 4.0]]), np.array([0]), "rows sum to 1"),
        (np.array([[0.5, 0.5]]), np.array([2]), "got 2 to 2; subtract 1 from labels that count"),
        (np.array([[0.5, 0.5]]), np.array([-1]), "from 0 to 1"),
        (np.array([[0.5, 0.5]]), np.array([0.0]), "integers"),
    ],
)
def test_what_is_no_prediction_is_refused(
    metric: Metric, p: NDArray[Any], y: NDArray[Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        metric(p, y)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("package", ["torch", "torchmetrics"])
def test_what_is_not_installed_is_a_sentence(
    metric: Metric, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bnnkit\[train\]'"):
        metric(np.eye(2), np.arange(2))
