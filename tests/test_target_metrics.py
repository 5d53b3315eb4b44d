"""Metrics of labels and of real values, against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from bnnkit.errors import UsageError
from bnnkit.evaluation import label_metrics, value_metrics

RNG = np.random.default_rng(0)
P = RNG.random((50, 4)).astype(np.float32)
Y = (RNG.random((50, 4)) < P**2).astype(np.uint8)
VALUES = RNG.normal(size=(50, 3)).astype(np.float32)
GUESSES = (VALUES + RNG.normal(size=(50, 3))).astype(np.float32)


def test_metrics_of_labels() -> None:
    right = (P >= 0.5) == Y
    assert label_metrics.label_accuracy(P, Y) == right.mean()
    assert label_metrics.exact_match(P, Y) == metrics.accuracy_score(Y, P >= 0.5)
    nll = np.mean([metrics.log_loss(Y[:, k], P[:, k].astype(np.float64)) for k in range(4)])
    assert label_metrics.label_nll(P, Y) == pytest.approx(nll, rel=1e-6)
    precision = metrics.average_precision_score(Y, P, average="macro")
    assert label_metrics.mean_average_precision(P, Y) == pytest.approx(precision, rel=1e-5)


def test_a_label_that_no_example_has_does_not_count() -> None:
    y = Y.copy()
    y[:, 2] = 0
    others = [0, 1, 3]
    found = label_metrics.mean_average_precision(P, y)
    assert found == label_metrics.mean_average_precision(P[:, others], y[:, others])
    assert np.isnan(label_metrics.mean_average_precision(P, 0 * y))


def test_certain_and_wrong_labels_have_a_finite_loss() -> None:
    one, zero = np.ones((1, 1), np.float32), np.zeros((1, 1), np.uint8)
    assert label_metrics.label_nll(one, zero) == pytest.approx(87.3, abs=0.1)


def test_metrics_of_values() -> None:
    y, p = VALUES.astype(np.float64), GUESSES.astype(np.float64)
    assert value_metrics.mae(GUESSES, VALUES) == pytest.approx(metrics.mean_absolute_error(y, p))
    assert value_metrics.rmse(GUESSES, VALUES) ** 2 == pytest.approx(
        metrics.mean_squared_error(y, p)
    )
    assert value_metrics.r2(GUESSES, VALUES) == pytest.approx(metrics.r2_score(y, p))


def test_a_value_that_does_not_vary_has_no_r2() -> None:
    y = VALUES.copy()
    y[:, 0] = 3
    assert value_metrics.r2(GUESSES, y) == value_metrics.r2(GUESSES[:, 1:], y[:, 1:])
    assert np.isnan(value_metrics.r2(GUESSES[:, :1], y[:, :1]))
    assert np.isnan(value_metrics.r2(GUESSES[:1], y[:1]))


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match=r"got \(50, 4\) and \(50, 3\)"):
        label_metrics.label_accuracy(P, Y[:, :3])
    with pytest.raises(UsageError, match="numbers from 0 to 1"):
        label_metrics.label_nll(P + 1, Y)
    with pytest.raises(UsageError, match="labels of 0 and 1"):
        label_metrics.exact_match(P, Y + 1)
    with pytest.raises(UsageError, match=r"got \(50, 3\) and \(49, 3\)"):
        value_metrics.mae(GUESSES, VALUES[1:])
    with pytest.raises(UsageError, match="got NaN or infinity"):
        value_metrics.rmse(GUESSES * np.nan, VALUES)
