"""The limit t + r z decides as alpha c + beta >= z; with z = 0 it is the integer threshold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnkit.export.analysis.find_noisy_thresholds import find_noisy_thresholds
from bnnkit.export.analysis.monotone import Affine

numbers = st.floats(-50, 50)
slopes = st.sampled_from([0.0, 1e-30, 2.0**-41, 1e-7, 1e30]) | st.floats(2.0**-20, 50)


def threshold_of(alpha: float, beta: float, bound: int) -> int:
    """T: the smallest c in [-K, K] with alpha c + beta >= 0, else K + 1."""
    c = np.arange(-bound, bound + 1)
    is_plus = alpha * c + beta >= 0
    return int(c[is_plus].min()) if is_plus.any() else bound + 1


@settings(max_examples=25, deadline=None)
@given(alpha=slopes, beta=numbers, bound=st.sampled_from([1, 9, 300]))
def test_limits_decide_as_the_affine_function(alpha: float, beta: float, bound: int) -> None:
    threshold = np.array([threshold_of(alpha, beta, bound)], np.int32)
    affine = Affine(np.array([alpha]), np.array([beta]))
    found = find_noisy_thresholds(affine, threshold, np.array([bound]))
    assert found.threshold.dtype == found.noise_scale.dtype == np.float32
    assert np.isfinite(found.threshold).all()
    assert 0 < found.noise_scale[0] < np.inf

    c = np.arange(-bound, bound + 1)[:, None]
    np.testing.assert_array_equal(c >= found.threshold, c >= threshold)

    z = np.linspace(-6, 6, 480, dtype=np.float32) + np.float32(0.003)
    limit = found.threshold + found.noise_scale * z
    margin = alpha * c + beta - z
    # t was moved by less than 1, to the deterministic threshold, and float32 rounds; a slope below
    # 2^-40 counts as 0.
    is_clear = np.abs(margin) > 1e-4 * (1 + abs(beta) + alpha * bound)
    np.testing.assert_array_equal((c >= limit)[is_clear], (margin >= 0)[is_clear])


@pytest.mark.parametrize("bound", [1, 1000, 2**23 - 1, 2**24 - 1])
def test_thresholds_at_the_ends_are_open(bound: int) -> None:
    threshold = np.array([-bound, -bound, bound + 1, bound + 1, bound], np.int32)
    shift = np.array([4.0 * bound, bound, -4.0 * bound, -bound - 1, -bound])
    found = find_noisy_thresholds(Affine(np.ones(5), shift), threshold, np.full(5, bound))
    assert found.threshold.tolist() == [-4.0 * bound, -bound, 4.0 * bound, bound + 1, bound]
    assert found.noise_scale.tolist() == [1] * 5
    np.testing.assert_array_equal(found.at_zero, -shift)


def test_rounding_to_float32_never_leaves_the_threshold() -> None:
    bound = np.full(3, 2**24 - 1)
    threshold = np.array([2**24 - 2, -(2**24) + 2, 2**23 + 1], np.int32)
    found = find_noisy_thresholds(Affine(np.ones(3), -threshold + 0.9), threshold, bound)
    limit = found.threshold.astype(np.float64)
    assert ((limit > threshold - 1) & (limit <= threshold)).all()


def test_where_torch_rounds_to_another_threshold_the_limit_follows_it() -> None:
    affine = Affine(np.array([0.5, 0.5]), np.array([1.0, 1.0]))  # by algebra T = -2
    found = find_noisy_thresholds(affine, np.array([-1, -3], np.int32), np.array([9, 9]))
    assert np.ceil(found.threshold).tolist() == [-1, -3]
    np.testing.assert_allclose(found.threshold, [-2, -3], rtol=1e-6)


def test_a_constant_channel_depends_on_the_noise_alone() -> None:
    affine = Affine(np.array([0.0, 0.0]), np.array([0.25, -0.25]))
    found = find_noisy_thresholds(affine, np.array([-9, 10], np.int32), np.array([9, 9]))
    z = np.array([-0.3, -0.2, 0.2, 0.3], np.float32)[:, None]
    for c in (-9, 9):
        np.testing.assert_array_equal(
            c >= found.threshold + found.noise_scale * z, np.array([0.25, -0.25]) >= z
        )
    assert found.per_unit.tolist() == [0, 0]
