import math

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnkit.runtime.uncertainty import entropy, mutual_information


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ([1.0, 0.0], 0.0),
        ([0.5, 0.5], math.log(2)),
        ([0.25] * 4, math.log(4)),
        ([0.2, 0.8], -0.2 * math.log(0.2) - 0.8 * math.log(0.8)),
    ],
)
def test_entropy_by_hand(probabilities: list[float], expected: float) -> None:
    assert entropy(np.array(probabilities)) == pytest.approx(expected, abs=1e-15)


def test_entropy_is_taken_over_the_last_axis_in_float64() -> None:
    p = np.random.default_rng(0).dirichlet(np.full(10, 0.1), (3, 5)).astype(np.float32)
    found = entropy(p)
    assert found.dtype == np.float64
    assert found.shape == (3, 5)
    expected = [[-sum(float(q) * math.log(q) for q in row if q > 0) for row in x] for x in p]
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert (found >= 0).all()


def _information(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    return mutual_information(samples.mean(axis=1), entropy(samples).mean(axis=1))


def test_samples_that_agree_have_no_mutual_information() -> None:
    same = np.random.default_rng(1).dirichlet(np.ones(5), 7)[:, None].repeat(4, axis=1)
    np.testing.assert_allclose(_information(same), 0, atol=1e-15)
    assert (_information(same) >= 0).all()


def test_samples_that_are_sure_and_contradict_have_nothing_else() -> None:
    sure = np.eye(4)[None]  # four samples, each sure of another class
    np.testing.assert_allclose(_information(sure), [math.log(4)])


def test_mutual_information_is_the_mean_divergence_from_the_mean() -> None:
    p = np.random.default_rng(2).dirichlet(np.ones(6), (20, 9))
    mean = p.mean(axis=1, keepdims=True)
    divergence = (p * np.log(p / mean)).sum(axis=-1).mean(axis=1)
    np.testing.assert_allclose(_information(p), divergence, rtol=1e-10)
